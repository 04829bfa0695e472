import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { lazy, Suspense, useState } from "react";
import { conversations, definitions } from "../api/calls";
import type { Conversation } from "../api/types";
import { Problems, useLater } from "../definitions/Problems";
import type { Place } from "../definitions/Yaml";
import { Button, Card } from "../parts/basics";
import { Loaded, Waiting } from "../parts/loading";
import { useKept } from "../parts/kept";
import { useMay } from "../shell/me";
import type { Change } from "./useConversation";

const Yaml = lazy(() => import("../definitions/Yaml"));

/** A text that was begun on a revision and is not saved. */
interface Held {
  revision: number;
  before: string; // the text of that revision
  text: string;
}

/** Somebody else has changed the draft since this text was begun. */
function Conflict({
  talk,
  held,
  onDiscard,
  children,
}: {
  talk: Conversation;
  held: Held;
  onDiscard: () => void;
  children: React.ReactNode;
}) {
  const by = talk.draft.authors.join(", ");
  const query = useQuery({
    queryKey: ["conversation", talk.conversation, "diff", held.revision, talk.revision],
    queryFn: () => conversations.diff(talk.conversation, held.revision, talk.revision),
    staleTime: Infinity,
  });
  return (
    <div role="alert" className="border-b border-line bg-warn-soft p-4">
      <p className="font-medium text-warn">
        You began on revision {held.revision}. The draft is revision {talk.revision} by now, by {by}.
      </p>
      <ul aria-label="What changed meanwhile" className="mt-1 list-disc pl-5">
        {query.data?.sentences.map((one, index) => (
          <li key={index} className="break-words">
            {one.replaceAll("`", "")}
          </li>
        ))}
      </ul>
      <p className="mt-1">Your text can take the place of that; the revision stays, to go back to.</p>
      <div className="mt-3 flex flex-wrap gap-2">
        {children}
        <Button onClick={onDiscard}>Discard my text</Button>
      </div>
    </div>
  );
}

function Editor({
  talk,
  change,
  held,
  onHold,
  onLeave,
}: {
  talk: Conversation;
  change: Change;
  held: Held | null;
  onHold: (held: Held | null) => void;
  onLeave: () => void;
}) {
  const mayEdit = useMay("authoring:edit");
  const [start] = useState(held?.text ?? talk.draft.text);
  const text = held?.text ?? talk.draft.text;
  const [place, setPlace] = useState<Place | null>(null);
  const later = useLater(text);
  const check = useQuery({
    queryKey: ["check", later, talk.catalog],
    queryFn: ({ signal }) => definitions.check({ definition: later, catalog: talk.catalog ?? undefined }, signal),
    placeholderData: keepPreviousData,
    retry: false,
  });
  const isBehind = held !== null && talk.revision !== held.revision;
  const save = (revision: number) =>
    change.mutate(() => conversations.write(talk.conversation, revision, text), { onSuccess: onLeave });
  return (
    <div className="space-y-4">
      <Card
        title="Draft, YAML"
        pad={false}
        aside={
          mayEdit &&
          !isBehind && (
            <>
              {held && <span className="text-muted">not saved</span>}
              <Button disabled={!held} onClick={onLeave}>
                Discard
              </Button>
              <Button look="primary" disabled={!held || change.isPending} onClick={() => save(talk.revision)}>
                Save as a revision
              </Button>
            </>
          )
        }
      >
        {isBehind && (
          <Conflict talk={talk} held={held} onDiscard={onLeave}>
            <Button look="primary" disabled={change.isPending} onClick={() => save(talk.revision)}>
              Save over revision {talk.revision}
            </Button>
          </Conflict>
        )}
        <Suspense fallback={<Waiting lines={8} />}>
          <Yaml
            text={start}
            label="Draft, YAML"
            place={place}
            onChange={
              mayEdit
                ? (now) => {
                    const begun = held ?? { revision: talk.revision, before: talk.draft.text };
                    const isSame = now === begun.before && begun.revision === talk.revision;
                    onHold(isSame ? null : { ...begun, text: now });
                  }
                : undefined
            }
          />
        </Suspense>
      </Card>
      <Loaded query={check}>
        {(found) => (
          <Problems
            found={found}
            isCurrent={later === text && !check.isPlaceholderData}
            onGo={(problem) =>
              setPlace(problem.line === null ? null : { line: problem.line, column: problem.column ?? 1 })
            }
          />
        )}
      </Loaded>
    </div>
  );
}

/** The draft as YAML, to change as a whole. As long as nothing was changed here it follows the draft; what was begun
 * stays, also over another tab and a refresh. */
export default function YamlTab({ talk, change }: { talk: Conversation; change: Change }) {
  const [round, setRound] = useState(0);
  const [held, hold] = useKept<Held>(`yaml/${talk.conversation}`);
  return (
    <Editor
      key={`${round} ${held?.revision ?? talk.revision}`}
      talk={talk}
      change={change}
      held={held}
      onHold={hold}
      onLeave={() => {
        hold(null);
        setRound((now) => now + 1);
      }}
    />
  );
}
