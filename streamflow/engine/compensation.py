"""Stopping a run before its end: what is under way is called off, what was done outside is undone, last step first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streamflow.engine.evaluation import ParkStep
from streamflow.engine.steps.attempts import begin_attempt, cancel_attempt
from streamflow.engine.steps.items import cancel_items, forget_items
from streamflow.engine.transitions import RunCancelled, RunFailed, RunStopping, StepParked

if TYPE_CHECKING:
    from streamflow.engine.builder import RunBuilder

REASON_CHARS = 1000  # it stays in the head of a run that stops


def stop(run: RunBuilder, ending: str, reason: str, address: str = "") -> None:
    """End a run as `failed` or `cancelled`, at once if nothing of it can be undone. Steps are undone that called
    something, also if the call failed or has not ended: whether it had an effect cannot be known."""
    head, plan = run.head, run.plan
    reason = reason[:REASON_CHARS]
    for name, state in head.steps.items():
        if state.status not in ("done", "skipped"):
            planned = plan.step(name)
            assert planned is not None
            if state.items is not None:
                cancel_items(run, planned, state.items.total)
                forget_items(run, name, state.items.total)
            else:
                cancel_attempt(run, planned, state)
    undo = tuple(name for name in reversed(head.called) if plan.steps[name].undo is not None)
    if head.stopping is not None or not undo:
        _end(run, ending, reason, address)
        return
    run.record(RunStopping(ending=ending, reason=reason, undo=undo), address)
    continue_compensation(run)


def continue_compensation(run: RunBuilder) -> None:
    """Undo the next step, or end the run when none is left."""
    stopping = run.head.stopping
    assert stopping is not None
    for name in stopping.undo:
        undo = run.plan.steps[name].undo
        assert undo is not None
        state = run.head.steps.get(undo.id)
        if state is None:
            try:
                begin_attempt(run, undo, 1)
            except ParkStep as parked:
                run.record(StepParked(parked.code, parked.at), undo.id)
            return
        if state.status not in ("done", "skipped"):
            return
    _end(run, stopping.ending, stopping.reason)


def _end(run: RunBuilder, ending: str, reason: str, address: str = "") -> None:
    run.record(RunFailed(reason) if ending == "failed" else RunCancelled(reason), address)
