"""The broker of a simulation: topics as lists, which stamp what is appended, and a changelog for each partition of
`commands`.

A changelog is compacted at once, the hardest case: only the newest record of a key is there. A deletion stays until
`expire`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from streamflow.core.cut import Batch
from streamflow.core.outputs import AUDIT, COMMANDS, DEAD_LETTERS, RUNS, TASKS, UNCLAIMED, Output
from streamflow.engine.overlay import META
from streamflow.errors import OperationError
from streamflow.simulation.clock import Clock
from streamflow.wire.decoding import Headers, Record

__all__ = [
    "COMMANDS",
    "DEAD_LETTERS",
    "RUNS",
    "UNCLAIMED",
    "Changelog",
    "Headers",
    "Log",
    "Outgoing",
    "Stored",
    "Topic",
]

Stored = Record  # a record where it lies; its time is the broker's
Outgoing = Output  # a record on its way to the broker


class Change(NamedTuple):
    """The newest record of a key in a changelog; no value is a deletion."""

    position: int
    at_ms: int
    value: bytes | None


class Changelog:
    """One partition of `state`, with the committed input offset that its transactions carry (law
    one-cut)."""

    def __init__(self) -> None:
        self.records: dict[str, Change] = {}
        self.end = 0
        self.epoch = 0
        self.committed = 0
        self.written = 0  # bytes of keys and values that were ever committed
        self.refuses: set[int] = set()  # batches of the next transaction that the broker will refuse

    def fence(self) -> int:
        """A new epoch: no earlier owner can commit any more."""
        self.epoch += 1
        return self.epoch

    def commit(self, epoch: int, batches: Sequence[Batch], applied: int, now_ms: int) -> int:
        """Write `batches` and the offset in one transaction; the position after it. Raises OperationError: `fenced`, or
        `batch_refused` when the broker refuses one of the batches in `refuses`, and then nothing is written."""
        if epoch != self.epoch:
            raise OperationError(
                "fenced",
                f"The producer has epoch {epoch} and another worker has {self.epoch}. Close the partition, another "
                "worker owns it.",
            )
        refused = [number for number in self.refuses if number < len(batches)]
        self.refuses.clear()
        if refused:
            raise OperationError("batch_refused", f"The broker refused batch {refused[0]}. Close the partition.")
        for key, value in (record for batch in batches for record in batch):
            self.records[key] = Change(self.end, now_ms, value)
            self.end += 1
            self.written += len(key.encode()) + len(value or b"")
        self.committed = applied + 1
        return self.end

    def state(self) -> dict[str, bytes]:
        """The records of the state in it, without the host's own."""
        return {
            key: change.value
            for key, change in self.records.items()
            if change.value is not None and not key.startswith(META)
        }

    def since(self, position: int) -> dict[str, bytes | None]:
        """What a restore from `position` reads, in order."""
        changes = sorted(
            (change.position, key, change.value) for key, change in self.records.items() if change.position >= position
        )
        return {key: value for _, key, value in changes}

    def expire(self, before_ms: int) -> int:
        """Let go of deletions that were written before `before_ms`; how many."""
        gone = [key for key, change in self.records.items() if change.value is None and change.at_ms < before_ms]
        for key in gone:
            del self.records[key]
        return len(gone)


class Topic:
    """One topic. `id` is another one when the topic is created again."""

    def __init__(self, name: str, topic_id: str, partitions: int) -> None:
        self.name = name
        self.id = topic_id
        self.partitions: list[list[Stored]] = [[] for _ in range(partitions)]
        # where a transaction of another process began that is still open: readers of committed records stop there
        self.open_from: dict[int, int] = {}

    def stable(self, number: int) -> list[Stored]:
        """The records of a partition that a reader of committed records gets."""
        return self.partitions[number][: self.open_from.get(number)]

    def records(self) -> list[Stored]:
        """All records, partition by partition."""
        return [record for partition in self.partitions for record in partition]


class Log:
    """All topics and changelogs. User topics come into being when they are first written to."""

    def __init__(self, clock: Clock, partitions: int, source_partitions: int) -> None:
        self.clock = clock
        self.partitions = partitions  # of the first generation
        self.generations = [(0, partitions)]  # the first partition of each, and how many it has
        self._source_partitions = source_partitions
        self.topics: dict[str, Topic] = {}
        self.down: set[str] = set()  # users' topics that take nothing
        self._made = 0
        self.make(COMMANDS, partitions)
        self.make(RUNS, partitions)
        self.make(DEAD_LETTERS, 1)
        self.make(UNCLAIMED, partitions)
        self.make(AUDIT, 1)
        self.changelogs = [Changelog() for _ in range(partitions)]

    def make(self, name: str, partitions: int | None = None) -> Topic:
        """A new, empty topic, instead of one that has the name."""
        self._made += 1
        self.topics[name] = Topic(name, f"topic-{self._made}", partitions or self._source_partitions)
        return self.topics[name]

    def topic(self, name: str) -> Topic:
        """The topic, made if it is not there; one of tasks has as many partitions as `commands`."""
        return self.topics.get(name) or self.make(name, self.total if name.startswith(TASKS) else None)

    @property
    def total(self) -> int:
        """The partitions of all generations."""
        first, partitions = self.generations[-1]
        return first + partitions

    def grow(self, partitions: int) -> None:
        """Add a generation of `partitions` partitions to everything that is partitioned as `commands`."""
        self.generations.append((self.total, partitions))
        for name, topic in self.topics.items():
            if name in (COMMANDS, RUNS, UNCLAIMED) or name.startswith(TASKS):
                topic.partitions.extend([] for _ in range(partitions))
        self.changelogs.extend(Changelog() for _ in range(partitions))

    def append(self, record: Outgoing) -> Stored:
        """Append `record`; as it lies there afterwards."""
        place = self.topic(record.topic).partitions[record.partition]
        stored = Stored(
            record.topic, record.partition, len(place), self.clock.now_ms, record.key, record.value, record.headers
        )
        place.append(stored)
        return stored
