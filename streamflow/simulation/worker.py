"""A worker of a simulation and the partitions in its hands. Every method of `Partition` is what happens between two
awaits of the real one (`runtime.partition`), so whoever drives it may stop, crash or replace the worker between any two
(laws 3 and 4).

    fence, restore               opening
    fetch, take, send            a batch: read, decided, its outputs sent one by one
    capture, commit, save        a checkpoint: the cut, the transaction once its outputs are acknowledged, the store

`open_further` and `checkpoint_further` do the next of their row.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

from streamflow.engine.commands import AdvanceWatermark, Command, FireTimer, StartRun
from streamflow.engine.decide import decide, undecidable
from streamflow.engine.draft import Limits
from streamflow.engine.effects import AppendCommand, DeadLetter, PrintLine, PublishEvent, RecordRejection, SendTask
from streamflow.engine.outcome import Decision
from streamflow.engine.overlay import META, Overlay
from streamflow.engine.state import OWN, Own, Timer, content_key, timer_key
from streamflow.errors import OperationError
from streamflow.ids import partition_of, partition_of_run
from streamflow.simulation.definitions import Reader
from streamflow.simulation.log import COMMANDS, DEAD_LETTERS, RUNS, Log, Outgoing, Stored
from streamflow.simulation.store import MemoryStore
from streamflow.simulation.tasks import PREFIX
from streamflow.wire.codec import DecodeError, decode_command, encode_command
from streamflow.wire.dead_letter import DeadLetter as DeadRecord
from streamflow.wire.dead_letter import dead_letter
from streamflow.wire.decoding import Record
from streamflow.wire.rejection import rejection
from streamflow.wire.tasks import Source, encode_task, source_header
from streamflow.wire.transitions import encode_event, encode_transition

POSITION = f"{META}changelog"
WRITTEN = f"{META}written_ms"


class Cut:
    """A checkpoint on its way: records, the input offset they hold, and how many outputs are still to be acknowledged
    before it."""

    def __init__(self, records: dict[str, bytes | None], applied: int, waiting: int) -> None:
        self.records = records
        self.applied = applied
        self.waiting = waiting
        self.position: int | None = None  # in the changelog, once it is committed


class Partition:
    """Partition `number` of `commands` in the hands of `worker`, until it closes. `open` when restored."""

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
        self.outbox: deque[Outgoing] = deque()
        self.cut: Cut | None = None
        self.overlay: Overlay
        self.fired: dict[str, int] = {}  # timers whose command is under way, and when to send it again
        self.blocked: set[str] = set()  # timers that wait for ingress

    @property
    def applied(self) -> int:
        return self.overlay.own.applied

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
        self.overlay = Overlay(self.store)
        self.position = self.applied + 1
        self.open = True

    def _too_old(self, age_ms: int) -> bool:
        return age_ms > self.worker.tombstone_retention_ms

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

    def take(self, records: Sequence[Stored]) -> int:
        """Decide a fetched batch and queue what it sends; how many records were new. A hole is answered by a seek."""
        records = self._contiguous(records)
        for place, record in enumerate(records):
            if not self._one(record):
                self.position = record.offset
                return place
        return len(records)

    def _contiguous(self, records: Sequence[Stored]) -> Sequence[Stored]:
        records = [record for record in records if record.offset > self.applied]
        if records and records[0].offset != self.applied + 1:
            self.position = self.applied + 1
            return ()
        return records

    def _one(self, record: Stored) -> bool:
        """False if the worker has to read definitions first."""
        own = self.overlay.own
        if not own.topic_id:
            own = Own(
                own.applied,
                own.time_ms,
                own.counts,
                own.reasons,
                own.watermarks,
                own.parked,
                self.log.topics[COMMANDS].id,
                own.revisions,
            )
        command, decision = self._readable(record, own)
        if decision is None:
            assert command is not None
            if isinstance(command, StartRun) and not self._has_content(command):
                return False
            decision = self._decide(own, command, record)
        self.overlay.apply(decision.changes)
        self._queue(decision, record, getattr(command, "trace", None))
        self._note(command, decision)
        return True

    def _decide(self, own: Own, command: Command, record: Stored) -> Decision:
        return decide(
            self.overlay, self.worker.definitions, own, command, record.timestamp_ms, record.offset, self.worker.limits
        )

    def _readable(self, record: Stored, own: Own) -> tuple[Command | None, Decision | None]:
        limit, value = self.worker.limits.record_bytes, record.value or b""
        if len(value) > limit:
            return None, undecidable(
                own, record.timestamp_ms, record.offset, "too_large", f"expected at most {limit} bytes"
            )
        try:
            command = decode_command(value)
        except DecodeError as error:
            return None, undecidable(own, record.timestamp_ms, record.offset, error.code, error.message)
        if not self._belongs(command):
            return command, undecidable(
                own, record.timestamp_ms, record.offset, "misrouted", "expected a command of this partition", command
            )
        return command, None

    def _belongs(self, command: Command) -> bool:
        if isinstance(command, AdvanceWatermark):
            return True
        key = getattr(command, "key", None)
        try:
            if key is not None:
                wanted = partition_of(key, self.log.partitions)
            else:
                wanted = partition_of_run(command.run, self.log.partitions)  # type: ignore[union-attr]
        except ValueError:
            return False
        return wanted == self.number

    def _has_content(self, command: StartRun) -> bool:
        return (
            self.worker.definitions.readable(command.start)
            or self.overlay.get(content_key(command.start.sha)) is not None
        )

    def _queue(self, decision: Decision, record: Stored, trace: str | None) -> None:
        for transition in decision.transitions:
            key, value, headers = encode_transition(transition, trace)
            self.outbox.append(Outgoing(RUNS, self.number, key, value, tuple(headers)))
        index = 0
        for effect in decision.effects:
            if isinstance(effect, SendTask):
                source = source_header(Source(self.overlay.own.topic_id, record.offset, index))
                self.outbox.append(
                    Outgoing(
                        PREFIX + effect.lane, self.number, effect.task.key.encode(), encode_task(effect.task), (source,)
                    )
                )
                index += 1
            elif isinstance(effect, AppendCommand):
                target = partition_of(effect.key, self.log.partitions)
                self.outbox.append(Outgoing(COMMANDS, target, effect.key.encode(), encode_command(effect.command)))
            elif isinstance(effect, PublishEvent):
                key, value, headers = encode_event(effect)
                target = partition_of(effect.key, len(self.log.topic(effect.topic).partitions))
                self.outbox.append(Outgoing(effect.topic, target, key, value, tuple(headers)))
            elif isinstance(effect, PrintLine):
                self.worker.printed(effect)
            elif isinstance(effect, RecordRejection):
                self._bury(rejection(Record(*record), effect))
            elif isinstance(effect, DeadLetter):
                self._bury(
                    dead_letter(
                        Record(*record),
                        effect.reason,
                        effect.message,
                        "engine",
                        limit_bytes=self.worker.limits.record_bytes,
                    )
                )

    def _bury(self, letter: DeadRecord) -> None:
        self.outbox.append(Outgoing(DEAD_LETTERS, 0, letter.key, letter.value, letter.headers))

    def send(self, count: int | None = None) -> int:
        """Send up to `count` queued outputs, in order; each is acknowledged at once."""
        sent = 0
        while self.outbox and (count is None or sent < count):
            self.log.append(self.outbox.popleft())
            sent += 1
            if self.cut is not None:
                self.cut.waiting = max(0, self.cut.waiting - 1)
        return sent

    # -- a checkpoint

    def checkpoint_further(self) -> bool:
        """False if nothing changed since the last cut, or its outputs are still to be acknowledged. Raises as `commit`
        does."""
        if self.cut is None:
            if not self.dirty:
                return False
            self.capture()
        elif self.cut.position is None:
            if not self.acknowledged:
                return False
            self.commit()
        else:
            self.save()
        return True

    @property
    def dirty(self) -> bool:
        return OWN in self.overlay.dirty

    def capture(self) -> None:
        self.cut = Cut(self.overlay.capture(), self.applied, len(self.outbox))

    @property
    def acknowledged(self) -> bool:
        return self.cut is not None and self.cut.waiting == 0

    def commit(self) -> None:
        """The transaction. Raises OperationError when another owner has fenced this one; it is closed then."""
        cut = self._captured()
        try:
            cut.position = self.changelog.commit(self.epoch, cut.records, cut.applied, self.log.clock.now_ms)
        except OperationError:
            self.close()
            raise

    def save(self) -> None:
        """The same to the store; memory lets go of it."""
        cut = self._captured()
        assert cut.position is not None
        self.store.write({**cut.records, **self._meta(cut.position)})
        self.overlay.saved()
        self.cut = None

    def _captured(self) -> Cut:
        if self.cut is None:
            raise RuntimeError("no cut was captured")
        return self.cut

    # -- timers

    def fire(self) -> int:
        """Queue a command for every timer that is due by this worker's clock and not under way; how many."""
        count = 0
        for key in list(self.overlay.keys("timer/")):
            timer: Timer = self.overlay.get(key)
            if timer.due_ms > self.worker.now_ms:
                break
            if key not in self.blocked and self.fired.get(key, 0) <= self.worker.now_ms:
                command = FireTimer(key, timer.run, timer.address, timer.due_ms, timer.item)
                self.outbox.append(Outgoing(COMMANDS, self.number, b"", encode_command(command)))
                self.fired[key] = 1 << 62
                count += 1
        return count

    def next_timer_ms(self) -> int | None:
        """When `fire` has something to do, by this worker's clock."""
        times = []
        for key in self.overlay.keys("timer/"):
            due_ms = int(key[6:21])
            if key not in self.blocked and self.fired.get(key, 0) < 1 << 62:
                times.append(max(due_ms, self.fired.get(key, 0)))
        return min(times, default=None)

    def _note(self, command: Command | None, decision: Decision) -> None:
        for key, record in decision.changes.items():
            if record is None and key.startswith("timer/"):
                self.fired.pop(key, None)
                self.blocked.discard(key)
        if isinstance(command, AdvanceWatermark):
            reached = self.overlay.own.watermarks[command.topic].reached()
            for key in sorted(key for key in self.blocked if int(key[6:21]) <= reached):
                self.blocked.discard(key)
                self.fired.pop(key, None)
        elif isinstance(command, FireTimer) and decision.outcome == "rejected":
            key = timer_key(command.due_ms, command.run, command.address, command.item)
            self.fired.pop(key, None)
            if decision.reason == "behind":
                self.blocked.add(key)
            elif decision.reason == "early":
                self.fired[key] = self.worker.now_ms + max(1, command.due_ms - self.overlay.own.time_ms)


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
        self.stores: dict[int, MemoryStore] = {}
        self.partitions: dict[int, Partition] = {}
        self._make = partition

    @property
    def now_ms(self) -> int:
        return self.log.clock.now_ms + self.fast_ms

    def begin(self, number: int) -> Partition:
        """A partition in this worker's hands that is still to be fenced and restored; what it had of it before is
        gone."""
        self.crash(number)
        self.partitions[number] = self._make(number, self)
        return self.partitions[number]

    def crash(self, number: int) -> list[Outgoing]:
        """The end of a partition without a word; what it had queued, which may still arrive or not."""
        partition = self.partitions.pop(number, None)
        if partition is None:
            return []
        partition.close()
        return list(partition.outbox)

    def lose_store(self, number: int) -> None:
        """The disk of a partition that is not open is empty."""
        self.stores.pop(number, None)
