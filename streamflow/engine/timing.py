"""The watermarks that hold the limits of waits back."""

from __future__ import annotations

from streamflow.definition.plan import WaitPlan
from streamflow.engine import commands as c
from streamflow.engine.state import PartitionState, Watermark


def behind(own: PartitionState, work: WaitPlan, due_ms: int) -> bool:
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
