import { useMutation, useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { conversations, definitions } from "../api/calls";
import type { Conversation, Shadow } from "../api/types";
import { Badge, Button, Card, cx, Empty, inputLook, RunLink } from "../parts/basics";
import { Loaded, Trouble } from "../parts/loading";
import { Table, type Column } from "../parts/Table";
import { moment } from "../parts/words";
import { useMay } from "../shell/me";
import type { Change } from "./useConversation";

const LAST = 20;
const HOUR_MS = 3_600_000;
/** What is replayed: the last runs, or what came in the topics in so many milliseconds. */
const RANGES: [string, number | null][] = [
  [`the last ${LAST} runs`, null],
  ["what came in the last hour", HOUR_MS],
  ["what came in the last day", 24 * HOUR_MS],
  ["what came in the last 7 days", 7 * 24 * HOUR_MS],
];

const COLUMNS: Column<Shadow["rows"][number]>[] = [
  {
    id: "run",
    title: "Run",
    cell: (row) => (row.run ? <RunLink run={row.run}>{row.key}</RunLink> : <>{row.key} (there was none)</>),
  },
  {
    id: "result",
    title: "Result",
    cell: (row) => <Badge tone={row.result === "same" ? "good" : "warn"}>{row.result}</Badge>,
  },
  { id: "first", title: "First step that differs", cell: (row) => row.first ?? "–" },
  {
    id: "ends",
    title: "Ends",
    cell: (row) => row.why || [row.before?.status, row.after?.status].filter(Boolean).join(" → "),
  },
];

/** The last real runs, or what came in a time, as the draft and the published version would have it. */
function ShadowCard({ talk }: { talk: Conversation }) {
  const [at, setAt] = useState(0);
  const replay = useMutation({
    mutationFn: () => {
      const ms = RANGES[at]![1];
      const handed = { definition: talk.draft.text, catalog: talk.catalog ?? undefined };
      return definitions.shadow(ms === null ? { ...handed, last: LAST } : { ...handed, from_ms: Date.now() - ms });
    },
  });
  return (
    <Card
      title="Earlier runs"
      pad={false}
      aside={
        <>
          <select
            aria-label="What is replayed"
            className={cx(inputLook, "min-w-0")}
            value={at}
            onChange={(event) => setAt(Number(event.target.value))}
          >
            {RANGES.map(([title], index) => (
              <option key={title} value={index}>
                {title}
              </option>
            ))}
          </select>
          <Button disabled={replay.isPending} onClick={() => replay.mutate()}>
            Replay
          </Button>
        </>
      }
    >
      {replay.isError && <Trouble error={replay.error} />}
      {!replay.data && !replay.isError && (
        <Empty title="How would earlier runs have ended?">
          They are replayed by the draft and by the published version. Nothing is called, sent or written.
        </Empty>
      )}
      {replay.data && (
        <>
          <p role="status" className="px-4 py-3">
            {replay.data.runs} runs against version {replay.data.against}: {replay.data.same} the same,{" "}
            {replay.data.different} different, {replay.data.incomparable} not comparable.
            {replay.data.records !== undefined && ` ${replay.data.records} records came in this time.`}
          </p>
          {replay.data.rows.length > 0 && (
            <Table
              label="Replayed runs"
              columns={COLUMNS}
              rows={replay.data.rows}
              keyOf={(row) => `${row.run} ${row.key} ${row.started_ms}`}
            />
          )}
        </>
      )}
    </Card>
  );
}

/** What changed between two revisions, in English. */
export default function CompareTab({ talk, change }: { talk: Conversation; change: Change }) {
  const [chosen, setChosen] = useState<{ from?: number; to?: number }>({});
  const to = chosen.to ?? talk.revision;
  const from = chosen.from ?? talk.draft.parent ?? talk.revision;
  const query = useQuery({
    queryKey: ["conversation", talk.conversation, "diff", from, to],
    queryFn: () => conversations.diff(talk.conversation, from, to),
    staleTime: Infinity,
  });
  const mayReadRuns = useMay("runs:read");
  const mayEdit = useMay("authoring:edit");
  const choice = (label: string, value: number, set: (revision: number) => void) => (
    <label className="flex min-w-0 items-center gap-1.5 text-muted">
      {label}
      <select className={cx(inputLook, "min-w-0")} value={value} onChange={(event) => set(Number(event.target.value))}>
        {talk.revisions.map((one) => (
          <option key={one.revision} value={one.revision}>
            {one.revision} · {moment(one.at_ms)}
          </option>
        ))}
      </select>
    </label>
  );
  return (
    <div className="space-y-4">
      <Card title="Revisions" pad={false}>
        <div className="flex flex-wrap gap-3 border-b border-line p-3">
          {choice("from", from, (revision) => setChosen((now) => ({ ...now, from: revision })))}
          {choice("to", to, (revision) => setChosen((now) => ({ ...now, to: revision })))}
          {mayEdit && (
            <Button
              disabled={from === talk.revision || change.isPending}
              onClick={() => change.mutate(() => conversations.branch(talk.conversation, talk.revision, from))}
            >
              Go back to {from}
            </Button>
          )}
        </div>
        <Loaded query={query}>
          {(found) =>
            found.sentences.length === 0 ? (
              <Empty title="Nothing is different.">
                {talk.revisions.length < 2 && "There is one revision so far. Each change of the draft adds one."}
              </Empty>
            ) : (
              <ul aria-label="What changed" className="list-disc space-y-1.5 py-3 pr-4 pl-8">
                {found.sentences.map((one, index) => (
                  <li key={index} className="break-words">
                    {one.replaceAll("`", "")}
                  </li>
                ))}
              </ul>
            )
          }
        </Loaded>
      </Card>
      {mayReadRuns && <ShadowCard talk={talk} />}
    </div>
  );
}
