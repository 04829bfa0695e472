import { useQuery } from "@tanstack/react-query";
import { useMemo } from "react";
import { useParams } from "react-router";
import { conversations } from "../api/calls";
import { Problem } from "../api/client";
import type { SharedDraft } from "../api/types";
import Diagram from "../graph/Diagram";
import { graphOf } from "../graph/outline";
import { Card, Empty, PageHead, Time } from "../parts/basics";
import { Loaded, Trouble } from "../parts/loading";
import { useTitle } from "../parts/title";

const ASK_MS = 10_000; // who has the link alone is told of nothing

function Draft({ found }: { found: SharedDraft }) {
  const graph = useMemo(() => graphOf({ ...found.content, steps: found.content.steps ?? [] }), [found.content]);
  return (
    <div className="space-y-4">
      <Card title="Diagram" pad={false}>
        {graph.nodes.length > 0 ? <Diagram graph={graph} /> : <Empty title="The draft has no steps yet." />}
      </Card>
      <Card title="Draft, YAML">
        <pre tabIndex={0} aria-label="Draft, YAML" className="overflow-x-auto font-mono text-[12px] leading-5">
          {found.draft.text}
        </pre>
      </Card>
      {found.comments.length > 0 && (
        <Card title="Comments">
          <ul className="space-y-2">
            {found.comments.map(
              (one) =>
                one.type === "comment" && (
                  <li key={one.seq} className="break-words">
                    <span className="text-[12px] text-muted">
                      {one.by} {one.address && `on ${one.address}`}
                    </span>
                    <span className="block">{one.text}</span>
                  </li>
                ),
            )}
          </ul>
        </Card>
      )}
    </div>
  );
}

/** A draft by its link, to read. Nobody signs in here. */
export default function SharedPage() {
  const { token = "" } = useParams();
  const query = useQuery({
    queryKey: ["shared", token],
    queryFn: () => conversations.shared(token),
    refetchInterval: ({ state }) => (state.error instanceof Problem && state.error.status === 404 ? false : ASK_MS),
  });
  const isGone = query.error instanceof Problem && query.error.status === 404;
  useTitle(query.data?.title);
  return (
    <main id="main" className="mx-auto max-w-5xl p-4">
      {query.data && isGone ? (
        <Trouble error={query.error} />
      ) : (
        <Loaded query={query}>
          {(found) => (
            <>
              <PageHead
                title={found.title}
                sub={
                  <>
                    Revision {found.draft.revision} by {found.draft.authors.join(", ")}, <Time ms={found.draft.at_ms} />
                    . To read until <Time ms={found.shared_until_ms} />.
                  </>
                }
              />
              <Draft found={found} />
            </>
          )}
        </Loaded>
      )}
    </main>
  );
}
