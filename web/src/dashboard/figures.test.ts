import { describe, expect, it } from "vitest";
import type { Point, Statistics } from "../api/types";
import { budgetUsed, csvOf, hoursOf, stepsOf, totalsOf } from "./figures";

const HOUR = 3_600_000;
const point = (hour: number, outcome: string, n: number, p95_ms: number | null = null): Point => ({
  hour_ms: hour * HOUR,
  outcome,
  n,
  mean_ms: p95_ms,
  p50_ms: p95_ms,
  p95_ms,
  p99_ms: p95_ms,
});
const found = (rows: Point[], hours = 2): Statistics => ({ from_ms: 0, to_ms: hours * HOUR, rows, next: null });

describe("totalsOf", () => {
  it("counts a cancelled run as ended and not as failed", () => {
    const rows = [
      point(0, "started", 12),
      point(0, "completed", 6, 40),
      point(0, "failed", 2),
      point(1, "completed", 1, 90),
      point(1, "cancelled", 1),
    ];
    expect(totalsOf(found(rows))).toEqual({
      started: 12,
      ended: 10,
      failed: 2,
      success: 0.8,
      perHour: 5,
      p95_ms: 90,
      p99_ms: 90,
    });
  });
  it("knows no share of nothing, and no budget is used", () => {
    expect(totalsOf(found([])).success).toBeNull();
    expect(budgetUsed(totalsOf(found([])))).toBe(0);
  });
  it("uses the budget at the target", () =>
    expect(budgetUsed(totalsOf(found([point(0, "completed", 199), point(0, "failed", 1)])))).toBeCloseTo(1));
});

describe("hoursOf", () => {
  it("has a row for an hour in which nothing ended", () => {
    const hours = hoursOf(found([point(2, "completed", 3, 7), point(2, "failed", 1)], 3));
    expect(hours.map((hour) => [hour.completed, hour.failed, hour.p95_ms])).toEqual([
      [0, 0, null],
      [0, 0, null],
      [3, 1, 7],
    ]);
  });
});

describe("stepsOf", () => {
  it("adds the outcomes of a step and does not count what was skipped", () => {
    const row = (step: string, outcome: string, n: number, p95_ms: number | null) => ({
      step,
      outcome,
      n,
      p50_ms: p95_ms,
      p95_ms,
    });
    expect(
      stepsOf([
        row("a", "done", 3, 5),
        row("b", "done", 1, 9),
        row("a", "failure", 1, 7),
        row("a", "skipped", 8, null),
      ]),
    ).toEqual([
      { step: "b", n: 1, failed: 0, p50_ms: 9, p95_ms: 9 },
      { step: "a", n: 4, failed: 1, p50_ms: 7, p95_ms: 7 },
    ]);
  });
});

describe("csvOf", () => {
  it("quotes what would be read otherwise", () => {
    expect(
      csvOf([
        { a: 'x"y', b: 1 },
        { a: "=1+1", b: -2 },
        { a: "p,q", b: null },
      ]),
    ).toBe('a,b\r\n"x""y",1\r\n\'=1+1,-2\r\n"p,q",\r\n');
  });
});
