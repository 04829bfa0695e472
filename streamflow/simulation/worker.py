"""A worker of a simulation and the partitions in its hands. `Partition` hosts the core that ships; every method is what
happens between two awaits of the real host (`runtime.partition`), so a test may stop, crash or replace the worker
between any two.

    fence, restore               opening
    fetch, take, send, publish   a batch: read, decided, its outputs sent one by one, its events published
    capture, commit, save        a checkpoint: the cut, the transaction once its outputs are acknowledged, the store

`open_further` and `checkpoint_further` do the next of their row.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

from streamflow.core.checkpoint import Checkpoint
from streamflow.core.gap_check import Verdict
from streamflow.core.opening import is_too_old
from streamflow.core.outbox import usable_topic
from streamflow.core.partition import PartitionCore
from streamflow.core.place import Place
from streamflow.engine.builder import Limits
from streamflow.engine.effects import PrintLine
from streamflow.engine.overlay import META, Overlay
from streamflow.errors import OperationError
from streamflow.simulation.definitions import Reader
from streamflow.simulation.log import COMMANDS, Log, Outgoing, Stored
from streamflow.simulation.store import MemoryStore

POSITION = f"{META}changelog"
WRITTEN = f"{META}written_ms"
BATCH_BYTES = 1500  # of the changelog: small, so that most cuts have several batches


class Partition:
    """Partition `number` of `commands` in the hands of `worker`, until it closes. `open` when restored, and then it has
    a `core`."""

    kind: ClassVar[type[PartitionCore]] = PartitionCore

    def __init__(self, number: int, worker: Worker) -> None:
        self.number = number
        self.worker = worker
        self.log = worker.log
        self.changelog = worker.log.changelogs[number]
        self.store = worker.stores.setdefault(number, MemoryStore())
        self.epoch = -1
        self.open = False
        self.closed = False
        self.position = 0  # of the consumer: what `fetch` reads next
        self.committed_to: int | None = None  # position in the changelog of a cut that is to be saved
        self.core: PartitionCore

    @property
    def applied(self) -> int:
        return self.core.applied

    @property
    def overlay(self) -> Overlay:
        return self.core.overlay

    @property
    def cut(self) -> Checkpoint | None:
        return self.core.checkpoint

    # -- opening

    def open_further(self) -> None:
        if self.epoch < 0:
            self.fence()
        elif not self.open:
            self.restore()

    def fence(self) -> None:
        self.epoch = self.changelog.fence()

    def restore(self) -> None:
        """The store to the end of the changelog, one too old to know of deletions thrown away; then the input at
        applied + 1."""
        now, written = self.log.clock.now_ms, self.store.get(WRITTEN)
        if written is None or self._too_old(now - int(written)):
            self.store.clear()
        position = int(self.store.get(POSITION) or 0)
        self.store.write({**self.changelog.since(position), **self._meta(self.changelog.end)})
        self.serve()
        self.position = self.applied + 1
        self.open = True

    def serve(self) -> None:
        """A core over the store as it is."""
        worker = self.worker
        self.core = self.kind(
            Place(
                number=self.number,
                partitions=self.log.partitions,
                topic_id=self.log.topics[COMMANDS].id,
                limits=worker.limits,
                batch_bytes=BATCH_BYTES,
            ),
            self.store,
            worker.definitions,
            now_ms=worker.now_ms,
            printed=worker.printed,
            topic_of=lambda event: usable_topic(event, worker.definitions.topic(event), own=False),
            failed_at=worker.failed_at.get(self.number),
            clock=lambda: self.log.clock.now_ms / 1000,
        )
        self.core.begin(0)

    def _too_old(self, age_ms: int) -> bool:
        return is_too_old(age_ms, self.worker.tombstone_retention_ms)

    def _meta(self, position: int) -> dict[str, bytes | None]:
        return {POSITION: b"%d" % position, WRITTEN: b"%d" % self.log.clock.now_ms}

    def close(self) -> None:
        self.open, self.closed = False, True

    # -- a batch

    def fetch(self, count: int | None = None) -> list[Stored]:
        """Up to `count` records from where the consumer is; it moves on."""
        records = self.log.topics[COMMANDS].partitions[self.number]
        batch = records[self.position :] if count is None else records[self.position : self.position + count]
        self.position += len(batch)
        return batch

    @property
    def has_read(self) -> bool:
        """Whether every command there is has been fetched."""
        return self.position == len(self.log.topics[COMMANDS].partitions[self.number])

    def take(self, records: Sequence[Stored]) -> int:
        """Decide a fetched batch and queue what it sends; how many records were new. A hole is answered by a seek.
        Closes when a command needs too much memory for the first time."""
        records = self.core.trim(records)
        if records and self.core.judge(records[0].offset, None, 0) is Verdict.SEEK:
            self.position = self.applied + 1
            return 0
        for place, record in enumerate(records):
            try:
                if self.core.must_save or self.core.take(record, self.worker.now_ms) is not None:
                    self.position = record.offset
                    return place
            except MemoryError:
                self.worker.failed_at[self.number] = record.offset
                self.close()
                return place
        return len(records)

    @property
    def outbox(self) -> list[Outgoing]:
        """Outputs that are still to be sent."""
        return [output for _, output in self.core.outputs]

    def send(self, count: int | None = None) -> int:
        """Send up to `count` queued outputs, in order; each is acknowledged at once."""
        sent, outputs = 0, self.core.outputs
        while outputs and (count is None or sent < count):
            interval, output = outputs.popleft()
            self.log.append(output)
            self.core.acknowledged(interval, 1)
            sent += 1
        return sent

    def publish(self, count: int | None = None) -> int:
        """Send up to `count` emitted events to their topics; each is acknowledged at once."""
        sent, outbox = 0, self.core.emitted.outbox
        self.core.emitted.look()
        for topic in [topic for topic in outbox.depths() if topic not in self.log.down]:
            partitions = len(self.log.topic(topic).partitions)
            while (count is None or sent < count) and (batch := outbox.next(topic, partitions)) is not None:
                taken = batch.entries if count is None else batch.entries[: count - sent]
                for entry in taken:
                    self.log.append(Outgoing(topic, batch.partition, *entry.record()))
                self.core.emitted.published(taken)
                outbox.put_back(batch.entries[len(taken) :])
                sent += len(taken)
        return sent

    # -- a checkpoint

    def checkpoint_further(self) -> bool:
        """False if nothing changed since the last cut, or its outputs are still to be acknowledged. Raises as `commit`
        does."""
        if self.cut is None:
            if not self.dirty:
                return False
            self.capture()
        elif not self.cut.is_committed:
            if not self.acknowledged:
                return False
            self.commit()
        else:
            self.save()
        return True

    @property
    def dirty(self) -> bool:
        return self.core.dirty

    def capture(self) -> None:
        self.core.capture()

    @property
    def acknowledged(self) -> bool:
        return self.cut is not None and self.cut.is_acknowledged

    def commit(self) -> None:
        """The transaction. Raises OperationError when another owner has fenced this one, or the broker refuses a part
        of it; the partition is closed then."""
        cut = self._captured()
        try:
            self.committed_to = self.changelog.commit(self.epoch, cut.transaction(), cut.applied, self.log.clock.now_ms)
        except OperationError:
            self.close()
            raise
        cut.committed()

    def save(self) -> None:
        """The same to the store; memory lets go of it."""
        cut = self._captured()
        assert self.committed_to is not None
        self.store.write({**cut.records(), **self._meta(self.committed_to)})
        self.core.saved()

    def _captured(self) -> Checkpoint:
        if self.cut is None:
            raise RuntimeError("no cut was captured")
        return self.cut

    # -- timers

    def fire(self) -> int:
        """Queue a command for every timer that is due by this worker's clock and not under way; how many."""
        return self.core.fire(self.worker.now_ms)

    def next_timer_ms(self) -> int | None:
        """When `fire` has something to do, by this worker's clock."""
        return self.core.timers.next_due_ms()


class Worker:
    """A process on a machine of its own: partitions, local stores, how far it has read definitions, and a clock that
    may be fast."""

    def __init__(
        self,
        name: str,
        log: Log,
        definitions: Reader,
        limits: Limits,
        *,
        tombstone_retention_ms: int,
        printed: Callable[[PrintLine], None],
        partition: Callable[[int, Worker], Partition] = Partition,
    ) -> None:
        self.name = name
        self.log = log
        self.definitions = definitions
        self.limits = limits
        self.tombstone_retention_ms = tombstone_retention_ms
        self.printed = printed
        self.fast_ms = 0
        self.failed_at: dict[int, int] = {}  # by partition: the command that needed too much memory
        self.stores: dict[int, MemoryStore] = {}
        self.partitions: dict[int, Partition] = {}
        self._make = partition

    @property
    def now_ms(self) -> int:
        return self.log.clock.now_ms + self.fast_ms

    def begin(self, number: int) -> Partition:
        """A partition in this worker's hands that is still to be fenced and restored; its earlier state is dropped."""
        self.crash(number)
        self.partitions[number] = self._make(number, self)
        return self.partitions[number]

    def crash(self, number: int) -> list[Outgoing]:
        """The sudden end of a partition; what it had queued, which may still arrive or not."""
        partition = self.partitions.pop(number, None)
        if partition is None:
            return []
        was_open = partition.open
        partition.close()
        if not was_open:
            return []
        queued = partition.outbox
        for topic in partition.core.emitted.outbox.depths():
            if topic not in self.log.down:
                batch = partition.core.emitted.outbox.next(topic, len(self.log.topic(topic).partitions))
                queued += (
                    [Outgoing(topic, batch.partition, *entry.record()) for entry in batch.entries] if batch else []
                )
        return queued

    def lose_store(self, number: int) -> None:
        """The disk of a partition that is not open is empty."""
        self.stores.pop(number, None)
