// What a person must know first of a run that is in trouble. Pure.

import type { Run, Transition } from "../api/types";

export interface Cause {
  step: string;
  attempt: number | null;
  attempts: number;
  code: string;
  message: string;
  at_ms: number | null;
  operation: string | null;
  sent: unknown;
  /** What to do next, in one sentence. */
  remedy: string;
}

/** The address of the step that a transition is about, as the steps of a run have it; empty: the run. */
export function addressOf(one: Transition): string {
  return one.scope ? `${one.scope}.${one.step ?? ""}` : (one.step ?? "");
}

/** The parked step of an open run that began first; null: none is. */
export function parkedOf(run: Run): string | null {
  if (run.status !== "open" && run.status !== "parked") return null;
  return run.steps.find((step) => step.state === "parked")?.id ?? null;
}

/** The latest failure that keeps `run` from going on; null: it has none. `newest` are its latest transitions, newest
 * first. */
export function causeOf(run: Run, newest: Transition[]): Cause | null {
  const parkedStep = parkedOf(run);
  if (parkedStep === null && run.status !== "failed") return null;
  const failed = newest.find(
    (one) => one.type === "AttemptFailed" && (parkedStep === null || addressOf(one) === parkedStep),
  );
  const parked = newest.find((one) => one.type === "StepParked" && addressOf(one) === parkedStep);
  const step = parkedStep ?? (failed ? addressOf(failed) : "");
  const facts = run.steps.find((each) => each.id === step);
  const attempt = failed?.attempt ?? facts?.error?.attempt ?? null;
  const call = newest.find(
    (one) => one.type === "CallRequested" && addressOf(one) === step && (attempt === null || one.attempt === attempt),
  );
  return {
    step,
    attempt,
    attempts: facts?.attempts ?? attempt ?? 0,
    code: facts?.error?.code ?? String(failed?.data.code ?? parked?.data.code ?? facts?.parked ?? "failed"),
    message: facts?.error?.message ?? String(failed?.data.message ?? facts?.parked_detail ?? run.ended),
    at_ms: failed?.at_ms ?? parked?.at_ms ?? run.last_ms,
    operation: facts?.operation ?? (call ? String(call.data.operation) : null),
    sent: call?.data.input,
    remedy:
      parkedStep !== null
        ? "Remove the cause, then retry the step. Skip it if the run can go on without it, or fail the run: what is to be undone is undone."
        : "The run has ended. Remove the cause, then start it again with the same input.",
  };
}
