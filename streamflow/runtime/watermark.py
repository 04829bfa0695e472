"""How far ingress has read each source, told to every partition of `commands`: the clock that limits of waits run by.

A watermark `at_ms` of a partition says: everything that was appended to it before then is read, and its commands are in
`commands`, before the watermark. It is sent only for topics with a wait that has a limit, and only when it moved.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping

from aiokafka.structs import TopicPartition

from streamflow.engine.commands import AdvanceWatermark
from streamflow.runtime.sources import SourcePartition, SourceTopic


def now_ms() -> int:
    """The clock of this machine, in milliseconds since 1970."""
    return time.time_ns() // 1_000_000


class Watermarks:
    """The watermarks of one ingress; forgets what it sent when its partitions are opened again."""

    def __init__(self, clock: Callable[[], int] = now_ms) -> None:
        self._clock = clock
        self._sent: dict[tuple[str, str, int], int] = {}

    def now(self) -> int:
        """The time to ask for the ends of partitions *after*: everything appended before it is then below those
        ends."""
        return self._clock()

    def advance(
        self,
        asked_ms: int,
        ends: Mapping[TopicPartition, int],
        sources: Iterable[SourcePartition],
        topics: Mapping[str, SourceTopic],
    ) -> list[AdvanceWatermark]:
        """One command for each topic in which a watermark moved. `ends` were asked for after `asked_ms`; all that was
        read is acknowledged."""
        moved: dict[str, dict[str, int]] = {}
        for source in sources:
            end = ends.get(TopicPartition(source.topic, source.partition))
            if end is None or source.topic not in topics:
                continue
            at_ms = asked_ms if source.next >= end else min(source.last_ms, asked_ms)
            place = (source.topic, source.topic_id, source.partition)
            if at_ms > self._sent.get(place, 0):
                self._sent[place] = at_ms
                moved.setdefault(source.topic, {})[str(source.partition)] = at_ms
        commands = []
        for topic, at in moved.items():
            first = min(at, key=int)
            commands.append(
                AdvanceWatermark(
                    id=f"watermark/{topic}/{first}/{at[first]}",
                    topic=topic,
                    partitions=topics[topic].partitions,
                    at_ms=at,
                )
            )
        return commands
