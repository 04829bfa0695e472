import { describe, expect, it } from "vitest";
import type { Run, Transition } from "../api/types";
import { causeOf } from "./cause";

const at = (
  seq: number,
  type: string,
  step: string | undefined,
  data: Record<string, unknown>,
  attempt?: number,
): Transition => ({ seq, type, step, data, attempt, at_ms: seq * 1000, cause: `c${seq}` });

const NEWEST = [
  at(6, "StepParked", "pay", { code: "card_refused", at: "call" }),
  at(5, "AttemptFailed", "pay", { code: "card_refused", message: "The bank refused it." }, 2),
  at(4, "CallRequested", "pay", { operation: "bank.pay", input: { cents: 5 } }, 2),
  at(3, "AttemptFailed", "other", { code: "x", message: "" }, 1),
];

const run = (changed: Partial<Run>): Run => ({
  run: "r",
  definition: "d",
  version: "1",
  key: "k",
  status: "parked",
  started_ms: 0,
  last_ms: 0,
  ended: "",
  at: {},
  correlation_id: null,
  trace_id: null,
  seq: 6,
  steps: [{ id: "pay", state: "parked" }],
  ...changed,
});

describe("causeOf", () => {
  it("names step, attempt, what was sent and what came back", () => {
    const cause = causeOf(run({}), NEWEST)!;
    expect(cause).toMatchObject({
      step: "pay",
      attempt: 2,
      code: "card_refused",
      message: "The bank refused it.",
      operation: "bank.pay",
      sent: { cents: 5 },
      at_ms: 5000,
    });
    expect(cause.remedy).toContain("retry");
  });

  it("has none for a run that goes on, or is complete", () => {
    expect(causeOf(run({ status: "open", steps: [] }), NEWEST)).toBeNull();
    expect(causeOf(run({ status: "completed", steps: [] }), NEWEST)).toBeNull();
  });

  it("says what ended a failed run, also without any transition", () => {
    const cause = causeOf(run({ status: "failed", steps: [], ended: "nobody approved it" }), []);
    expect(cause).toMatchObject({ code: "failed", message: "nobody approved it", sent: undefined });
    expect(cause!.remedy).toContain("start it again");
  });
});
