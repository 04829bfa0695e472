"""How far ingress has read each source, in the time of the brokers of `commands`; timeouts of waits depend on it.

A watermark is found in three steps, and no clock of this machine is in them:

1. `commands` partition c acknowledges a record with its time T(c).
2. After that the ends (high watermarks) of the sources are asked for.
3. When a source is read up to such an end, everything that was appended to it before T(c) is read, its commands stand
   in `commands`, and the watermark for partition c is T(c).

A transaction that a producer has open in a source keeps the position below the end, and so the watermark where it is.

A partition of a later generation gets its events through one of the first, and its watermarks the same way, behind
them. Its own time comes from probes that are sent to it directly.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from msgspec.structs import replace

from streamflow.core.source_topics import SourceBinding
from streamflow.engine.commands import PROBE, AdvanceWatermark
from streamflow.ids import PartitionId

Times = Mapping[int, int]  # the latest acknowledged time of each partition of `commands`, in epoch milliseconds

_PROBE = AdvanceWatermark(id="watermark/probe", topic="", partitions=0, at_ms={}, to=PROBE)
# ends that are not reached yet; a source that is far behind needs the oldest, and every later one is of use
_PENDING = 32
# how long a topic must have been missed before that counts: brokers learn of a new topic one after the other
MISSING_MS = 5_000


class Progress(NamedTuple):
    """One partition that this ingress reads: everything below `next` is read and acknowledged."""

    topic: str
    topic_id: str
    partition: int
    next: int


class SourceWatermarks:
    """The watermarks of one ingress. It begins again whenever its partitions are opened again. `entries` is how many
    partitions of `commands` ingress sends to: those of the first generation."""

    def __init__(self, entries: int) -> None:
        self._entries = entries
        self._pending: dict[tuple[str, str, int], deque[tuple[int, Times]]] = {}
        self._reached: dict[tuple[str, str, int], Times] = {}
        self._missing: dict[str, deque[Times]] = {}
        self._floors: dict[str, Times] = {}
        self._sent: dict[tuple[str, int], AdvanceWatermark] = {}

    def asked(self, times: Times, ends: Mapping[PartitionId, int], sources: Iterable[Progress]) -> None:
        """`ends` were asked for after the times in `times` were acknowledged. A source whose end is unknown (its
        partition has no leader) stays where it is, and no other does."""
        for source in sources:
            end = ends.get((source.topic, source.partition))
            if end is None or not times:
                continue
            pending = self._pending.setdefault((source.topic, source.topic_id, source.partition), deque())
            if len(pending) >= _PENDING:
                pending.pop()
            pending.append((end, dict(times)))

    def missing(self, times: Times, topics: Iterable[str]) -> None:
        """These `topics` were looked for after `times`, and did not exist."""
        topics = set(topics)
        for topic in self._missing.keys() - topics:
            del self._missing[topic]
        for topic in topics:
            looks = self._missing.setdefault(topic, deque())
            if times:
                looks.append(dict(times))
            # the latest look that lies far enough back, by the time of every partition
            while len(looks) > 1 and _all_earlier(looks[1], looks[-1], MISSING_MS):
                looks.popleft()
            if looks and _all_earlier(looks[0], looks[-1], MISSING_MS):
                self._floors[topic] = looks[0]

    def opened(self) -> None:
        """The sources were opened again, at the group's offsets: what was asked before is void."""
        self._pending.clear()
        self._reached.clear()

    def advance(
        self,
        binding: SourceBinding,
        bound: int,
        sources: Iterable[Progress],
        partitions: Mapping[str, int],
        commands: Iterable[int],
        held: Mapping[int, frozenset[PartitionId]],
        *,
        probe: bool = True,
    ) -> list[tuple[int, AdvanceWatermark]]:
        """What is to be sent now: (partition of `commands`, command), where something has moved. `partitions` are how
        many each topic has, 0 if it does not exist; of one that is left out nothing is known. `commands` are the
        partitions to notify, of all generations, `held` the sources whose commands for one of them are not sent yet.
        Everything below each source's `next` is acknowledged, but for `held`.

        With `probe`, something is sent to each partition, be it what it knows: its acknowledgement is the time that the
        next watermark comes from."""
        limited = binding.limited_topics()
        by_topic: dict[str, list[Progress]] = {topic: [] for topic in limited}
        for source in sources:
            if source.topic in limited:
                self._settle(source)
                by_topic[source.topic].append(source)
        moved: list[tuple[int, AdvanceWatermark]] = []
        idle: dict[int, AdvanceWatermark] = {}
        commands = tuple(commands)
        for topic in sorted(limited):
            count = partitions.get(topic)
            if count is None or (count and not by_topic[topic]):
                continue  # unreadable, or another ingress reads it
            feeds = binding.feeds(topic)
            for to in commands:
                behind = held.get(to % self._entries, frozenset())
                at_ms = {
                    str(source.partition): at
                    for source in by_topic[topic]
                    if (source.topic, source.partition) not in behind
                    and (at := self._reached.get((topic, source.topic_id, source.partition), {}).get(to)) is not None
                }
                floor_ms = self._floors.get(topic, {}).get(to, 0)
                latest = max([floor_ms, *at_ms.values()])
                command = AdvanceWatermark(
                    id=f"watermark/{topic}/{latest}",
                    topic=topic,
                    partitions=count,
                    at_ms=at_ms,
                    feeds=feeds,
                    bound=bound,
                    floor_ms=floor_ms,
                )
                if self._sent.get((topic, to)) != command:
                    self._sent[topic, to] = command
                    moved.append((to, command))
                else:
                    idle[to] = command
        later = [to for to in commands if to >= self._entries]
        sent = [
            (to, command) if to < self._entries else (to % self._entries, replace(command, to=to))
            for to, command in moved
        ]
        if probe:
            sent += [(to, idle[to]) for to in sorted(idle.keys() - {to for to, _ in moved}) if to < self._entries]
            sent += [(to, _PROBE) for to in later]
        return sent

    def _settle(self, source: Progress) -> None:
        place = (source.topic, source.topic_id, source.partition)
        pending = self._pending.get(place, deque())
        while pending and pending[0][0] <= source.next:
            _, times = pending.popleft()
            known = self._reached.get(place, {})
            self._reached[place] = {to: max(at, known.get(to, 0)) for to, at in {**known, **times}.items()}


def _all_earlier(earlier: Times, later: Times, by_ms: int) -> bool:
    return all(later.get(to, 0) - at >= by_ms for to, at in earlier.items())
