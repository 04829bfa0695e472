import { keepPreviousData, useQueries, useQuery } from "@tanstack/react-query";
import { Download } from "lucide-react";
import { lazy, Suspense, useMemo, type ReactNode } from "react";
import { useSearchParams } from "react-router";
import { definitions, figures } from "../api/calls";
import type { DefinitionRow, Statistics } from "../api/types";
import { useLive } from "../api/useLive";
import { A, Button, Card, cx, Empty, inputLook, PageHead } from "../parts/basics";
import { DefinitionOptions } from "../parts/DefinitionOptions";
import { Loaded, Waiting } from "../parts/loading";
import { Table } from "../parts/Table";
import { number, percent, span } from "../parts/words";
import { useMay } from "../shell/me";
import { BUDGET_DAYS, budgetUsed, csvOf, hoursOf, stepsOf, TARGET, totalsOf, type Hour } from "./figures";
import { LagTable } from "./LagTable";

const Chart = lazy(() => import("./Chart"));

const HOUR = 3_600_000;
const RANGES: [string, number][] = [
  ["24 hours", 24],
  ["7 days", 168],
  ["30 days", 720],
];

function Tile({
  title,
  value,
  sub,
  tone,
}: {
  title: string;
  value: ReactNode;
  sub?: ReactNode;
  tone?: "good" | "bad" | "warn";
}) {
  const colour = tone === "bad" ? "text-bad" : tone === "good" ? "text-good" : tone === "warn" ? "text-warn" : "";
  return (
    <div className="rounded-[8px] border border-line bg-card p-4 shadow-xs">
      <p className="text-muted">{title}</p>
      <p className={cx("mt-1 text-[24px] leading-8 font-semibold tabular-nums", colour)}>{value}</p>
      <p className="text-[12px] text-muted">{sub}</p>
    </div>
  );
}

function save(name: string, rows: Record<string, string | number | null>[]): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([csvOf(rows)], { type: "text/csv" }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 0);
}

function Charts({ hours }: { hours: Hour[] }) {
  const at_s = useMemo(() => hours.map((hour) => hour.at_ms / 1000), [hours]);
  const ends = useMemo(
    () => [
      {
        title: "ended",
        color: "--fill-good",
        bars: true,
        values: hours.map((hour) => hour.completed + hour.failed + hour.cancelled),
      },
      {
        title: "cancelled",
        color: "--fill-idle",
        bars: true,
        values: hours.map((hour) => hour.failed + hour.cancelled),
      },
      { title: "failed", color: "--fill-bad", bars: true, values: hours.map((hour) => hour.failed) },
    ],
    [hours],
  );
  const times = useMemo(
    () => [
      { title: "p99", color: "--fill-bad", values: hours.map((hour) => hour.p99_ms) },
      { title: "p95", color: "--fill-warn", values: hours.map((hour) => hour.p95_ms) },
      { title: "median", color: "--fill-accent", values: hours.map((hour) => hour.p50_ms) },
    ],
    [hours],
  );
  return (
    <div className="mb-4 grid gap-4 xl:grid-cols-2">
      <Card title="Runs that ended, per hour" className="min-w-0">
        <Chart
          label="Runs that ended per hour, and how many of them failed or were cancelled"
          at_s={at_s}
          lines={ends}
          format={number}
        />
      </Card>
      <Card title="Duration of completed runs" className="min-w-0">
        <Chart label="Median, p95 and p99 of the duration of runs per hour" at_s={at_s} lines={times} format={span} />
      </Card>
    </div>
  );
}

const shown = (ms: number | null): string => (ms === null ? "–" : span(ms));

function Tiles({ found, budget }: { found: Statistics; budget: Statistics | undefined }) {
  const totals = totalsOf(found);
  const left = budget && Math.max(0, 1 - budgetUsed(totalsOf(budget)));
  return (
    <div className="mb-4 grid grid-cols-2 gap-3 xl:grid-cols-4">
      <Tile
        title="Success rate"
        value={totals.success === null ? "–" : percent(totals.success, 2)}
        sub={`${number(totals.failed)} of ${number(totals.ended)} runs failed`}
        tone={totals.success === null || totals.success >= TARGET ? "good" : "bad"}
      />
      <Tile
        title={`Error budget, ${BUDGET_DAYS} days`}
        value={left === undefined ? "–" : percent(left)}
        sub={`left of ${percent(1 - TARGET)} failures`}
        tone={left === undefined || left > 0.5 ? "good" : left > 0.1 ? "warn" : "bad"}
      />
      <Tile
        title="Throughput"
        value={totals.perHour < 10 ? totals.perHour.toFixed(1) : number(Math.round(totals.perHour))}
        sub={`runs an hour, ${number(totals.started)} started`}
      />
      <Tile title="p95 of the slowest hour" value={shown(totals.p95_ms)} sub={`p99 ${shown(totals.p99_ms)}`} />
    </div>
  );
}

/** Each definition over the range, from its own counters. */
function Definitions({
  names,
  all,
  from_ms,
  to_ms,
}: {
  names: string[];
  all: number; // definitions that there are
  from_ms: number;
  to_ms: number;
}) {
  const queries = useQueries({
    queries: names.map((name) => ({
      queryKey: ["totals", name, from_ms, to_ms],
      queryFn: () => figures.statistics(from_ms, to_ms, name),
      staleTime: 60_000,
    })),
  });
  const rows = names.map((name, index) => ({ name, totals: queries[index]?.data && totalsOf(queries[index].data) }));
  if (names.length === 0)
    return (
      <Card title="Definitions" pad={false} className="mb-4 min-w-0">
        <Empty title="Nothing is published yet.">
          Figures appear here as soon as runs end.{" "}
          <A to="/definitions" className="underline">
            Publish a definition
          </A>
        </Empty>
      </Card>
    );
  return (
    <Card
      title="Definitions"
      pad={false}
      className="mb-4 min-w-0"
      aside={
        all > names.length && (
          <span className="text-[12px] text-muted">
            the first {names.length} of {number(all)}; choose another one above
          </span>
        )
      }
    >
      <Table
        label="Definitions"
        rows={rows}
        keyOf={(row) => row.name}
        columns={[
          { id: "name", title: "Definition", cell: (row) => <A to={`/definitions/${row.name}`}>{row.name}</A> },
          { id: "n", title: "Ended", cell: (row) => (row.totals ? number(row.totals.ended) : "…") },
          {
            id: "failed",
            title: "Failed",
            cell: (row) =>
              row.totals && row.totals.failed > 0 ? (
                <A to={`/runs?definition=${row.name}&status=failed`}>
                  {percent(row.totals.failed / Math.max(1, row.totals.ended))}
                </A>
              ) : (
                "0"
              ),
          },
          { id: "p95", title: "p95", cell: (row) => shown(row.totals?.p95_ms ?? null) },
          { id: "p99", title: "p99", cell: (row) => shown(row.totals?.p99_ms ?? null) },
        ]}
      />
    </Card>
  );
}

/** The steps of the version of a definition that starts use, over the last 30 days. */
function Steps({ row }: { row: DefinitionRow }) {
  const query = useQuery({
    queryKey: ["traffic", row.definition, row.version],
    queryFn: () => definitions.traffic(row.definition, row.version),
  });
  return (
    <Card title={`Steps of ${row.definition}@${row.version}, slowest first`} pad={false} className="mb-4 min-w-0">
      <Loaded query={query}>
        {(found) => (
          <Table
            label="Steps"
            rows={stepsOf(found.rows)}
            keyOf={(step) => step.step}
            columns={[
              { id: "step", title: "Step", cell: (step) => <span className="font-medium">{step.step}</span> },
              { id: "n", title: "Times", cell: (step) => number(step.n) },
              { id: "failed", title: "Failed", cell: (step) => percent(step.failed / Math.max(1, step.n)) },
              { id: "p50", title: "Median", cell: (step) => shown(step.p50_ms) },
              { id: "p95", title: "p95", cell: (step) => shown(step.p95_ms) },
            ]}
          />
        )}
      </Loaded>
    </Card>
  );
}

const MOST = 30; // definitions that are asked for one by one
const STATISTICS_MS = 5_000; // between two readings, however much changes
const TOTALS_MS = 60_000;

export default function DashboardPage() {
  const [search, setSearch] = useSearchParams();
  const hours = Number(search.get("hours")) || 24;
  const definition = search.get("definition") ?? "";
  const mayLag = useMay("lag:read");
  const known = useQuery({ queryKey: ["definitions"], queryFn: definitions.list, staleTime: 60_000 });
  const pause = useLive("dashboard", ["statistics"], { oftenMs: STATISTICS_MS });
  const totalsPause = useLive("dashboard", ["totals"], { oftenMs: TOTALS_MS });
  const lagPause = useLive("workers", ["fleet", "lag"], { enabled: mayLag });
  const query = useQuery({
    queryKey: ["statistics", hours, definition],
    queryFn: () =>
      figures.statistics(Math.floor(Date.now() / HOUR) * HOUR - hours * HOUR, Date.now(), definition || undefined),
    refetchInterval: pause,
    placeholderData: keepPreviousData,
  });
  const budget = useQuery({
    queryKey: ["totals", "budget", definition],
    queryFn: () => figures.statistics(Date.now() - BUDGET_DAYS * 24 * HOUR, Date.now(), definition || undefined),
    refetchInterval: totalsPause && TOTALS_MS,
  });
  const one = known.data?.rows.find((row) => row.definition === definition);
  const lag = useQuery({
    queryKey: ["fleet", "lag"],
    queryFn: figures.lag,
    refetchInterval: lagPause,
    enabled: mayLag,
  });
  const set = (name: string, value: string) =>
    setSearch((now) => {
      const next = new URLSearchParams(now);
      next.set(name, value);
      return next;
    });
  return (
    <>
      <PageHead title="Dashboard">
        <select
          aria-label="Definition"
          className={cx(inputLook, "max-w-full sm:max-w-xs")}
          value={definition}
          onChange={(event) => set("definition", event.target.value)}
        >
          <option value="">Every definition</option>
          <DefinitionOptions rows={known.data?.rows} />
        </select>
        <select
          aria-label="Time"
          className={inputLook}
          value={hours}
          onChange={(event) => set("hours", event.target.value)}
        >
          {RANGES.map(([title, value]) => (
            <option key={value} value={value}>
              {title}
            </option>
          ))}
        </select>
        <Button
          disabled={!query.data}
          onClick={() =>
            query.data &&
            save(
              "streamflow-hours.csv",
              hoursOf(query.data).map((hour) => ({ ...hour })),
            )
          }
        >
          <Download size={15} aria-hidden /> Export
        </Button>
      </PageHead>
      <Loaded query={query}>
        {(found) => (
          <>
            <Tiles found={found} budget={budget.data} />
            <Suspense fallback={<Waiting lines={8} />}>
              <Charts hours={hoursOf(found)} />
            </Suspense>
            {one ? (
              <Steps row={one} />
            ) : (
              <Definitions
                all={known.data?.rows.length ?? 0}
                names={(known.data?.rows ?? []).slice(0, MOST).map((row) => row.definition)}
                from_ms={found.from_ms}
                to_ms={Math.ceil(found.to_ms / HOUR) * HOUR}
              />
            )}
          </>
        )}
      </Loaded>
      {mayLag && (
        <Card title="Lag" pad={false}>
          <Loaded query={lag}>{(page) => <LagTable rows={page.rows} />}</Loaded>
        </Card>
      )}
    </>
  );
}
