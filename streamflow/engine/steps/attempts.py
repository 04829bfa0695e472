"""Attempts of what is done outside: beginning one, its results, its retries. Shared by calls, child runs, and the items
of lists."""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from streamflow.definition.plan import NO_OUTCOME, CallPlan, ChildPlan, RetryPlan, StepPlan
from streamflow.engine import commands as c
from streamflow.engine.attempt_transitions import AttemptFailed, CallRequested, ChildRequested
from streamflow.engine.effects import AppendCommand, SendTask
from streamflow.engine.evaluation import EvaluationContext, ParkStep
from streamflow.engine.record_keys import LIST_CHUNK, list_key
from streamflow.engine.state import UNDER_WAY, ItemState, StepState
from streamflow.engine.steps.kind import FiredTimer
from streamflow.engine.tasks import CancelTask, Task, idempotency_key, task_id
from streamflow.engine.transitions import StepParked
from streamflow.ids import run_id

if TYPE_CHECKING:
    from streamflow.engine.builder import RunBuilder

OUT_OF_TIME = frozenset({"attempt_timeout", "attempt_lost", "queue_expired", "deadline_passed", "callback_missed"})


class Pending:
    """An attempt under way, or about to be tried again."""

    __slots__ = ("item", "run", "state", "step")

    def __init__(self, run: RunBuilder, step: StepPlan, state: StepState | ItemState, item: int | None) -> None:
        self.run = run
        self.step = step
        self.state = state
        self.item = item

    @property
    def armed_ms(self) -> int | None:
        """The timer that its end disarms, as facts of items carry it."""
        return self.state.due_ms if self.item is not None else None

    @property
    def attempts_before_retry(self) -> int:
        """The attempts before a person's retry, as facts of items carry them."""
        return self.state.attempts_before_retry if self.item is not None else 0


def begin_attempt(
    run: RunBuilder,
    step: StepPlan,
    attempt: int,
    *,
    attempts_before_retry: int = 0,
    item: int | None = None,
    armed_ms: int | None = None,
) -> None:
    """Make an attempt, of one item if the step has a list. `armed_ms` is the item's timer that this ends. Raises
    ParkStep."""
    builder, head, work = run.builder, run.head, step.work
    assert isinstance(work, CallPlan | ChildPlan)
    state = head.steps.get(step.id)
    deadline = state.deadline_ms if state is not None else None
    if deadline is None and item is None and work.within_ms is not None:
        deadline = builder.now_ms + work.within_ms
    element = (
        None
        if item is None
        else (item, builder.get(list_key(head.run, step.id, item // LIST_CHUNK))[item % LIST_CHUNK])
    )
    inputs_not_ready = unfinished_inputs(run, work) if state is None else ()
    place = (
        EvaluationContext(run, element, None, inputs_not_ready)
        if state is None
        else EvaluationContext(run, element, state.first_attempt_ms, state.inputs_not_ready)
    )
    values = place.values(work.values, "with")
    task = task_id(head.run, step.id, item, attempt)
    if isinstance(work, ChildPlan):
        place.valid(work.validator, values, "with")
        key = place.key(work.key, "run/key")
        child = run_id(builder.limits.environment, work.definition, key, task)
        command = c.StartRun(
            id=f"child/{task}",
            definition=work.definition,
            key=key,
            start=c.DefinitionRef(sha256=work.sha, log_offset=head.at, engine_revision=head.revision),
            event=c.Event(name="", id=task, time_ms=builder.now_ms, data=values),
            trace=run.trace,
            parent=c.Parent(run=head.run, key=head.key, address=step.id, attempt=attempt, item=item),
            correlation_id=head.correlation_id,
        )
        place.check_size(command, "with")
        requested = ChildRequested(
            child=child,
            definition=work.definition,
            version=work.version,
            key=key,
            input=values,
            due_ms=deadline,
            attempts_before_retry=attempts_before_retry,
            item=item,
            inputs_not_ready=inputs_not_ready,
        )
        run.record(requested, step.id, attempt=attempt)
        builder.effects.append(AppendCommand(key, command))
        return
    lost = builder.now_ms + work.queue_ms + work.timeout_ms + builder.limits.lost_ms
    called = CallRequested(
        operation=work.operation,
        lane=work.lane,
        input=values,
        due_ms=lost if deadline is None or item is not None else min(lost, deadline),
        deadline_ms=deadline,
        attempts_before_retry=attempts_before_retry,
        item=item,
        armed_ms=armed_ms,
        inputs_not_ready=inputs_not_ready,
    )
    run.record(called, step.id, attempt=attempt)
    whole = Task(
        id=task,
        idempotency_key=idempotency_key(head.run, step.id, item),
        run=head.run,
        definition=head.definition,
        version=head.version,
        key=head.key,
        step=step.id,
        attempt=attempt,
        operation=work.operation,
        input=values,
        timeout_ms=work.timeout_ms,
        queue_ms=work.queue_ms,
        deadline_ms=deadline,
        item=item,
        trace=run.trace,
        correlation_id=head.correlation_id,
    )
    builder.effects.append(SendTask(work.lane, whole))


def unfinished_inputs(run: RunBuilder, work: CallPlan | ChildPlan) -> tuple[str, ...]:
    """The steps that the values of `work` name and that have not ended: were they seen once they have, attempts would
    differ from each other."""
    states, named = run.head.steps, {name for _, expression in work.values for name in expression.steps}
    if isinstance(work, ChildPlan) and work.key is not None:
        named |= work.key.steps
    if run.head.stopping is not None:  # nothing begins any more
        return tuple(sorted(name for name in named if name in states and states[name].status in UNDER_WAY))
    return tuple(
        sorted(name for name in named if (state := states.get(name)) is None or state.status not in ("done", "skipped"))
    )


def is_undo(address: str) -> bool:
    """Whether a step undoes another one."""
    return address.endswith(".undo")


def _is_given_up(run: RunBuilder, step: StepPlan) -> bool:
    """Whether no further attempt of a step is made: its run is stopping, and it does not undo another."""
    return run.head.stopping is not None and not is_undo(step.id)


def cancel_attempt(run: RunBuilder, step: StepPlan, state: StepState | ItemState, item: int | None = None) -> None:
    """Cancel an attempt that is under way: nothing waits for its result."""
    if state.status not in ("calling", "suspended"):
        return
    builder, head = run.builder, run.head
    task = task_id(head.run, step.id, item, state.attempt)
    if state.child is not None:
        cancel = c.CancelRun(
            id=f"cancel/{task}",
            run=state.child.run,
            reason=f"the run {head.run} does not wait for it any more",
            trace=run.trace,
            by_parent=True,
        )
        builder.effects.append(AppendCommand(state.child.key, cancel))
    elif isinstance(step.work, CallPlan):
        builder.effects.append(SendTask(step.work.lane, CancelTask(id=task, key=head.key)))


def expire(run: RunBuilder, step: StepPlan, timer: FiredTimer) -> None:
    """The timer of a call or a child run, or of an item, has fired: it is time for the next attempt, or no answer
    came."""
    state, item = timer.state, timer.item
    pending = Pending(run, step, state, item)
    deadline = run.head.steps[step.id].deadline_ms if item is None else None
    if deadline is not None and timer.due_ms >= deadline:
        cancel_attempt(run, step, state, item)
        give_up(pending, "deadline_passed", "The step has not ended within its time.")
    elif state.status == "retrying":
        try:
            begin_attempt(
                run,
                step,
                state.attempt + 1,
                attempts_before_retry=state.attempts_before_retry,
                item=item,
                armed_ms=pending.armed_ms,
            )
        except ParkStep as parked:
            _unprepared(pending, parked)
    elif state.status == "suspended":
        fail(pending, "callback_missed", "The attempt waited for a callback, and none came in time.", retryable=True)
    else:
        cancel_attempt(run, step, state, item)
        fail(pending, "attempt_lost", "The attempt had no result within its time limits.", retryable=True)


def _unprepared(pending: Pending, parked: ParkStep) -> None:
    """The next attempt has no values: an item has failed, any other step is parked."""
    if pending.item is None:
        pending.run.record(parked.fact, pending.step.id)
    else:
        give_up(pending, parked.code, no_values(pending.item, parked))


def no_values(item: int, parked: ParkStep) -> str:
    """Why an item of a list was not attempted."""
    detail = f" {parked.detail[:1].upper()}{parked.detail[1:]}." if parked.detail else ""
    return f"The values of item {item} could not be computed: {parked.at} failed.{detail}"


def fail(pending: Pending, code: str, message: str, *, retryable: bool, after_ms: int = 0) -> None:
    """An attempt failed: it is retried after a pause of at least `after_ms`, if attempts are left."""
    run, step, state = pending.run, pending.step, pending.state
    pause = None
    if isinstance(step.work, CallPlan) and not _is_given_up(run, step):
        pause = _pause_ms(pending, step.work.retry, code, retryable)
    if pause is None:
        give_up(pending, code, message)
        return
    retry = run.builder.now_ms + max(pause, after_ms, 1)  # a timer of this very moment may have been fired already
    deadline = run.head.steps[step.id].deadline_ms
    if deadline is not None and pending.item is None:
        retry = min(retry, deadline)  # where it ends
    failed = AttemptFailed(
        code=code,
        message=message,
        retry_ms=retry,
        item=pending.item,
        armed_ms=pending.armed_ms,
        attempts_before_retry=pending.attempts_before_retry,
    )
    run.record(failed, step.id, attempt=state.attempt)


def _pause_ms(pending: Pending, retry: RetryPlan, code: str, retryable: bool) -> int | None:
    """The time until the next attempt, or None when there is none. Up to a half is taken away, by the attempt's own
    name."""
    state = pending.state
    made = state.attempt - state.attempts_before_retry
    attempts, backoff = retry.codes.get(code, (retry.attempts, retry.backoff_ms))
    if made >= attempts or not (retryable or code in retry.codes):
        return None
    pause: int = min(backoff * retry.factor ** min(made - 1, 64), retry.longest_ms)
    name = task_id(pending.run.head.run, pending.step.id, pending.item, state.attempt)
    jitter = int.from_bytes(blake2b(name.encode(), digest_size=4).digest(), "big") % 1000
    return pause - pause * jitter // 2000


def give_up(pending: Pending, code: str, message: str) -> None:
    """The last attempt failed: the item has failed, or the step ends with `failure` or `timeout`, or is parked."""
    run, step, attempt = pending.run, pending.step, pending.state.attempt
    if pending.item is not None:
        failed = AttemptFailed(
            code=code,
            message=message,
            item=pending.item,
            armed_ms=pending.armed_ms,
            attempts_before_retry=pending.attempts_before_retry,
        )
        run.record(failed, step.id, attempt=attempt)
        return
    ended = "timeout" if code in OUT_OF_TIME else "failure"
    outcome = ended if _is_given_up(run, step) else handled_outcome(step, ended)
    run.record(AttemptFailed(code=code, message=message, outcome=outcome), step.id, attempt=attempt)
    if outcome is None:
        run.record(StepParked(code=code, at="call"), step.id)


def handled_outcome(step: StepPlan, outcome: str) -> str | None:
    """The outcome with which a step ends that did not succeed: `outcome` if a step needs that, else `failure` if one
    needs that, else None (it is parked)."""
    assert outcome in NO_OUTCOME
    return outcome if outcome in step.handled else "failure" if "failure" in step.handled else None


def failed_output(code: str, message: str, attempts: int) -> dict[str, Any]:
    """The record that `errors.<step>` reads."""
    return {"code": code, "message": message, "attempts": attempts}
