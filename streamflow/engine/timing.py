"""Timers that fall due."""

from __future__ import annotations

from streamflow.definition.plan import ApprovalPlan, CallPlan, ChildPlan, WaitPlan
from streamflow.engine import commands as c
from streamflow.engine.advance import advance
from streamflow.engine.draft import Draft
from streamflow.engine.lookup import maybe_open
from streamflow.engine.outcome import Contents, Refused
from streamflow.engine.results import expire
from streamflow.engine.state import ItemState, Own, StepState, item_key
from streamflow.engine.transitions import ApprovalExpired, DelayElapsed, WaitTimedOut
from streamflow.engine.watermarks import held_by


def fire_timer(draft: Draft, contents: Contents, own: Own, command: c.FireTimer) -> None:
    """Let a wait, an approval or an attempt time out, a delay elapse, or a pause between attempts end. Raises Refused
    when it is early, behind or gone."""
    run = maybe_open(draft, contents, command.run)
    step = run.plan.step(command.step) if run else None
    state: StepState | ItemState | None = run.head.steps.get(command.step) if run else None
    if state is not None and command.item is not None:
        state = draft.get(item_key(command.run, command.step, command.item))
    if run is None or step is None or state is None or state.due_ms != command.due_ms:
        raise Refused("duplicate", "timer_gone")
    if draft.now_ms < command.due_ms:
        raise Refused("rejected", "early")
    if isinstance(step.work, CallPlan | ChildPlan):
        expire(run, step, state, command.item, command.due_ms)
        return
    if isinstance(step.work, WaitPlan):
        if behind(own, step.work, command.due_ms):
            raise Refused("rejected", "behind")
        run.record(WaitTimedOut(command.due_ms), step.id)
    elif isinstance(step.work, ApprovalPlan):
        run.record(ApprovalExpired(command.due_ms), step.id)
    else:
        run.record(DelayElapsed(command.due_ms), step.id)
    advance(run, step.dependents)


def behind(own: Own, work: WaitPlan, due_ms: int) -> bool:
    """Whether ingress may still have an event for this wait that came before its limit."""
    return held_by(own.watermarks, {clause.event for clause in work.clauses}, due_ms) is not None
