"""The ingress of a simulation: source records through the router and watermarks of the product into `commands`, with
offsets that can go back."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from streamflow.core.event_router import EventRouter
from streamflow.core.source_topics import source_binding
from streamflow.core.source_watermarks import Progress, SourceWatermarks
from streamflow.engine.match import Published
from streamflow.ids import PartitionId, partition_of
from streamflow.simulation.log import COMMANDS, DEAD_LETTERS, Log, Outgoing, Stored
from streamflow.wire.codec import encode_command


class Ingress:
    """Reads what the published versions name. `read` and `commit` apart, so that a restart in between reads again.
    `event_bytes` and `record_bytes` are the limits of the settings."""

    def __init__(self, log: Log, *, event_bytes: int = 512_000, record_bytes: int = 900_000) -> None:
        self._log = log
        self._route = partial(EventRouter, event_bytes=event_bytes, record_bytes=record_bytes)
        self._router = self._route(())
        self._binding = source_binding((), {})
        self._bound = 0
        self._marks = SourceWatermarks(self._log.partitions)
        self.next: dict[PartitionId, int] = {}
        self.committed: dict[PartitionId, int] = {}

    def serve(self, published: Iterable[Published]) -> None:
        """Route by these versions from now on. A topic that no version named before is read from its end, or from its
        beginning if its event says so."""
        published = tuple(published)
        before = self._router.topics
        self._router = self._route(published)
        self._binding = source_binding(published, {})
        self._bound += 1
        for topic, first in self._binding.first.items():
            if topic not in before and not first.earliest:
                for number, records in enumerate(self._log.topic(topic).partitions):
                    self.committed[topic, number] = self.next[topic, number] = len(records)

    def read(self, count: int | None = None) -> int:
        """Take in up to `count` records of each source partition; how many there were."""
        total = 0
        for topic in sorted(self._router.topics):
            for number in range(len(self._log.topic(topic).partitions)):
                records = self._log.topic(topic).stable(number)
                first = self.next.get((topic, number), 0)
                batch = records[first:] if count is None else records[first : first + count]
                for record in batch:
                    self._take(record)
                self.next[topic, number] = first + len(batch)
                total += len(batch)
        return total

    def _take(self, stored: Stored) -> None:
        topic_id, committed = self._log.topic(stored.topic).id, self.committed.get((stored.topic, stored.partition), 0)
        routed = self._router.route(stored._replace(log_append=True), topic_id, committed)
        for key, value in routed.commands:
            self._append(partition_of(key, self._log.partitions), key, value)
        for letter in routed.dead_letters:
            self._log.append(Outgoing(DEAD_LETTERS, 0, letter.key, letter.value, letter.headers))

    def commit(self) -> None:
        """Commit what has been read."""
        self.committed = dict(self.next)

    def restart(self) -> None:
        """Go on from the committed offsets, as a new process does."""
        self.next = dict(self.committed)
        self._marks = SourceWatermarks(self._log.partitions)

    def advance_watermarks(self) -> int:
        """Send to every partition how far the topics of waits with a limit are read, if something has moved; how many
        commands that took. The broker has just acknowledged something everywhere."""
        limited = {name: self._log.topic(name) for name in self._binding.limited_topics()}
        ends = {
            (name, number): len(records)
            for name, topic in limited.items()
            for number, records in enumerate(topic.partitions)
        }
        sources = [
            Progress(name, limited[name].id, number, self.next.get((name, number), 0)) for name, number in sorted(ends)
        ]
        self._marks.asked(dict.fromkeys(range(self._log.total), self._log.clock.now_ms), ends, sources)
        partitions = {name: len(topic.partitions) for name, topic in limited.items()}
        moved = self._marks.advance(
            self._binding, self._bound, sources, partitions, range(self._log.total), held={}, probe=False
        )
        for number, command in moved:
            self._append(number, "", encode_command(command))
        return len(moved)

    def _append(self, number: int, key: str, value: bytes) -> None:
        self._log.append(Outgoing(COMMANDS, number, key.encode(), value))
