import { useQuery } from "@tanstack/react-query";
import { useParams } from "react-router";
import { runs } from "../api/calls";
import type { CompareSide } from "../api/types";
import { Badge, Card, PageHead, RunLink, toneOf } from "../parts/basics";
import { Loaded } from "../parts/loading";
import { Table } from "../parts/Table";
import { plain, span } from "../parts/words";

function Side({ side }: { side: CompareSide | null }) {
  if (!side) return <span className="text-muted">did not begin</span>;
  return (
    <div className="space-y-1">
      <Badge tone={toneOf(side.state)}>
        {plain(side.state)}
        {side.outcome ? ` (${side.outcome})` : ""}
      </Badge>
      {side.duration_ms !== null && <span className="ml-2 text-[12px] text-muted">{span(side.duration_ms)}</span>}
      {side.error_code && <span className="block text-bad">{side.error_code}</span>}
      {(side.attempts ?? 0) > 1 && <span className="block text-muted">{side.attempts} attempts</span>}
    </div>
  );
}

export default function ComparePage() {
  const { run = "", other = "" } = useParams();
  const query = useQuery({ queryKey: ["compare", run, other], queryFn: () => runs.compare(run, other) });
  return (
    <>
      <PageHead
        title="Two runs compared"
        sub={
          <span className="flex flex-wrap gap-x-2">
            <RunLink run={run} /> and <RunLink run={other} />
          </span>
        }
      />
      <Loaded query={query}>
        {(found) => (
          <>
            <p
              role="status"
              className={`mb-4 rounded-[8px] p-3 ${found.first ? "bg-warn-soft text-warn" : "bg-good-soft text-good"}`}
            >
              {found.first ? (
                <>
                  <b>They part.</b> {found.first.reason}
                </>
              ) : found.same ? (
                "Both did the same."
              ) : (
                "Their steps did the same, but they ended differently."
              )}
            </p>
            <Card pad={false}>
              <Table
                label="Steps of both runs"
                rows={found.rows}
                keyOf={(row) => row.step}
                isMarked={(row) => row.step === found.first?.step}
                columns={[
                  { id: "step", title: "Step", cell: (row) => <span className="font-medium">{row.step}</span> },
                  {
                    id: "same",
                    title: "Result",
                    cell: (row) =>
                      row.same ? (
                        <Badge tone="good">same</Badge>
                      ) : (
                        <>
                          <Badge tone="warn">different</Badge>
                          {row.differs.map((one) => (
                            <span key={one.what} className="mt-1 block max-w-72 text-muted break-words">
                              {one.what === "begun" ? "in one run alone" : one.what}
                              {one.places &&
                                `: ${one.places
                                  .slice(0, 3)
                                  .map((at) => at || "/")
                                  .join(", ")}`}
                            </span>
                          ))}
                        </>
                      ),
                  },
                  { id: "left", title: "This run", cell: (row) => <Side side={row.left} /> },
                  { id: "right", title: "The other run", cell: (row) => <Side side={row.right} /> },
                ]}
              />
            </Card>
          </>
        )}
      </Loaded>
    </>
  );
}
