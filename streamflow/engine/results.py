"""What comes back from outside: results of attempts, their failures and hand-overs, and the timers that stand in for
answers that never come."""

from __future__ import annotations

from hashlib import blake2b

from streamflow.definition.plan import CallPlan, RetryPlan, StepPlan
from streamflow.engine import commands as c
from streamflow.engine.advance import advance
from streamflow.engine.calls import begin_attempt, call_off, end_list, go_on_list, path
from streamflow.engine.draft import Draft, RunDraft
from streamflow.engine.evaluation import Parked, Place
from streamflow.engine.lookup import maybe_open
from streamflow.engine.outcome import Contents, Refused
from streamflow.engine.state import ItemState, Own, StepState, item_key, timer_key
from streamflow.engine.stopping import go_on_stopping
from streamflow.engine.tasks import task_id
from streamflow.engine.transitions import AttemptFailed, AttemptSucceeded, AttemptSuspended, StepParked

Result = c.CompleteAttempt | c.FailAttempt | c.SuspendAttempt
OUT_OF_TIME = frozenset({"attempt_timeout", "attempt_lost", "queue_expired", "deadline_passed", "callback_missed"})
MESSAGE_CHARS = 1000


class _Pending:
    """The attempt that a result is for."""

    __slots__ = ("item", "run", "state", "step")

    def __init__(self, run: RunDraft, step: StepPlan, state: StepState | ItemState, item: int | None) -> None:
        self.run = run
        self.step = step
        self.state = state
        self.item = item

    @property
    def armed_ms(self) -> int | None:
        """The timer that its end disarms, as facts of items carry it."""
        return self.state.due_ms if self.item is not None else None

    @property
    def spent(self) -> int:
        return self.state.spent if self.item is not None else 0


def complete_attempt(draft: Draft, contents: Contents, own: Own, command: c.CompleteAttempt) -> None:
    """Take the output of an attempt. Raises Refused."""
    pending = _pending(draft, contents, command)
    run, step = pending.run, pending.step
    try:
        Place(run).fits(command.output, "output")
    except Parked as parked:
        text = (
            f"expected an output that fits a record but it is {parked.code.replace('_', ' ')}; have it stored and "
            "give its place"
        )
        _fail(pending, "output_too_large" if parked.code == "too_large" else "output_invalid", text, retryable=False)
        return
    run.record(AttemptSucceeded(command.output, pending.item, pending.armed_ms), step.id, attempt=command.attempt)
    _go_on(run, step, pending.item)


def fail_attempt(draft: Draft, contents: Contents, own: Own, command: c.FailAttempt) -> None:
    """Try again later, or end the step in vain. Raises Refused."""
    pending = _pending(draft, contents, command)
    _fail(
        pending,
        command.code[:64],
        command.message[:MESSAGE_CHARS],
        retryable=command.retryable,
        after_ms=command.retry_after_ms or 0,
    )


def suspend_attempt(draft: Draft, contents: Contents, own: Own, command: c.SuspendAttempt) -> None:
    """Wait for whoever has been handed the attempt. Raises Refused."""
    pending = _pending(draft, contents, command, statuses=("calling",))
    run, step = pending.run, pending.step
    if pending.state.child is not None:
        raise Refused("rejected", "attempt_unknown")  # no worker has it, and who waits for a run must not forget which
    deadline = run.head.steps[step.id].deadline_ms
    due = draft.now_ms + max(0, command.for_ms)
    if deadline is not None and pending.item is None:
        due = min(due, deadline)
    run.record(AttemptSuspended(due, pending.item, pending.armed_ms, pending.spent), step.id, attempt=command.attempt)


def expire(run: RunDraft, step: StepPlan, state: StepState | ItemState, item: int | None, due_ms: int) -> None:
    """The timer of a call, a child run or a list has fired: it is time for the next attempt, or no answer came."""
    pending = _Pending(run, step, state, item)
    deadline = run.head.steps[step.id].deadline_ms if item is None else None
    if state.status == "listing":
        _end_list_in_time(run, step)
    elif deadline is not None and due_ms >= deadline:
        call_off(run, step, state, item)
        _give_up(pending, "deadline_passed", "expected an end within the time of the step but it has passed")
    elif state.status == "retrying":
        try:
            begin_attempt(run, step, state.attempt + 1, spent=state.spent, item=item, armed_ms=pending.armed_ms)
        except Parked as parked:
            _unprepared(pending, parked)
    elif state.status == "suspended":
        _fail(pending, "callback_missed", "expected a call back but none came in time", retryable=True)
    else:
        call_off(run, step, state, item)
        _fail(
            pending, "attempt_lost", "expected a result of the attempt but none came within its limits", retryable=True
        )


def _unprepared(pending: _Pending, parked: Parked) -> None:
    """The next attempt has no values: an item has failed, any other step is parked."""
    if pending.item is None:
        pending.run.record(StepParked(parked.code, parked.at), pending.step.id)
    else:
        _give_up(pending, parked.code, f"expected values for item {pending.item} but {parked.at} has none")


def _end_list_in_time(run: RunDraft, step: StepPlan) -> None:
    """The time of a list is over: what has not succeeded counts as failed."""
    state = run.head.steps[step.id]
    items = state.items
    assert items is not None
    call_off(run, step, state)
    draft, id_ = run.draft, run.head.run
    if path(step, "timeout") is None:  # it is parked: a retry looks for items that failed
        for item in range(items.total):
            known: ItemState | None = draft.get(item_key(id_, step.id, item))
            if known is not None and known.status != "failed":
                if known.due_ms is not None:
                    draft.put(timer_key(known.due_ms, id_, step.id, item), None)
                draft.put(item_key(id_, step.id, item), ItemState("failed", known.attempt))
            elif known is None and items.again is None and item >= items.begun:
                draft.put(item_key(id_, step.id, item), ItemState("failed", 0))
    end_list(run, step, items.total - (items.ended - items.failed), "deadline_passed", "timeout")
    _go_on(run, step, None)


def _pending(
    draft: Draft, contents: Contents, command: Result, statuses: tuple[str, ...] = ("calling", "suspended")
) -> _Pending:
    """The attempt that waits for `command`. Raises Refused: whatever comes for an old attempt, or a second time,
    changes nothing."""
    run = maybe_open(draft, contents, command.run)
    if run is None:
        raise Refused("rejected", "run_unknown")
    step, item = run.plan.step(command.step), command.item
    state: StepState | ItemState | None = run.head.steps.get(command.step)
    if step is None or (state is None and item is not None):
        raise Refused("rejected", "attempt_unknown")
    if item is not None:
        state = draft.get(item_key(command.run, command.step, item))
        if state is None:
            raise Refused("duplicate", "attempt_ended")
    if state is not None and state.attempt == command.attempt and state.status in statuses:
        return _Pending(run, step, state, item)
    if state is not None and state.attempt == command.attempt and state.status in ("done", "failed"):
        raise Refused("duplicate", "attempt_ended")
    raise Refused("rejected", "late_result")


def _fail(pending: _Pending, code: str, message: str, *, retryable: bool, after_ms: int = 0) -> None:
    run, step, state = pending.run, pending.step, pending.state
    pause = _pause_ms(pending, step.work.retry, code, retryable) if isinstance(step.work, CallPlan) else None
    if pause is None:
        _give_up(pending, code, message)
        return
    retry = run.draft.now_ms + max(pause, after_ms, 1)  # a timer of this very moment may have been fired already
    deadline = run.head.steps[step.id].deadline_ms
    if deadline is not None and pending.item is None:
        retry = min(retry, deadline)  # where it ends
    run.record(
        AttemptFailed(code, message, retry, None, pending.item, pending.armed_ms, pending.spent),
        step.id,
        attempt=state.attempt,
    )


def _pause_ms(pending: _Pending, retry: RetryPlan, code: str, retryable: bool) -> int | None:
    """The time until the next attempt, or None when there is none. Up to a half is taken away, by the attempt's own
    name."""
    state = pending.state
    made = state.attempt - state.spent
    attempts, backoff = retry.codes.get(code, (retry.attempts, retry.backoff_ms))
    if made >= attempts or not (retryable or code in retry.codes):
        return None
    pause: int = min(backoff * retry.factor ** min(made - 1, 64), retry.longest_ms)
    name = task_id(pending.run.head.run, pending.step.id, pending.item, state.attempt)
    jitter = int.from_bytes(blake2b(name.encode(), digest_size=4).digest(), "big") % 1000
    return pause - pause * jitter // 2000


def _give_up(pending: _Pending, code: str, message: str) -> None:
    run, step = pending.run, pending.step
    attempt = pending.state.attempt
    if pending.item is not None:
        run.record(
            AttemptFailed(code, message, None, None, pending.item, pending.armed_ms, pending.spent),
            step.id,
            attempt=attempt,
        )
        _go_on(run, step, pending.item)
        return
    outcome = path(step, "timeout" if code in OUT_OF_TIME else "failure")
    run.record(AttemptFailed(code, message, None, outcome), step.id, attempt=attempt)
    if outcome is None:
        run.record(StepParked(code, "call"), step.id)
    _go_on(run, step, None)


def _go_on(run: RunDraft, step: StepPlan, item: int | None) -> None:
    """Begin what may begin now."""
    if item is not None:
        go_on_list(run, step)
    if run.head.steps[step.id].status != "done":
        return
    if run.head.stopping is not None:
        go_on_stopping(run)
    else:
        advance(run, step.dependents)
