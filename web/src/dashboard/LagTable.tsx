import type { LagRow } from "../api/types";
import { Badge, Empty } from "../parts/basics";
import { Table } from "../parts/Table";
import { number, span } from "../parts/words";

const LATE_S = 60;
const SLOW_S = 5;

/** Each group on each topic, with the figures of `streamflow lag --live`. */
export function LagTable({ rows }: { rows: LagRow[] }) {
  if (rows.length === 0) return <Empty title="No group reads anything." />;
  return (
    <Table
      label="Lag"
      rows={rows}
      keyOf={(row) => `${row.group}/${row.topic}`}
      columns={[
        { id: "group", title: "Group", cell: (row) => row.lane ?? row.group },
        {
          id: "topic",
          title: "Topic",
          className: "hidden sm:table-cell",
          cell: (row) => <span className="font-mono text-[12px]">{row.topic}</span>,
        },
        { id: "records", title: "Records", cell: (row) => number(row.records) },
        { id: "seconds", title: "Behind", cell: behind },
        { id: "drain", title: "Caught up in", cell: caughtUp },
      ]}
    />
  );
}

/** The age of what waits, and why the topic cannot be read. */
function behind(row: LagRow) {
  return (
    <span className="inline-flex flex-wrap gap-1">
      {row.state !== "" && <Badge tone="bad">{row.state}</Badge>}
      {(row.records > 0 || row.state === "") && <Badge tone={tone(row)}>{age(row)}</Badge>}
    </span>
  );
}

function age(row: LagRow): string {
  if (row.records === 0) return "nothing waits";
  return row.seconds === null ? "?" : span(row.seconds * 1000);
}

function tone(row: LagRow) {
  if (row.records === 0) return "good";
  if (row.seconds === null) return "warn";
  return row.seconds > LATE_S ? "bad" : row.seconds > SLOW_S ? "warn" : "good";
}

function caughtUp(row: LagRow) {
  if (row.falls_behind) return <Badge tone="bad">never</Badge>;
  if (row.records === 0) return <span className="text-muted">–</span>;
  return row.drain_s === null ? "?" : span(row.drain_s * 1000);
}
