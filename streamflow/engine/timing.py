"""Timers that fall due, and the watermarks that hold the limits of waits back."""

from __future__ import annotations

from streamflow.definition.plan import ApprovalPlan, CallPlan, ChildPlan, WaitPlan
from streamflow.engine import commands as c
from streamflow.engine.advance import advance
from streamflow.engine.draft import Draft
from streamflow.engine.lookup import maybe_open
from streamflow.engine.outcome import Contents, Refused
from streamflow.engine.results import expire
from streamflow.engine.state import ItemState, Own, StepState, Watermark, item_key
from streamflow.engine.transitions import ApprovalExpired, DelayElapsed, WaitTimedOut


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
    """Whether ingress may still have an event for this wait that happened before its limit."""
    return any(topic not in own.watermarks or own.watermarks[topic].reached() < due_ms for topic in work.topics)


def advance_watermark(watermarks: dict[str, Watermark], command: c.AdvanceWatermark) -> dict[str, Watermark]:
    """The watermarks after what ingress reports; no partition goes back."""
    known = watermarks.get(command.topic)
    times = dict(known.at_ms) if known else {}
    for partition, at_ms in command.at_ms.items():
        times[partition] = max(at_ms, times.get(partition, 0))
    if len(times) > command.partitions:  # the topic was made again, with fewer
        times = {
            partition: at_ms
            for partition, at_ms in times.items()
            if partition.isdecimal() and int(partition) < command.partitions
        }
    return {**watermarks, command.topic: Watermark(command.partitions, times)}
