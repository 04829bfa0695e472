import { keepPreviousData, useMutation, useQuery } from "@tanstack/react-query";
import { FlaskConical } from "lucide-react";
import { useMemo, useState } from "react";
import { conversations } from "../api/calls";
import type { Conversation, DraftRevision } from "../api/types";
import Diagram from "../graph/Diagram";
import { graphOf, pathOf, stepsOf } from "../graph/outline";
import { Badge, Button, Card, cx, Empty, Input, Json } from "../parts/basics";
import { Trouble } from "../parts/loading";
import { useMay } from "../shell/me";
import type { Change } from "./useConversation";

/** Scenarios of the draft, played in the simulator. The conversation keeps them, and plays them whenever the draft
 * changes. */
export default function TryTab({
  talk,
  revision,
  change,
}: {
  talk: Conversation;
  revision: DraftRevision | undefined;
  change: Change;
}) {
  const id = talk.conversation;
  const { scenarios } = talk;
  const mayEdit = useMay("authoring:edit");
  const [seed, setSeed] = useState(1);
  const [chosen, setChosen] = useState(0);
  const make = useMutation({
    mutationFn: () => conversations.propose(id, seed),
    onSuccess: (found) => {
      setChosen(0);
      if (found.scenarios.length > 0) change.mutate(() => conversations.keep(id, found.scenarios));
    },
  });
  const play = useQuery({
    queryKey: ["conversation", id, "scenarios", talk.draft.sha, scenarios],
    queryFn: () => conversations.scenarios(id),
    enabled: scenarios.length > 0,
    placeholderData: keepPreviousData,
    retry: false,
    staleTime: Infinity,
  });
  const results = play.data?.played.scenarios ?? [];
  const content = revision?.content;
  const graph = useMemo(() => content && graphOf({ ...content, steps: content.steps ?? [] }), [content]);
  const played = results[chosen];
  const path = useMemo(() => graph && played?.paths[0] && pathOf(graph, stepsOf(played.paths[0])), [graph, played]);
  const different = results.filter((one) => !one.ok).map((one) => one.name);
  return (
    <div className="space-y-4">
      <Card
        title="Samples"
        pad={false}
        aside={
          <form
            className="flex items-center gap-2"
            onSubmit={(event) => {
              event.preventDefault();
              make.mutate();
            }}
          >
            <label className="flex items-center gap-1.5 text-muted">
              Seed
              <Input
                type="number"
                min={0}
                max={1_000_000}
                className="w-20"
                value={seed}
                onChange={(event) => setSeed(Number(event.target.value))}
              />
            </label>
            <Button type="submit" look="primary" disabled={!mayEdit || make.isPending}>
              <FlaskConical size={15} aria-hidden /> Make samples
            </Button>
          </form>
        }
      >
        {make.isError && <Trouble error={make.error} />}
        {play.isError && <Trouble error={play.error} />}
        {make.data?.reason && <p className="p-4 text-warn">No sample can be made, because {make.data.reason}.</p>}
        {scenarios.length === 0 ? (
          <Empty title="Nothing was tried yet.">
            Samples are events that fit the catalog and lead a run along every branch.
          </Empty>
        ) : (
          <>
            {play.data?.trouble && <p className="p-4 text-warn">{play.data.trouble}</p>}
            {results.length > 0 && (
              <div role="status" className="flex flex-wrap items-center gap-2 border-b border-line px-4 py-2">
                <Badge tone={different.length === 0 ? "good" : "warn"}>
                  {different.length === 0
                    ? `all ${scenarios.length} end as expected`
                    : `${different.length} of ${scenarios.length} now end differently`}
                </Badge>
                {different.length > 0 && mayEdit && (
                  <Button
                    disabled={change.isPending}
                    onClick={() => change.mutate(() => conversations.expect(id, different))}
                  >
                    That was meant: expect it
                  </Button>
                )}
              </div>
            )}
            <ul aria-label="Samples" aria-busy={play.isFetching} className="max-h-72 overflow-y-auto p-2">
              {scenarios.map((one, index) => {
                const result = results[index];
                return (
                  <li key={one.name}>
                    <button
                      type="button"
                      aria-pressed={index === chosen}
                      onClick={() => setChosen(index)}
                      className={cx(
                        "flex w-full items-center gap-2 rounded-[8px] px-2 py-1.5 text-left hover:bg-raised",
                        index === chosen && "bg-accent-soft",
                      )}
                    >
                      <span className="min-w-0 grow break-words">{one.name}</span>
                      {result && (
                        <Badge tone={result.ok ? "good" : "warn"}>{result.ok ? "as expected" : "different"}</Badge>
                      )}
                    </button>
                  </li>
                );
              })}
            </ul>
          </>
        )}
      </Card>
      {scenarios[chosen] && graph && (
        <Card title={scenarios[chosen].name} pad={false}>
          {path ? (
            <Diagram graph={graph} path={path} />
          ) : (
            <Empty title={played ? "No run begins." : "It is being played."} />
          )}
          <div className="space-y-2 border-t border-line p-4">
            {played?.differences.map((each, index) => (
              <p key={index} className="break-words text-warn">
                {typeof each === "string" ? each : JSON.stringify(each)}
              </p>
            ))}
            <Json value={scenarios[chosen].do} label="what happens" />
          </div>
        </Card>
      )}
    </div>
  );
}
