import { useQuery } from "@tanstack/react-query";
import { figures } from "../api/calls";
import { useLive } from "../api/useLive";
import { Badge, Card, Empty, PageHead, Time, toneOf } from "../parts/basics";
import { Loaded } from "../parts/loading";
import { Table } from "../parts/Table";
import { number, span } from "../parts/words";

export default function WorkersPage() {
  const pause = useLive("workers", ["fleet"]);
  const lanes = useQuery({ queryKey: ["fleet", "lanes"], queryFn: figures.lanes, refetchInterval: pause });
  const workers = useQuery({ queryKey: ["fleet", "workers"], queryFn: figures.workers, refetchInterval: pause });
  return (
    <>
      <PageHead
        title="Lanes and workers"
        sub="A lane is a queue of work for operations; workers take from the lanes that they serve."
      />
      <Card title="Lanes" pad={false} className="mb-4">
        <Loaded query={lanes}>
          {(page) =>
            page.rows.length === 0 ? (
              <Empty title="No lane is known.">A lane is there as soon as an operation names it.</Empty>
            ) : (
              <Table
                label="Lanes"
                rows={page.rows}
                keyOf={(row) => row.lane}
                columns={[
                  { id: "lane", title: "Lane", cell: (row) => <span className="font-medium">{row.lane}</span> },
                  {
                    id: "workers",
                    title: "Workers",
                    cell: (row) => (row.workers === 0 ? <Badge tone="bad">none</Badge> : row.workers),
                  },
                  { id: "waiting", title: "Waiting", cell: (row) => number(row.waiting) },
                  {
                    id: "oldest",
                    title: "Oldest waits",
                    cell: (row) =>
                      row.waiting === 0 ? (
                        <span className="text-muted">–</span>
                      ) : row.oldest_s === null ? (
                        "?"
                      ) : (
                        span(row.oldest_s * 1000)
                      ),
                  },
                  {
                    id: "operations",
                    title: "Operations",
                    className: "hidden md:table-cell",
                    cell: (row) => <span className="text-muted">{row.operations.join(", ")}</span>,
                  },
                ]}
              />
            )
          }
        </Loaded>
      </Card>
      <Card title="Workers" pad={false}>
        <Loaded query={workers}>
          {(page) =>
            page.rows.length === 0 ? (
              <Empty title="No worker is there.">Start one with streamflow worker.</Empty>
            ) : (
              <Table
                label="Workers"
                rows={page.rows}
                keyOf={(row) => row.worker}
                columns={[
                  {
                    id: "worker",
                    title: "Worker",
                    cell: (row) => (
                      <>
                        <span className="block font-medium">{row.role}</span>
                        <span className="font-mono text-[12px] break-all text-muted">{row.worker}</span>
                      </>
                    ),
                  },
                  {
                    id: "health",
                    title: "Health",
                    cell: (row) => (
                      <>
                        <Badge tone={toneOf(row.health)}>{row.health}</Badge>
                        {row.detail && <span className="mt-1 block text-muted">{row.detail}</span>}
                      </>
                    ),
                  },
                  { id: "host", title: "Host", className: "hidden sm:table-cell", cell: (row) => row.host },
                  {
                    id: "what",
                    title: "Serves",
                    className: "hidden md:table-cell",
                    cell: (row) => (
                      <span className="text-muted">
                        {row.partitions === null ? `lane ${row.lanes.join(", ")}` : `${row.partitions} partitions`}
                      </span>
                    ),
                  },
                  {
                    id: "version",
                    title: "Release",
                    className: "hidden lg:table-cell",
                    cell: (row) => <span className="text-muted">{row.version}</span>,
                  },
                  { id: "since", title: "Since", cell: (row) => <Time ms={row.since_ms} /> },
                ]}
              />
            )
          }
        </Loaded>
      </Card>
    </>
  );
}
