// Sums over the hours of a dashboard. Pure.

import type { Statistics } from "../api/types";

const HOUR_MS = 3_600_000;
export const TARGET = 0.995; // of the runs that end do not fail
export const BUDGET_DAYS = 30;

export interface Hour {
  at_ms: number;
  completed: number;
  failed: number;
  cancelled: number;
  p50_ms: number | null;
  p95_ms: number | null;
  p99_ms: number | null;
}

/** A row for each hour of the range, also for those in which nothing ended. Durations are those of completed runs. */
export function hoursOf(statistics: Statistics): Hour[] {
  const found = new Map<number, Hour>();
  const first = Math.floor(statistics.from_ms / HOUR_MS) * HOUR_MS;
  for (let at_ms = first; at_ms < statistics.to_ms; at_ms += HOUR_MS)
    found.set(at_ms, { at_ms, completed: 0, failed: 0, cancelled: 0, p50_ms: null, p95_ms: null, p99_ms: null });
  for (const point of statistics.rows) {
    const hour = found.get(point.hour_ms);
    if (!hour) continue;
    if (point.outcome === "completed")
      Object.assign(hour, { completed: point.n, p50_ms: point.p50_ms, p95_ms: point.p95_ms, p99_ms: point.p99_ms });
    else if (point.outcome === "failed") hour.failed = point.n;
    else if (point.outcome === "cancelled") hour.cancelled = point.n;
  }
  return [...found.values()];
}

export interface Totals {
  started: number;
  ended: number;
  failed: number;
  /** Share of the ended runs that did not fail; null: none ended. */
  success: number | null;
  perHour: number;
  /** The longest p95 and p99 of an hour; null: nothing has one. */
  p95_ms: number | null;
  p99_ms: number | null;
}

export function totalsOf(statistics: Statistics): Totals {
  const sum = (...outcomes: string[]) =>
    statistics.rows.filter((point) => outcomes.includes(point.outcome)).reduce((total, point) => total + point.n, 0);
  const longest = (name: "p95_ms" | "p99_ms") => {
    const known = statistics.rows
      .filter((point) => point.outcome === "completed" && point[name] !== null)
      .map((point) => point[name]!);
    return known.length > 0 ? Math.max(...known) : null;
  };
  const ended = sum("completed", "failed", "cancelled");
  const failed = sum("failed");
  const hours = Math.max(1, (statistics.to_ms - statistics.from_ms) / HOUR_MS);
  return {
    started: sum("started"),
    ended,
    failed,
    success: ended > 0 ? 1 - failed / ended : null,
    perHour: ended / hours,
    p95_ms: longest("p95_ms"),
    p99_ms: longest("p99_ms"),
  };
}

/** How much of the failures that the target allows were used; above 1 it is missed. */
export function budgetUsed(totals: Totals): number {
  return totals.success === null ? 0 : (1 - totals.success) / (1 - TARGET);
}

export interface StepTotals {
  step: string;
  n: number;
  failed: number;
  p50_ms: number | null;
  p95_ms: number | null;
}

/** The steps of a version, the slowest first. */
export function stepsOf(
  rows: { step: string; outcome: string; n: number; p50_ms: number | null; p95_ms: number | null }[],
) {
  const found = new Map<string, StepTotals>();
  const longer = (a: number | null, b: number | null) => (a === null || b === null ? (a ?? b) : Math.max(a, b));
  for (const row of rows) {
    const step = found.get(row.step) ?? { step: row.step, n: 0, failed: 0, p50_ms: null, p95_ms: null };
    if (row.outcome !== "skipped") step.n += row.n;
    if (["failure", "timeout", "parked"].includes(row.outcome)) step.failed += row.n;
    step.p50_ms = longer(step.p50_ms, row.p50_ms);
    step.p95_ms = longer(step.p95_ms, row.p95_ms);
    found.set(row.step, step);
  }
  return [...found.values()].sort((a, b) => (b.p95_ms ?? 0) - (a.p95_ms ?? 0));
}

/** A table as comma-separated values (RFC 4180). A text that a spreadsheet would take for a formula is quoted. */
export function csvOf(rows: Record<string, string | number | null>[]): string {
  const names = Object.keys(rows[0] ?? {});
  const cell = (value: string | number | null) => {
    const text = typeof value === "string" && /^[=+\-@\t\r]/.test(value) ? `'${value}` : String(value ?? "");
    return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  return [names.map(cell), ...rows.map((row) => names.map((name) => cell(row[name] ?? null)))]
    .map((line) => `${line.join(",")}\r\n`)
    .join("");
}
