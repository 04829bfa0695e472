import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { lazy, Suspense, useState } from "react";
import { conversations, definitions } from "../api/calls";
import type { Conversation } from "../api/types";
import { Problems, useLater } from "../definitions/Problems";
import type { Place } from "../definitions/Yaml";
import { Button, Card } from "../parts/basics";
import { Loaded, Waiting } from "../parts/loading";
import { useMay } from "../shell/me";
import type { Change } from "./useConversation";

const Yaml = lazy(() => import("../definitions/Yaml"));

function Editor({
  talk,
  change,
  onHold,
  onLeave,
}: {
  talk: Conversation;
  change: Change;
  onHold: (isHeld: boolean) => void;
  onLeave: () => void;
}) {
  const mayEdit = useMay("authoring:edit");
  // What was begun stays, also if the draft moves on: saving then tells of the conflict.
  const [base] = useState({ revision: talk.revision, text: talk.draft.text });
  const [text, setText] = useState(base.text);
  const [place, setPlace] = useState<Place | null>(null);
  const later = useLater(text);
  const check = useQuery({
    queryKey: ["check", later, talk.catalog],
    queryFn: ({ signal }) => definitions.check({ definition: later, catalog: talk.catalog ?? undefined }, signal),
    placeholderData: keepPreviousData,
    retry: false,
  });
  const isChanged = text !== base.text;
  const isBehind = talk.revision !== base.revision;
  return (
    <div className="space-y-4">
      <Card
        title="Draft, YAML"
        pad={false}
        aside={
          mayEdit && (
            <>
              {isBehind && <span className="text-warn">The draft is revision {talk.revision} by now.</span>}
              <Button disabled={!isChanged && !isBehind} onClick={onLeave}>
                Discard
              </Button>
              <Button
                look="primary"
                disabled={!isChanged || change.isPending}
                onClick={() =>
                  change.mutate(() => conversations.write(talk.conversation, base.revision, text), {
                    onSuccess: onLeave,
                  })
                }
              >
                Save as a revision
              </Button>
            </>
          )
        }
      >
        <Suspense fallback={<Waiting lines={8} />}>
          <Yaml
            text={text}
            label="Draft, YAML"
            place={place}
            onChange={
              mayEdit
                ? (now) => {
                    setText(now);
                    onHold(now !== base.text || isBehind);
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

/** The draft as YAML, to change as a whole. As long as nothing was changed here it follows the draft. */
export default function YamlTab({ talk, change }: { talk: Conversation; change: Change }) {
  const [round, setRound] = useState(0);
  const [held, setHeld] = useState<number | null>(null);
  return (
    <Editor
      key={`${round} ${held ?? talk.revision}`}
      talk={talk}
      change={change}
      onHold={(isHeld) => setHeld((now) => (isHeld ? (now ?? talk.revision) : null))}
      onLeave={() => {
        setHeld(null);
        setRound((now) => now + 1);
      }}
    />
  );
}
