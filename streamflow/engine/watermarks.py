"""How far ingress has read what waits wait for: one record for each topic, asked by the names of events.

A plan knows events, not topics. Which topics feed an event is in the records themselves, as the latest binding that
ingress reported says: an event is read up to the lowest of its topics.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from streamflow.engine.commands import AdvanceWatermark
from streamflow.engine.state import Watermark

Watermarks = Mapping[str, Watermark]  # by topic


def advance_watermark(watermarks: Watermarks, command: AdvanceWatermark) -> dict[str, Watermark]:
    """The watermarks after what ingress reports: no partition goes back, and a topic that feeds no event any more is
    forgotten."""
    known = watermarks.get(command.topic, Watermark(partitions=0, at_ms={}, bound=-1))
    newer = command.bound >= known.bound
    times = dict(known.at_ms)
    for partition, at_ms in command.at_ms.items():
        times[partition] = max(at_ms, times.get(partition, 0))
    after = {
        **watermarks,
        command.topic: Watermark(
            partitions=command.partitions,
            # fewer than before when the topic was deleted and created again
            at_ms={
                partition: at_ms
                for partition, at_ms in times.items()
                if partition.isdecimal() and int(partition) < command.partitions
            },
            feeds=command.feeds if newer else known.feeds,
            bound=max(command.bound, known.bound),
            floor_ms=max(command.floor_ms, known.floor_ms),
        ),
    }
    if not newer or command.feeds == known.feeds:
        return after
    topics = _topics_by_event(after)
    return {
        topic: watermark
        for topic, watermark in after.items()
        if topic == command.topic or any(topic in topics[event] for event in watermark.feeds)
    }


def reached(watermarks: Watermarks, event: str) -> int:
    """The time up to which every record that may be `event` is read, in epoch milliseconds; 0 when ingress has not said
    so."""
    latest = max(
        (watermark for watermark in watermarks.values() if event in watermark.feeds),
        key=lambda watermark: watermark.bound,
        default=None,
    )
    if latest is None:
        return 0
    return min(
        (watermarks[topic].reached() if topic in watermarks else 0 for topic in latest.feeds[event]),
        default=0,
    )


def reached_by_all(watermarks: Watermarks, events: Iterable[str]) -> int:
    """The time up to which every record that may be one of `events` is read, in epoch milliseconds."""
    return min((reached(watermarks, event) for event in events), default=0)


def held_by(watermarks: Watermarks, events: Iterable[str], due_ms: int) -> str | None:
    """The event whose watermark a wait for `events` that is due at `due_ms` still waits for; None when it may time
    out. A timer that is held need not be fired before that watermark has moved."""
    return next((event for event in sorted(events) if reached(watermarks, event) < due_ms), None)


def _topics_by_event(watermarks: Watermarks) -> dict[str, tuple[str, ...]]:
    topics: dict[str, tuple[str, ...]] = {}
    for watermark in sorted(watermarks.values(), key=lambda watermark: watermark.bound):
        topics.update(watermark.feeds)
    return topics
