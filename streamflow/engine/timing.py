"""Timers that fall due, and the watermarks that hold the limits of waits back."""

from __future__ import annotations

from streamflow.definition.plan import WaitPlan
from streamflow.engine import commands as c
from streamflow.engine.advance import advance
from streamflow.engine.draft import Draft
from streamflow.engine.lookup import maybe_open
from streamflow.engine.outcome import Contents, Refused
from streamflow.engine.state import Own, Watermark
from streamflow.engine.transitions import DelayElapsed, WaitTimedOut


def fire_timer(draft: Draft, contents: Contents, own: Own, command: c.FireTimer) -> None:
    """Let a wait time out or a delay elapse. Raises Refused when it is early, behind or gone."""
    run = maybe_open(draft, contents, command.run)
    state = run.head.steps.get(command.step) if run else None
    if run is None or state is None or state.due_ms != command.due_ms:
        raise Refused("duplicate", "timer_gone")
    if draft.now_ms < command.due_ms:
        raise Refused("rejected", "early")
    step = run.plan.steps[command.step]
    if isinstance(step.work, WaitPlan):
        if behind(own, step.work, command.due_ms):
            raise Refused("rejected", "behind")
        run.record(WaitTimedOut(command.due_ms), step.id)
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
        times = {partition: at_ms for partition, at_ms in times.items() if partition.isdecimal() and int(partition) < command.partitions}
    return {**watermarks, command.topic: Watermark(command.partitions, times)}
