import type { UseQueryResult } from "@tanstack/react-query";
import { useMemo, useState } from "react";
import type { Colour, DraftPreview, DraftRevision } from "../api/types";
import Diagram from "../graph/Diagram";
import { graphOf } from "../graph/outline";
import { Badge, Card, Empty, type Tone } from "../parts/basics";
import { Loaded } from "../parts/loading";
import Statements from "./Statements";
import { boxesOf } from "./talk";

const TONES: Record<Colour, Tone> = { added: "good", changed: "warn", moved: "accent", removed: "bad" };

/** What the draft does, as a diagram with the colours of the last change, and in English. As long as something is
 * proposed, that is what is shown first. */
export default function DiagramTab({
  query,
  proposed,
  colours: last,
  lit,
  onLight,
}: {
  query: UseQueryResult<DraftRevision>;
  proposed: DraftPreview | undefined; // the draft with what waits for a yes
  colours: Record<string, Colour> | undefined;
  lit: ReadonlySet<string>;
  onLight: (boxes: string[]) => void;
}) {
  const [isNow, setNow] = useState(false);
  const shownDraft = (!isNow && proposed) || query.data;
  const isProposal = shownDraft !== undefined && shownDraft === proposed;
  const colours = isProposal ? proposed?.colours : last;
  const content = shownDraft?.content;
  const graph = useMemo(() => content && graphOf({ ...content, steps: content.steps ?? [] }), [content]);
  const shown = [...new Set(Object.values(colours ?? {}))];
  const removed = Object.entries(colours ?? {}).flatMap(([id, colour]) => (colour === "removed" ? [id] : []));
  return (
    <Loaded query={query}>
      {(current) => {
        const revision = shownDraft ?? current;
        return (
          <div className="space-y-4">
            {proposed && (
              <div className="flex flex-wrap items-center gap-x-4 gap-y-2">
                <label className="flex min-h-6 items-center gap-2">
                  <input type="checkbox" checked={!isNow} onChange={(event) => setNow(!event.target.checked)} />
                  with the proposed changes
                </label>
                {proposed.different.length > 0 && (
                  <span className="text-warn">
                    {proposed.different.length} scenarios would end differently:{" "}
                    {proposed.different.map((one) => one.name).join("; ")}
                  </span>
                )}
              </div>
            )}
            <Card
              title={revision.content.title || "Diagram"}
              pad={false}
              aside={
                shown.length > 0 && (
                  <span className="flex flex-wrap items-center gap-1">
                    <span className="text-[12px] text-muted">{isProposal ? "proposed:" : "last change:"}</span>
                    {shown.map((colour) => (
                      <Badge key={colour} tone={TONES[colour]}>
                        {colour}
                        {colour === "removed" && ` (${removed.join(", ")})`}
                      </Badge>
                    ))}
                  </span>
                )
              }
            >
              {graph && graph.nodes.length > 0 ? (
                <Diagram
                  graph={graph}
                  colours={colours}
                  lit={lit}
                  onPoint={(step) => onLight(step === null ? [] : [step])}
                />
              ) : (
                <Empty title="The draft has no steps yet.">Say in the chat what should happen.</Empty>
              )}
            </Card>
            {revision.statements.length > 0 && (
              <Card title="In English" pad={false}>
                <div className="p-2">
                  <Statements
                    statements={revision.statements}
                    label="The draft in English"
                    lit={lit}
                    onLight={onLight}
                  />
                </div>
              </Card>
            )}
            {revision.content.steps?.length > 0 && revision.problems.length > 0 && (
              <Card title="Problems" pad={false}>
                <ul className="p-2">
                  {revision.problems.map((one, index) => (
                    <li
                      key={index}
                      className="flex gap-2 px-2 py-1.5"
                      onPointerEnter={() => onLight(boxesOf([one.pointer]))}
                      onPointerLeave={() => onLight([])}
                    >
                      <span className="shrink-0">
                        <Badge tone={one.severity === "error" ? "bad" : "warn"}>{one.severity}</Badge>
                      </span>
                      <span className="min-w-0 break-words">
                        {one.message.replaceAll("`", "")}{" "}
                        {one.fix && <span className="text-muted">{one.fix.replaceAll("`", "")}</span>}
                      </span>
                    </li>
                  ))}
                </ul>
              </Card>
            )}
          </div>
        );
      }}
    </Loaded>
  );
}
