"""Timers that are due."""

from __future__ import annotations

from streamflow.engine import commands as c
from streamflow.engine.advance import advance_after
from streamflow.engine.builder import DecisionBuilder
from streamflow.engine.lookup import maybe_open
from streamflow.engine.outcome import Contents, Refused
from streamflow.engine.record_keys import item_key
from streamflow.engine.state import ItemState, PartitionState, StepState
from streamflow.engine.steps.kind import FiredTimer
from streamflow.engine.steps.registry import expire_step


def fire_timer(builder: DecisionBuilder, contents: Contents, own: PartitionState, command: c.FireTimer) -> None:
    """Let a wait, an approval or an attempt time out, a delay elapse, or a pause between attempts end. Raises Refused
    when it is early, behind or gone."""
    run = maybe_open(builder, contents, command.run)
    step = run.plan.step(command.address) if run else None
    state: StepState | ItemState | None = run.head.steps.get(command.address) if run else None
    if state is not None and command.item is not None:
        state = builder.get(item_key(command.run, command.address, command.item))
    if run is None or step is None or state is None or state.due_ms != command.due_ms:
        raise Refused("duplicate", "timer_gone")
    if builder.now_ms < command.due_ms:
        raise Refused("rejected", "early")
    expire_step(run, step, FiredTimer(due_ms=command.due_ms, state=state, item=command.item, own=own))
    advance_after(run, step)
