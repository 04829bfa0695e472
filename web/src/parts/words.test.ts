import { describe, expect, it } from "vitest";
import { ago, plain, short, span } from "./words";

describe("words", () => {
  it.each([
    [0, "0 ms"],
    [999, "999 ms"],
    [1_400, "1.4 s"],
    [59_000, "59 s"],
    [60_000, "1 min"],
    [3_900_000, "1 h 5 min"],
    [90_000_000, "1 d 1 h"],
  ])("says %d ms as %s", (ms, text) => expect(span(ms)).toBe(text));

  it("says times relative to now, both ways", () => {
    expect(ago(1_000_000, 1_003_200)).toBe("3 s ago");
    expect(ago(1_000_000, 1_000_400)).toBe("now");
    expect(ago(4_600_000, 1_000_000)).toBe("in 1 h");
  });

  it("turns names into words", () => {
    expect(plain("StepsSkipped")).toBe("steps skipped");
    expect(plain("dead_letter")).toBe("dead letter");
  });

  it("cuts long texts", () => expect(short("abcdef", 4)).toBe("abc…"));
});
