"""Stopping a run before its end (a saga): attempts under way are cancelled and their answers are waited for; then what
was done outside is undone, last step first."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from streamflow.definition.plan import CallPlan, StepPlan
from streamflow.engine.evaluation import ParkStep
from streamflow.engine.state import UNDER_WAY, StepState
from streamflow.engine.steps.attempts import begin_attempt, cancel_attempt, is_undo
from streamflow.engine.steps.items import cancel_items, end_stopped_list, forget_items
from streamflow.engine.transitions import RunCancelled, RunFailed, RunStopping, UnderWay

if TYPE_CHECKING:
    from streamflow.engine.builder import RunBuilder

REASON_CHARS = 1000  # it stays in the head of a run that stops


def stop(run: RunBuilder, ending: str, reason: str, address: str = "") -> None:
    """End a run as `failed` or `cancelled`: at once if nothing can be undone and no child run is under way, otherwise
    after that.

    Steps are undone that called something, also if the call failed: whether it had an effect cannot be known. A run
    that is stopping already ends at once."""
    head, plan = run.head, run.plan
    reason = reason[:REASON_CHARS]
    undo = tuple(name for name in reversed(head.called) if plan.steps[name].undo is not None)
    ends_now = head.stopping is not None or not (undo or any(_has_child(run, name) for name in head.steps))
    under_way = tuple(_cancelled(run, ends_now))
    if ends_now:
        _end(run, ending, reason, address)
        return
    run.record(RunStopping(ending=ending, reason=reason, undo=undo, under_way=under_way), address)
    for one in under_way:
        step = plan.step(one.address)
        if step is not None and step.each is not None:
            end_stopped_list(run, step)  # the outputs of what has succeeded stay, for what undoes it
    continue_compensation(run)


def continue_compensation(run: RunBuilder) -> None:
    """Undo the next step, or end the run when none is left. Waits for the attempts under way of that step and of those
    that called something after it."""
    head, stopping = run.head, run.head.stopping
    assert stopping is not None
    waiting = {name for name, state in head.steps.items() if state.status in UNDER_WAY and not is_undo(name)}
    for name in stopping.undo:
        undo = run.plan.steps[name].undo
        assert undo is not None
        state = head.steps.get(undo.id)
        if state is None:
            if waiting.isdisjoint(head.called[head.called.index(name) :]):
                _undo(run, undo)
            return
        if state.status not in ("done", "skipped"):
            return
    if not waiting:
        _end(run, stopping.ending, stopping.reason)


def _undo(run: RunBuilder, undo: StepPlan) -> None:
    try:
        begin_attempt(run, undo, 1)
    except ParkStep as parked:
        run.record(parked.fact, undo.id)


def _has_child(run: RunBuilder, name: str) -> bool:
    """Whether a step waits for the end of a child run, which may have to undo work of its own."""
    state, step = run.head.steps[name], run.plan.step(name)
    assert step is not None
    return state.status in UNDER_WAY and not isinstance(step.work, CallPlan)


def _cancelled(run: RunBuilder, ends_now: bool) -> Iterator[UnderWay]:
    """Cancels every attempt under way, and gives the steps that have one, and lists of which items have succeeded. Of
    lists, items without an attempt under way are forgotten; all of them when the run `ends_now`."""
    for name in sorted(run.head.steps):  # a head that was stored has them in another order (law identical-replay)
        state, step = run.head.steps[name], run.plan.step(name)
        assert step is not None
        if state.has_ended:
            continue
        if state.items is not None:
            items = cancel_items(run, step, state.items.total)
            forget_items(run, name, state.items.total, () if ends_now else items)
            if items or state.items.ended > state.items.failed:
                yield UnderWay(address=name, items=items)
        elif state.status in ("calling", "suspended"):
            cancel_attempt(run, step, state)
            yield UnderWay(address=name, due_ms=_lost_ms(run, step, state))


def _lost_ms(run: RunBuilder, step: StepPlan, state: StepState) -> int | None:
    """When an attempt that was cancelled counts as lost. The end of its step (`within`) is no reason to take it for
    ended."""
    if not isinstance(step.work, CallPlan):
        return None  # a child run always answers
    if state.status == "suspended" or state.deadline_ms is None or (state.due_ms or 0) < state.deadline_ms:
        return state.due_ms
    return run.builder.now_ms + step.work.queue_ms + step.work.timeout_ms + run.builder.limits.lost_ms


def _end(run: RunBuilder, ending: str, reason: str, address: str = "") -> None:
    run.record(RunFailed(reason) if ending == "failed" else RunCancelled(reason), address)
