"""Results from external systems: results of attempts, their failures, and attempts that wait for a callback."""

from __future__ import annotations

from streamflow.definition.plan import StepPlan
from streamflow.engine import commands as c
from streamflow.engine.advance import advance_after
from streamflow.engine.attempt_transitions import AttemptSucceeded, AttemptSuspended
from streamflow.engine.builder import DecisionBuilder, RunBuilder
from streamflow.engine.evaluation import EvaluationContext, ParkStep
from streamflow.engine.lookup import maybe_open
from streamflow.engine.outcome import Contents, Refused
from streamflow.engine.record_keys import item_key
from streamflow.engine.state import ItemState, PartitionState, StepState
from streamflow.engine.steps.attempts import Pending, fail
from streamflow.engine.steps.items import continue_list, items_of

Result = c.CompleteAttempt | c.FailAttempt | c.SuspendAttempt


def complete_attempt(
    builder: DecisionBuilder, contents: Contents, own: PartitionState, command: c.CompleteAttempt
) -> None:
    """Take the output of an attempt. Raises Refused."""
    pending = _pending(builder, contents, command)
    run, step = pending.run, pending.step
    try:
        size = EvaluationContext(run).check_size(command.output, "output")
        counted = _check_list(pending, size)
    except ParkStep as parked:
        code = "output_too_large" if parked.code == "too_large" else "output_invalid"
        what = "The outputs of the list are together" if parked.at == "outputs" else "The output is"
        reason = parked.code.replace("_", " ")
        message = f"{what} {reason} for a record. Store the data elsewhere and return references."
        fail(pending, code, message, retryable=False)
    else:
        succeeded = AttemptSucceeded(
            output=command.output, item=pending.item, armed_ms=pending.armed_ms, output_bytes=counted
        )
        run.record(succeeded, step.id, attempt=command.attempt)
    _go_on(run, step, pending.item)


def fail_attempt(builder: DecisionBuilder, contents: Contents, own: PartitionState, command: c.FailAttempt) -> None:
    """Try again later, or end the step without success. Raises Refused."""
    pending = _pending(builder, contents, command)
    fail(
        pending,
        command.code[:64],
        command.message[: c.MESSAGE_CHARS],
        retryable=command.retryable,
        after_ms=command.retry_after_ms or 0,
    )
    _go_on(pending.run, pending.step, pending.item)


def suspend_attempt(
    builder: DecisionBuilder, contents: Contents, own: PartitionState, command: c.SuspendAttempt
) -> None:
    """Wait for a callback. Raises Refused."""
    pending = _pending(builder, contents, command, statuses=("calling",))
    run, step = pending.run, pending.step
    if pending.state.child is not None:
        raise Refused("rejected", "attempt_unknown")  # no worker has it, and who waits for a run must not forget which
    deadline = run.head.steps[step.id].deadline_ms
    due = builder.now_ms + max(0, command.for_ms)
    if deadline is not None and pending.item is None:
        due = min(due, deadline)
    suspended = AttemptSuspended(
        due_ms=due, item=pending.item, armed_ms=pending.armed_ms, attempts_before_retry=pending.attempts_before_retry
    )
    run.record(suspended, step.id, attempt=command.attempt)


def _check_list(pending: Pending, size: int) -> int:
    """The bytes that an item adds to the outputs of its list; 0 if none are kept. Raises ParkStep if those are too
    many: an expression that reads the list has all of them in memory."""
    run, step = pending.run, pending.step
    if pending.item is None or step.id not in run.plan.reads:
        return 0
    if items_of(run, step).output_bytes + size > run.builder.limits.list_bytes:
        raise ParkStep("too_large", "outputs")
    return size


def _go_on(run: RunBuilder, step: StepPlan, item: int | None) -> None:
    """Begin what may begin now."""
    if item is not None:
        continue_list(run, step)
    advance_after(run, step)


def _pending(
    builder: DecisionBuilder, contents: Contents, command: Result, statuses: tuple[str, ...] = ("calling", "suspended")
) -> Pending:
    """The attempt that waits for `command`. Raises Refused: whatever comes for an old attempt, or a second time,
    changes nothing."""
    run = maybe_open(builder, contents, command.run)
    if run is None:
        raise Refused("rejected", "run_unknown")
    step, item = run.plan.step(command.address), command.item
    state: StepState | ItemState | None = run.head.steps.get(command.address)
    if step is None or (state is None and item is not None):
        raise Refused("rejected", "attempt_unknown")
    if item is not None:
        state = builder.get(item_key(command.run, command.address, item))
        if state is None:
            raise Refused("duplicate", "attempt_ended")
    if state is not None and state.attempt == command.attempt and state.status in statuses:
        return Pending(run, step, state, item)
    if state is not None and state.attempt == command.attempt and state.status in ("done", "failed"):
        raise Refused("duplicate", "attempt_ended")
    raise Refused("rejected", "late_result")
