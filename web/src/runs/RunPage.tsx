import { keepPreviousData, useQuery, useQueryClient } from "@tanstack/react-query";
import { Suspense, useCallback, useEffect, useMemo, useRef, useState } from "react";
import { useParams, useSearchParams } from "react-router";
import { definitions, runs } from "../api/calls";
import type { Message } from "../api/live";
import { Pulse } from "../api/pulse";
import type { Run, Transition } from "../api/types";
import { useLiveRun } from "../api/useLive";
import { graphOf, pathOf } from "../graph/outline";
import { A, Badge, Card, Facts, Json, Lasted, PageHead, RunLink, Time, toneOf } from "../parts/basics";
import { chunk } from "../parts/chunk";
import { Loaded, Waiting } from "../parts/loading";
import { Tabs } from "../parts/overlays";
import { useTitle } from "../parts/title";
import { moment } from "../parts/words";
import { useMay } from "../shell/me";
import { causeOf, parkedOf } from "./cause";
import { goOn, hasEnded, mergeTransitions } from "./merge";
import RootCause from "./RootCause";
import RunActions from "./RunActions";
import StepPanel from "./StepPanel";
import { waitsInWords } from "./waits";

const Diagram = chunk(() => import("../graph/Diagram"));
const GanttCard = chunk(() => import("./GanttCard"));
const TransitionsCard = chunk(() => import("./TransitionsCard"));
const ValuesCard = chunk(() => import("./ValuesCard"));
const LogsCard = chunk(() => import("./LogsCard"));
const OriginCard = chunk(() => import("./OriginCard"));
// While it is asked how far the run is: what most people look at.
void Diagram.load();
void GanttCard.load();
if (new URLSearchParams(location.search).get("tab") === "transitions") void TransitionsCard.load();

const ASK_MS = 2_000; // between two questions about a run whose transitions are not told
const OFTEN_MS = 500; // between two about one whose transitions are
const NONE: Transition[] = [];

/** The newest transitions without a gap, until the last one says that the run has ended: they are told, or asked for. */
function useTransitions(run: string): Transition[] {
  const client = useQueryClient();
  const key = useMemo(() => ["run", run, "transitions"], [run]);
  const known = useRef<Transition[]>([]);
  const take = useCallback(
    (messages: Message[]) => {
      const told = messages.filter((one) => one.kind === "transition").map((one) => one.data as Transition);
      known.current = goOn(known.current, mergeTransitions(told, []));
      client.setQueryData(key, known.current);
      if (messages.some((one) => one.kind === "gap")) void client.invalidateQueries({ queryKey: key });
    },
    [client, key],
  );
  // The newest one that was read: what happens before the subscription is told then.
  const [from, setFrom] = useState<number | null>(null);
  const isTold = useLiveRun(run, from, take);
  const query = useQuery({
    queryKey: key,
    queryFn: async () => {
      const page = await runs.transitions(run);
      return (known.current = goOn(known.current, page.rows));
    },
    refetchInterval: (asked) => (isTold || hasEnded(asked.state.data ?? []) ? false : ASK_MS),
  });
  const rows = query.data ?? NONE;
  useEffect(() => {
    if (rows.length > 0 && !hasEnded(rows)) setFrom((before) => before ?? rows[0]!.seq);
  }, [rows]);
  return rows;
}

/** How far a run is, asked for again when there is another transition, and not otherwise. */
function useFacts(run: string, newest: number) {
  const client = useQueryClient();
  const queryKey = useMemo(() => ["run", run, "facts"], [run]);
  const query = useQuery({ queryKey, queryFn: () => runs.get(run) });
  const pulse = useMemo(() => new Pulse(() => client.invalidateQueries({ queryKey }), OFTEN_MS), [client, queryKey]);
  const seq = query.data?.seq;
  useEffect(() => {
    if (seq !== undefined && newest > seq) pulse.mark();
  }, [pulse, newest, seq]);
  return query;
}

function DiagramCard({ run, chosen, onChoose }: { run: Run; chosen: string | null; onChoose: (step: string) => void }) {
  const version = useQuery({
    queryKey: ["definition", run.definition, run.version],
    queryFn: () => definitions.version(run.definition, run.version),
    staleTime: Infinity,
  });
  const graph = useMemo(() => version.data && graphOf(version.data.content), [version.data]);
  const path = useMemo(() => graph && pathOf(graph, run.steps), [graph, run.steps]);
  return (
    <Card title="Diagram" pad={false}>
      <Loaded query={version}>
        {() => (
          <Suspense fallback={<Waiting lines={8} />}>
            <Diagram graph={graph!} path={path} chosen={chosen} onChoose={onChoose} />
          </Suspense>
        )}
      </Loaded>
    </Card>
  );
}

/** What the history knows of a run beside its steps: where it comes from, what it waits for, what came of it. */
function About({ run }: { run: Run }) {
  const mayRead = useMay("runs:read", run.definition);
  const ended = run.status !== "open" && run.status !== "parked";
  const row = useQuery({
    queryKey: ["run", run.run, "row", run.seq],
    queryFn: async () => {
      const found = await runs.list({ definition: run.definition, key: run.key }, "-started", undefined, 200);
      return found.rows.find((each) => each.run === run.run) ?? null;
    },
    enabled: mayRead,
    retry: false,
    placeholderData: keepPreviousData,
  }).data;
  const again = useQuery({
    queryKey: ["run", run.run, "restarts"],
    queryFn: () => runs.list({ restart_of: run.run }, "-started", undefined, 20),
    enabled: mayRead && ended,
    retry: false,
  }).data;
  const rows: [string, React.ReactNode][] = [
    [
      "Definition",
      <A key="d" to={`/definitions/${run.definition}?version=${run.version}`}>
        {run.definition}@{run.version}
      </A>,
    ],
    [
      "Key",
      <A key="k" to={`/runs?key=${encodeURIComponent(run.key)}`}>
        {run.key}
      </A>,
    ],
    ["Started", moment(run.started_ms)],
    ["Ended", ended ? moment(run.last_ms) : "not yet"],
    [
      "Duration",
      <Lasted key="t" run={{ started_ms: run.started_ms, duration_ms: ended ? run.last_ms - run.started_ms : null }} />,
    ],
    ["Last change", <Time key="l" ms={run.last_ms} />],
  ];
  if (run.correlation_id)
    rows.push([
      "Correlation id",
      <A key="c" to={`/runs?attr.correlation_id=${encodeURIComponent(run.correlation_id)}`}>
        {run.correlation_id}
      </A>,
    ]);
  if (run.trace_id) rows.push(["Trace", run.trace_id]);
  if (run.ended) rows.push([run.status === "completed" ? "Last steps" : "Because", run.ended]);
  for (const [step, words] of Object.entries(run.at)) rows.push([step, words]);
  if (row?.stopping) rows.push(["Is being stopped as", row.stopping]);
  if (row?.waits_for) rows.push(["Waits for", waitsInWords(row.waits_for)]);
  if (row?.due_ms) rows.push(["Next timer", <Time key="n" ms={row.due_ms} />]);
  if (row?.parent) rows.push(["Parent run", <RunLink key="p" run={row.parent} />]);
  if (row?.restart_of)
    rows.push([
      "Started again from",
      <span key="r" className="flex flex-wrap gap-x-3">
        <RunLink run={row.restart_of} />
        <A to={`/runs/${encodeURIComponent(run.run)}/compare/${encodeURIComponent(row.restart_of)}`}>compare</A>
      </span>,
    ]);
  for (const each of again?.rows ?? []) rows.push(["Started again as", <RunLink key={each.run} run={each.run} />]);
  return (
    <Card title="About">
      <Facts rows={rows} />
    </Card>
  );
}

export default function RunPage() {
  const { run = "" } = useParams();
  return <OneRun key={run} id={run} />;
}

function OneRun({ id }: { id: string }) {
  const [search, setSearch] = useSearchParams();
  const client = useQueryClient();
  const rows = useTransitions(id);
  const newest = rows[0]?.seq ?? 0;
  const query = useFacts(id, newest);
  useTitle(query.data && `${query.data.key} ${query.data.status}`);
  const tab = search.get("tab") ?? "overview";
  const set = (name: string, value: string) =>
    setSearch(
      (now) => {
        const after = new URLSearchParams(now);
        after.set(name, value);
        return after;
      },
      { replace: true },
    );
  return (
    <Loaded query={query}>
      {(run) => {
        const cause = causeOf(run, rows);
        const parked = parkedOf(run);
        const last = Math.max(run.seq, newest);
        const seq = Math.min(Number(search.get("seq") ?? last) || last, last);
        const open = run.steps.find((step) => step.state !== "done" && step.state !== "skipped")?.id;
        const chosen =
          search.get("step") ?? parked ?? open ?? run.steps.findLast((step) => step.state === "done")?.id ?? null;
        const overview = (
          <div className="grid gap-4 xl:grid-cols-[1fr_380px]">
            <div className="min-w-0 space-y-4">
              <DiagramCard run={run} chosen={chosen} onChoose={(step) => set("step", step)} />
              <GanttCard run={id} seq={run.seq} onStep={(step) => set("step", step)} />
            </div>
            <div className="min-w-0 space-y-4">
              {chosen && (
                <StepPanel run={id} step={chosen} facts={run.steps.find((step) => step.id === chosen)} seq={run.seq} />
              )}
              <About run={run} />
              {run.output !== undefined && (
                <Card title="Output">
                  <Json value={run.output} label="output" />
                </Card>
              )}
            </div>
          </div>
        );
        return (
          <>
            <PageHead
              title={
                <span className="flex flex-wrap items-center gap-3">
                  <span className="min-w-0 [overflow-wrap:anywhere]">{run.key}</span>{" "}
                  <Badge tone={toneOf(run.status)}>{run.status}</Badge>
                </span>
              }
              sub={<span className="font-mono text-[12px] break-all">{run.run}</span>}
            >
              <RunActions
                run={run}
                parked={parked}
                ended={hasEnded(rows) || (run.status !== "open" && run.status !== "parked")}
                onDone={() => void client.invalidateQueries({ queryKey: ["run", id] })}
              />
            </PageHead>
            {cause && <RootCause cause={cause} />}
            <Tabs
              label="Parts of the run"
              value={tab}
              onChange={(next) => set("tab", next)}
              tabs={[
                { id: "overview", title: "Overview", content: <Suspense fallback={<Waiting />}>{overview}</Suspense> },
                {
                  id: "transitions",
                  title: `Transitions (${last})`,
                  content: (
                    <Suspense fallback={<Waiting />}>
                      <TransitionsCard
                        key={id}
                        run={id}
                        newest={rows}
                        onSeq={(at) => setSearch({ tab: "values", seq: String(at) })}
                      />
                    </Suspense>
                  ),
                },
                {
                  id: "values",
                  title: "Values",
                  content: (
                    <Suspense fallback={<Waiting />}>
                      <ValuesCard run={id} last={last} seq={seq} onSeq={(at) => set("seq", String(at))} />
                    </Suspense>
                  ),
                },
                {
                  id: "log",
                  title: "Log",
                  content: (
                    <Suspense fallback={<Waiting />}>
                      <LogsCard run={id} />
                    </Suspense>
                  ),
                },
                {
                  id: "origin",
                  title: "Origin",
                  content: (
                    <Suspense fallback={<Waiting />}>
                      <OriginCard run={id} />
                    </Suspense>
                  ),
                },
              ]}
            />
          </>
        );
      }}
    </Loaded>
  );
}
