import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { useSearchParams } from "react-router";
import { jobs } from "../api/calls";
import { useLive } from "../api/useLive";
import { A, Badge, Button, Card, Empty, PageHead, RunLink, Time } from "../parts/basics";
import { Loaded } from "../parts/loading";
import { Table } from "../parts/Table";
import { number, plain } from "../parts/words";
import { titleOf } from "./filter";

const words = (filter: Record<string, unknown>): string =>
  Object.entries(filter)
    .map(([name, value]) => `${titleOf(name)} ${String(value)}`)
    .join(", ") || "every run";

function Results({ job }: { job: string }) {
  const [cursors, setCursors] = useState<number[]>([]);
  const cursor = cursors.at(-1);
  const query = useQuery({
    queryKey: ["jobs", job, "results", cursor],
    queryFn: () => jobs.results(job, cursor),
    refetchInterval: useLive("jobs", ["jobs", job, "results"]),
  });
  return (
    <Card title={`Results of ${job}`} pad={false} className="mt-4">
      <Loaded query={query}>
        {(page) =>
          page.rows.length === 0 ? (
            <Empty title="No run has a result yet." />
          ) : (
            <>
              <Table
                label="Results"
                rows={page.rows}
                keyOf={(row) => row.run}
                columns={[
                  { id: "run", title: "Run", cell: (row) => <RunLink run={row.run} /> },
                  {
                    id: "outcome",
                    title: "Outcome",
                    cell: (row) => <Badge tone={row.outcome === "applied" ? "good" : "warn"}>{row.outcome}</Badge>,
                  },
                  {
                    id: "why",
                    title: "Why",
                    cell: (row) => (
                      <>
                        <span className="block">{row.code}</span>
                        <span className="text-muted">{row.message}</span>
                      </>
                    ),
                  },
                ]}
              />
              <div className="flex justify-end gap-2 border-t border-line p-2 empty:hidden">
                {cursors.length > 0 && <Button onClick={() => setCursors(cursors.slice(0, -1))}>Back</Button>}
                {page.next !== null && <Button onClick={() => setCursors([...cursors, page.next!])}>Next</Button>}
              </div>
            </>
          )
        }
      </Loaded>
    </Card>
  );
}

export default function JobsPage() {
  const [search, setSearch] = useSearchParams();
  const chosen = search.get("job");
  const pause = useLive("jobs", ["jobs", "list"]);
  const query = useQuery({ queryKey: ["jobs", "list"], queryFn: jobs.list, refetchInterval: pause });
  return (
    <>
      <PageHead title="Jobs" sub="One action on many runs. They go on when the page is closed." />
      <Card pad={false}>
        <Loaded query={query}>
          {(page) =>
            page.rows.length === 0 ? (
              <Empty title="There was no job yet.">
                Begin one with Act on all, on the{" "}
                <A to="/runs" className="underline">
                  list of runs
                </A>
                : it takes the runs of the filter there.
              </Empty>
            ) : (
              <Table
                label="Jobs"
                rows={page.rows}
                keyOf={(row) => row.id}
                isMarked={(row) => row.id === chosen}
                columns={[
                  {
                    id: "what",
                    title: "What",
                    cell: (row) => (
                      <button
                        type="button"
                        className="text-left [overflow-wrap:anywhere] text-accent hover:underline"
                        onClick={() => setSearch({ job: row.id })}
                      >
                        {plain(row.action)} {words(row.filter)}
                      </button>
                    ),
                  },
                  {
                    id: "state",
                    title: "State",
                    cell: (row) => <Badge tone={row.state === "done" ? "good" : "accent"}>{row.state}</Badge>,
                  },
                  {
                    id: "runs",
                    title: "Runs",
                    cell: (row) => (
                      <>
                        {number(row.done)} of {number(row.total)}
                        {row.failed > 0 && <span className="text-bad">, {number(row.failed)} not done</span>}
                      </>
                    ),
                  },
                  {
                    id: "why",
                    title: "Who and why",
                    className: "hidden md:table-cell",
                    cell: (row) => (
                      <>
                        <span className="block font-medium">{row.who}</span>
                        <span className="text-muted">{row.reason}</span>
                      </>
                    ),
                  },
                  { id: "when", title: "Begun", cell: (row) => <Time ms={row.created_ms} /> },
                ]}
              />
            )
          }
        </Loaded>
      </Card>
      {chosen && <Results key={chosen} job={chosen} />}
    </>
  );
}
