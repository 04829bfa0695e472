import { describe, expect, it } from "vitest";
import { axisOf } from "./axis";

const HOUR = 3_600_000;

describe("axisOf", () => {
  it("is plain where nothing is idle", () => {
    const axis = axisOf(0, 100, [{ start_ms: 0, end_ms: 100 }]);
    expect(axis.folds).toEqual([]);
    expect(axis.place(25)).toBeCloseTo(0.25);
  });

  it("folds a day between two seconds of work", () => {
    const axis = axisOf(0, 24 * HOUR, [
      { start_ms: 0, end_ms: 1_000 },
      { start_ms: 24 * HOUR - 1_000, end_ms: 24 * HOUR },
    ]);
    expect(axis.folds).toHaveLength(1);
    expect(axis.place(1_000)).toBeGreaterThan(0.45);
    expect(axis.place(24 * HOUR)).toBeCloseTo(1);
  });

  it("never goes back, and stays within 0 and 1", () => {
    const axis = axisOf(1_000, 50_000, [
      { start_ms: 2_000, end_ms: 2_500 },
      { start_ms: 40_000, end_ms: 41_000 },
      { start_ms: 2_200, end_ms: 3_000 },
    ]);
    let last = 0;
    for (let ms = 0; ms <= 60_000; ms += 250) {
      const at = axis.place(ms);
      expect(at).toBeGreaterThanOrEqual(last);
      expect(at).toBeLessThanOrEqual(1.000_001);
      last = at;
    }
    expect(last).toBeCloseTo(1);
  });

  it("is plain without any work, and for one moment", () => {
    expect(axisOf(0, 1_000, []).folds).toEqual([]);
    expect(axisOf(5, 5, []).place(5)).toBe(0);
  });
});
