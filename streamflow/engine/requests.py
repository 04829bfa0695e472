"""What people ask for, and the continuing of runs that reached the limit of one command."""

from __future__ import annotations

from typing import Any

from streamflow.engine import commands as c
from streamflow.engine.advance import advance
from streamflow.engine.draft import Draft, RunDraft
from streamflow.engine.lookup import maybe_open
from streamflow.engine.outcome import Contents, Refused
from streamflow.engine.state import FinishedRun, Own, done_key
from streamflow.engine.transitions import RunCancelled, RunFailed, StepRetried, StepsSkipped


def continue_run(draft: Draft, contents: Contents, own: Own, command: c.Continue) -> None:
    """Go on where the limit of one command stopped. Raises Refused when nothing is left to do."""
    run = maybe_open(draft, contents, command.run)
    if run is None:
        raise Refused("duplicate", "run_ended")
    advance(run)
    if not draft.transitions:
        raise Refused("duplicate", "nothing_to_do")


def cancel_run(draft: Draft, contents: Contents, own: Own, command: c.CancelRun) -> None:
    """End a run as cancelled. Raises Refused."""
    _asked_for(draft, contents, command).record(RunCancelled(command.reason))


def fail_run(draft: Draft, contents: Contents, own: Own, command: c.FailRun) -> None:
    """End a parked run as failed. Raises Refused."""
    run = _asked_for(draft, contents, command)
    if not run.head.parked:
        raise Refused("rejected", "not_parked", "expected a parked run but it is not; cancel it instead", _describe(run))
    run.record(RunFailed(command.reason))


def retry_step(draft: Draft, contents: Contents, own: Own, command: c.RetryStep) -> None:
    """Try a parked step again. Raises Refused."""
    run = _parked_step(draft, contents, command)
    run.record(StepRetried(), command.step)
    advance(run, (command.step,))


def skip_step(draft: Draft, contents: Contents, own: Own, command: c.SkipStep) -> None:
    """Treat a parked step as skipped. Raises Refused."""
    run = _parked_step(draft, contents, command)
    run.record(StepsSkipped((command.step,)))
    advance(run, run.plan.steps[command.step].dependents)


def _parked_step(draft: Draft, contents: Contents, command: c.RetryStep | c.SkipStep) -> RunDraft:
    run = _asked_for(draft, contents, command)
    state = run.head.steps.get(command.step)
    if state is None or state.status != "parked":
        now = state.status if state else "not begun"
        raise Refused("rejected", "not_parked", f"expected step {command.step} to be parked but it is {now}; look at the run again", _describe(run))
    return run


def _asked_for(draft: Draft, contents: Contents, command: c.CancelRun | c.FailRun | c.RetryStep | c.SkipStep) -> RunDraft:
    run = maybe_open(draft, contents, command.run)
    if run is not None:
        return run
    done: FinishedRun | None = draft.get(done_key(command.run))
    if done is not None:
        raise Refused("rejected", "run_ended", f"expected an open run but it ended with {done.ended}; nothing is left to do", {"ended": done.ended})
    raise Refused("rejected", "run_unknown", "expected an open run but there is none of this id; list the runs")


def _describe(run: RunDraft) -> dict[str, Any]:
    return {"seq": run.head.seq, "steps": {name: step.status for name, step in run.head.steps.items()}}
