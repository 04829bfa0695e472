import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { runs } from "../api/calls";
import type { Bar as BarFacts, Gantt, GanttRow } from "../api/types";
import { Card, cx } from "../parts/basics";
import { Loaded } from "../parts/loading";
import { useNow } from "../parts/now";
import { plain, span } from "../parts/words";
import { axisOf, type Axis, type Span } from "./axis";

const WORK = new Set(["calling", "listing"]); // in these states something is being done
const FILLS: Record<string, string> = { parked: "var(--fill-warn)", retrying: "var(--fill-warn)" };
const FAILED = new Set(["failure", "timeout"]);

function fillOf(row: GanttRow, bar: BarFacts): string {
  if (FILLS[bar.state]) return FILLS[bar.state]!;
  if (row.end_ms === null) return "var(--fill-accent)";
  return FAILED.has(row.outcome ?? "") && bar.to_ms === row.end_ms ? "var(--fill-bad)" : "var(--fill-good)";
}

/** The colour of a step that took no time. */
function momentOf(row: GanttRow): string {
  return FAILED.has(row.outcome ?? "") ? "var(--fill-bad)" : "var(--fill-good)";
}

/** What is no idle time: work, and a moment around each change of a step. */
function busyOf(gantt: Gantt, end: number): Span[] {
  return gantt.rows.flatMap((row) =>
    row.bars.flatMap((bar) => {
      const until = bar.to_ms ?? end;
      if (WORK.has(bar.state)) return [{ start_ms: bar.from_ms, end_ms: until }];
      return [bar.from_ms, until].map((ms) => ({ start_ms: ms, end_ms: ms + 1 }));
    }),
  );
}

function Bar({ axis, bar, end, fill }: { axis: Axis; bar: BarFacts; end: number; fill: string }) {
  const left = axis.place(bar.from_ms);
  const width = Math.max(axis.place(bar.to_ms ?? end) - left, 0.004);
  return (
    <span
      title={`${plain(bar.state)}: ${span((bar.to_ms ?? end) - bar.from_ms)}`}
      style={{ left: `${left * 100}%`, width: `${width * 100}%`, background: fill }}
      className={cx("absolute rounded-[3px]", WORK.has(bar.state) ? "top-1 h-4" : "top-2 h-2 opacity-55")}
    />
  );
}

/** One row a step. Where nothing was being done, the bar is thin; long stretches without any work are folded. */
export default function GanttCard({ run, seq, onStep }: { run: string; seq: number; onStep: (step: string) => void }) {
  const query = useQuery({
    queryKey: ["run", run, "gantt", seq],
    queryFn: () => runs.gantt(run),
    placeholderData: keepPreviousData,
  });
  const now = useNow();
  const [isFolded, setFolded] = useState(true);
  return (
    <Card
      title="Time"
      aside={
        <label className="flex items-center gap-2 text-muted">
          <input type="checkbox" checked={isFolded} onChange={(event) => setFolded(event.target.checked)} /> fold idle
          time
        </label>
      }
    >
      <Loaded query={query}>
        {(gantt) => {
          const end = gantt.ended ? gantt.to_ms : Math.max(gantt.to_ms, now);
          const axis = axisOf(gantt.from_ms, end, isFolded ? busyOf(gantt, end) : []);
          return (
            <div className="space-y-1">
              <div className="relative ml-[34%] h-5 text-[11px] text-muted sm:mr-23 sm:ml-48">
                <span className="absolute left-0 z-10 bg-card pr-2">0</span>
                <span className="absolute right-0 z-10 bg-card pl-2">{span(end - gantt.from_ms)}</span>
                {axis.folds.map((fold) => (
                  <span
                    key={fold.start_ms}
                    style={{ left: `${fold.at * 100}%` }}
                    className="absolute whitespace-nowrap"
                    title={`${span(fold.end_ms - fold.start_ms)} without work`}
                  >
                    ⋯
                  </span>
                ))}
              </div>
              <ul>
                {gantt.rows.map((row) => (
                  <li key={row.step} className="flex items-center gap-3">
                    <button
                      type="button"
                      onClick={() => onStep(row.step)}
                      className="w-[32%] shrink-0 truncate py-1 text-left hover:text-accent sm:w-45"
                      title={row.step}
                    >
                      {row.step}
                      {row.items && (
                        <span className="text-muted">
                          {" "}
                          {row.items.done + row.items.failed}/{row.items.total}
                        </span>
                      )}
                      {row.error_code && <span className="text-bad"> {row.error_code}</span>}
                    </button>
                    <span className="relative h-6 min-w-0 grow rounded-[4px] bg-raised">
                      {axis.folds.map((fold) => (
                        <span
                          key={fold.start_ms}
                          style={{ left: `${fold.at * 100}%`, width: "3.5%" }}
                          className="absolute inset-y-0 border-x border-dashed border-line bg-page"
                        />
                      ))}
                      {row.bars.length === 0 && row.state !== "skipped" && (
                        <span
                          style={{
                            left: `${Math.min(axis.place(row.start_ms), 0.996) * 100}%`,
                            background: momentOf(row),
                          }}
                          className="absolute top-1 h-4 w-1 rounded-[2px]"
                        />
                      )}
                      {row.bars.map((bar) => (
                        <Bar key={bar.from_ms + bar.state} axis={axis} bar={bar} end={end} fill={fillOf(row, bar)} />
                      ))}
                    </span>
                    <span className="hidden w-20 shrink-0 text-right text-[12px] whitespace-nowrap text-muted tabular-nums sm:block">
                      {row.state === "skipped" ? "skipped" : span((row.end_ms ?? end) - row.start_ms)}
                    </span>
                  </li>
                ))}
              </ul>
            </div>
          );
        }}
      </Loaded>
    </Card>
  );
}
