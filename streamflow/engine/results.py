"""What comes back from outside: results of attempts, their failures, and attempts that wait for a callback."""

from __future__ import annotations

from streamflow.definition.plan import StepPlan
from streamflow.engine import commands as c
from streamflow.engine.advance import go_on_after
from streamflow.engine.draft import Draft, RunDraft
from streamflow.engine.evaluation import Parked, Place
from streamflow.engine.lookup import maybe_open
from streamflow.engine.outcome import Contents, Refused
from streamflow.engine.state import ItemState, Own, StepState, item_key
from streamflow.engine.steps.attempts import Pending, fail
from streamflow.engine.steps.items import go_on_list
from streamflow.engine.transitions import AttemptSucceeded, AttemptSuspended

Result = c.CompleteAttempt | c.FailAttempt | c.SuspendAttempt
MESSAGE_CHARS = 1000


def complete_attempt(draft: Draft, contents: Contents, own: Own, command: c.CompleteAttempt) -> None:
    """Take the output of an attempt. Raises Refused."""
    pending = _pending(draft, contents, command)
    run, step = pending.run, pending.step
    try:
        Place(run).fits(command.output, "output")
    except Parked as parked:
        code = "output_too_large" if parked.code == "too_large" else "output_invalid"
        reason = parked.code.replace("_", " ")
        message = f"The output is {reason} for a record. Have it stored, and give its place as the output."
        fail(pending, code, message, retryable=False)
    else:
        succeeded = AttemptSucceeded(output=command.output, item=pending.item, armed_ms=pending.armed_ms)
        run.record(succeeded, step.id, attempt=command.attempt)
    _go_on(run, step, pending.item)


def fail_attempt(draft: Draft, contents: Contents, own: Own, command: c.FailAttempt) -> None:
    """Try again later, or end the step without success. Raises Refused."""
    pending = _pending(draft, contents, command)
    fail(
        pending,
        command.code[:64],
        command.message[:MESSAGE_CHARS],
        retryable=command.retryable,
        after_ms=command.retry_after_ms or 0,
    )
    _go_on(pending.run, pending.step, pending.item)


def suspend_attempt(draft: Draft, contents: Contents, own: Own, command: c.SuspendAttempt) -> None:
    """Wait for a callback. Raises Refused."""
    pending = _pending(draft, contents, command, statuses=("calling",))
    run, step = pending.run, pending.step
    if pending.state.child is not None:
        raise Refused("rejected", "attempt_unknown")  # no worker has it, and who waits for a run must not forget which
    deadline = run.head.steps[step.id].deadline_ms
    due = draft.now_ms + max(0, command.for_ms)
    if deadline is not None and pending.item is None:
        due = min(due, deadline)
    suspended = AttemptSuspended(due_ms=due, item=pending.item, armed_ms=pending.armed_ms, spent=pending.spent)
    run.record(suspended, step.id, attempt=command.attempt)


def _go_on(run: RunDraft, step: StepPlan, item: int | None) -> None:
    """Begin what may begin now."""
    if item is not None:
        go_on_list(run, step)
    go_on_after(run, step)


def _pending(
    draft: Draft, contents: Contents, command: Result, statuses: tuple[str, ...] = ("calling", "suspended")
) -> Pending:
    """The attempt that waits for `command`. Raises Refused: whatever comes for an old attempt, or a second time,
    changes nothing."""
    run = maybe_open(draft, contents, command.run)
    if run is None:
        raise Refused("rejected", "run_unknown")
    step, item = run.plan.step(command.address), command.item
    state: StepState | ItemState | None = run.head.steps.get(command.address)
    if step is None or (state is None and item is not None):
        raise Refused("rejected", "attempt_unknown")
    if item is not None:
        state = draft.get(item_key(command.run, command.address, item))
        if state is None:
            raise Refused("duplicate", "attempt_ended")
    if state is not None and state.attempt == command.attempt and state.status in statuses:
        return Pending(run, step, state, item)
    if state is not None and state.attempt == command.attempt and state.status in ("done", "failed"):
        raise Refused("duplicate", "attempt_ended")
    raise Refused("rejected", "late_result")
