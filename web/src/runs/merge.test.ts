import { describe, expect, it } from "vitest";
import type { Transition } from "../api/types";
import { gist, goOn, hasEnded, mergeTransitions } from "./merge";

const one = (seq: number, type = "DelayStarted", data: Record<string, unknown> = {}): Transition => ({
  seq,
  type,
  data,
  at_ms: seq,
  cause: "",
});

describe("mergeTransitions", () => {
  it("has each seq once, newest first, whatever the order of arrival", () => {
    expect(mergeTransitions([one(3), one(1)], [one(2), one(3), one(4)]).map((each) => each.seq)).toEqual([4, 3, 2, 1]);
  });
});

describe("goOn", () => {
  const rows = (from: number, to: number) => Array.from({ length: from - to + 1 }, (_, index) => one(from - index));
  it.each([
    ["what was told after a page", rows(5, 1), rows(7, 6), rows(7, 1)],
    ["a page that overlaps", rows(5, 1), rows(7, 3), rows(7, 1)],
    ["an older page", rows(9, 6), rows(5, 2), rows(9, 2)],
    ["the first page", [], rows(3, 1), rows(3, 1)],
    ["nothing", rows(3, 1), [], rows(3, 1)],
    ["a page with a gap before it", rows(5, 1), rows(9, 7), rows(9, 7)],
  ])("%s", (_, known, more, whole) => {
    expect(goOn(known, more).map((each) => each.seq)).toEqual(whole.map((each) => each.seq));
  });
});

describe("hasEnded", () => {
  it("is said by the newest transition alone", () => {
    expect(hasEnded([one(3, "RunCompleted"), one(2)])).toBe(true);
    expect(hasEnded([one(3), one(2, "RunFailed")])).toBe(false);
    expect(hasEnded([])).toBe(false);
  });
});

describe("gist", () => {
  it.each([
    ["RunStarted", { event: { name: "order.placed" } }, "by order.placed"],
    ["AttemptFailed", { code: "timeout", message: "late" }, "timeout: late"],
    ["RunStarted", { event: { name: "" } }, "by a request"],
    ["StepsSkipped", { steps: ["a", "b"] }, "a, b"],
    ["CallRequested", { operation: "http.request", input: {} }, "http.request"],
    ["RequirementMet", {}, ""],
  ])("of %s", (type, data, text) => expect(gist(one(1, type, data))).toBe(text));
});
