"""One owned partition of `commands`: its input, its state and its outputs, from opening to closing (laws 1 to 5).

Opening:  1 fence  2 open the store  3 restore  4 release the input at applied + 1.
A batch:  1 decode  2 decide  3 apply to memory  4 send outputs (acknowledged later).
A checkpoint:  1 capture the cut  2 its outputs are acknowledged  3 one transaction: changes and input offset  4 the
               same to the store.
Any error closes the partition; its host opens it again through a restore.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

import structlog

from streamflow.engine.commands import KNOWN_REVISIONS, AdvanceWatermark, Command, FireTimer, StartRun
from streamflow.engine.decide import decide, undecidable
from streamflow.engine.draft import Limits
from streamflow.engine.outcome import Decision
from streamflow.engine.overlay import Overlay, Store
from streamflow.engine.state import OWN, Own, content_key
from streamflow.errors import EngineFault, OperationError, StreamflowError
from streamflow.ids import partition_of, partition_of_run
from streamflow.kafka.cancellation import is_asked_for
from streamflow.runtime.changelog import Changelog
from streamflow.runtime.outputs import Outputs
from streamflow.runtime.plans import Plans
from streamflow.runtime.timers import Timers
from streamflow.runtime.transport import Fetched
from streamflow.settings import Settings
from streamflow.wire.codec import DecodeError, decode_command

log = structlog.get_logger()
SLICE = 200  # records decided before others get their turn
UNACKED = 64  # batches on their way to the broker
# above either, fetching pauses: two seconds of work, so that no pause is felt
QUEUED_RECORDS, QUEUED_BYTES = 16_000, 16 << 20
DEFINITIONS_WAIT_S = 30.0
QUIET_RECORDS = 20  # fewer since the last checkpoint: the longer interval applies
# a cut that holds nothing but watermarks may wait; replaying them is cheap, but lag is read from what is committed
WATERMARKS_ONLY_S = 10.0


class Input(Protocol):
    """How a partition steers its input."""

    async def release(self, partition: int, offset: int) -> None:
        """Deliver from `offset` on, under a new epoch."""

    def epoch(self, partition: int) -> int: ...

    def pause(self, partition: int) -> None: ...

    def resume(self, partition: int) -> None: ...

    async def first_offset(self, partition: int) -> int:
        """The oldest offset that `commands` still has."""


class Partition:
    """Partition `number`, for as long as this process owns it. `failed` is called once, with the error that closed
    it."""

    def __init__(
        self,
        number: int,
        settings: Settings,
        *,
        topic_id: str,
        limits: Limits,
        store: Callable[[], Store],
        changelog: Changelog,
        outputs: Outputs,
        plans: Plans,
        source: Input,
        failed: Callable[[int, BaseException], None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.number = number
        self._settings = settings
        self._topic_id = topic_id
        self._limits = limits
        self._open_store = store
        self._changelog = changelog
        self._outputs = outputs
        self._plans = plans
        self._source = source
        self._failed = failed
        self._clock = clock
        self._queue: deque[Fetched] = deque()
        self._queued_records = self._queued_bytes = 0
        self._arrived = asyncio.Event()
        self._timer_moved = asyncio.Event()
        self._checkpoint_due = asyncio.Event()
        # something was decided; an idle partition waits for it instead of looking twice a second
        self._changed = asyncio.Event()
        self._deciding = asyncio.Lock()  # held from deciding a slice until its outputs are with the producer
        self._saving = asyncio.Lock()
        self._paused = False
        self._unsaved_bytes = self._unsaved_records = 0
        self._saved_at = clock()
        self._behind_ms = 0  # what our clock is behind the broker's, as far as the last record showed
        self._unsavable: BaseException | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._store: Store | None = None
        self.ready = False

    # -- life

    async def open(self) -> None:
        """Steps 1 to 4. Raises what went wrong; `close` is needed all the same."""
        began = time.perf_counter()
        await self._changelog.fence()
        self._store = await asyncio.to_thread(self._open_store)
        restored = await self._changelog.restore(self._store)
        self.overlay = Overlay(self._store)
        own = self.overlay.own
        if own.topic_id and own.topic_id != self._topic_id:
            raise EngineFault(
                "commands_recreated",
                "expected the topic of commands that this state was made from but it is another one; restore it, or "
                "delete `state` and its local stores too",
                partition=self.number,
            )
        for revision in own.revisions:
            self._require_known(revision)
        first = await self._source.first_offset(self.number)
        if first > own.applied + 1:
            self._skip(own, first)
        self._look_at_clock()
        self.timers = Timers(self.overlay, self._now_ms())
        await self._source.release(self.number, self.overlay.own.applied + 1)
        self.ready = True
        for work in (self._serve_input, self._serve_timers, self._serve_checkpoints):
            self._tasks.append(asyncio.create_task(self._guard(work), name=f"{work.__name__}-{self.number}"))
        log.info(
            "partition_open",
            partition=self.number,
            applied=own.applied,
            restored=restored,
            seconds=round(time.perf_counter() - began, 3),
        )

    def _skip(self, own: Own, first: int) -> None:
        """Go on after deleted commands, if a person said so. Raises EngineFault if no one did."""
        allowed = self._plans.skip(self.number)
        if allowed is None or allowed[0] < first:
            raise self._gap(own.applied + 1, first)
        offset, why = allowed
        self.overlay.apply(
            {
                OWN: Own(
                    offset - 1,
                    own.time_ms,
                    own.counts,
                    own.reasons,
                    own.watermarks,
                    own.parked,
                    self._topic_id,
                    own.revisions,
                )
            }
        )
        self._unsaved_records += 1
        log.warning("commands_skipped", partition=self.number, first=own.applied + 1, next=offset, why=why)

    async def close(self, *, save: bool) -> None:
        """Stop; with `save`, after a last checkpoint."""
        was_ready, self.ready = self.ready, False
        for task in self._tasks[:2]:
            task.cancel()
        if save and was_ready:
            last = asyncio.create_task(self.checkpoint())
            await asyncio.wait({last}, timeout=self._settings.engine.session_timeout_s * 0.5)
            last.cancel()
            (error,) = await asyncio.gather(last, return_exceptions=True)
            if error is not None:  # the next owner replays what was not saved
                log.warning(
                    "last_checkpoint_failed",
                    partition=self.number,
                    error=repr(error),
                    consequence="at most one interval is replayed",
                )
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._outputs.close()
        await self._changelog.close()
        if self._store is not None:
            self._store.close()
        log.info("partition_closed", partition=self.number, saved=save and was_ready)

    async def _guard(self, work: Callable[[], Awaitable[None]]) -> None:
        try:
            await work()
        except BaseException as error:
            if is_asked_for(error):
                raise
            if self.ready:
                self.ready = False
                self._failed(self.number, error)

    # -- input

    def feed(self, fetched: Fetched) -> None:
        """Take a fetched batch; never blocks. One from before the last seek is dropped: its records come again."""
        if not self.ready or fetched.epoch != self._source.epoch(self.number):
            return
        self._queue.append(fetched)
        self._queued_records += len(fetched.records)
        self._queued_bytes += sum(len(record.value or b"") for record in fetched.records)
        self._arrived.set()
        if not self._paused and (self._queued_records > QUEUED_RECORDS or self._queued_bytes > QUEUED_BYTES):
            self._paused = True
            self._source.pause(self.number)

    async def _serve_input(self) -> None:
        while True:
            while self._queue:
                fetched = self._queue.popleft()
                self._queued_records -= len(fetched.records)
                self._queued_bytes -= sum(len(record.value or b"") for record in fetched.records)
                if (
                    self._paused
                    and self._queued_records < QUEUED_RECORDS // 2
                    and self._queued_bytes < QUEUED_BYTES // 2
                ):
                    self._paused = False
                    self._source.resume(self.number)
                if fetched.epoch == self._source.epoch(self.number):
                    await self._take(fetched)
            self._arrived.clear()
            await self._arrived.wait()

    async def _take(self, fetched: Fetched) -> None:
        applied, records = self.overlay.own.applied, fetched.records
        if records[0].offset <= applied:
            records = [record for record in records if record.offset > applied]
        if not records:
            return
        if records[0].offset != applied + 1 and not await self._hole(applied + 1, records[0].offset, fetched.sought):
            return
        for place in range(0, len(records), SLICE):
            async with self._deciding:
                for record in records[place : place + SLICE]:
                    await self._one(record)
                await self._outputs.send()
            self._look_at_clock()
            if self._unsaved_bytes > self._settings.engine.checkpoint_bytes:
                self._checkpoint_due.set()
            if self._outputs.unacked > UNACKED:
                await self._outputs.flush()
            await asyncio.sleep(0)

    async def _hole(self, expected: int, found: int, sought: int | None) -> bool:
        """Whether a batch that begins at `found` instead of `expected` may be taken: only if the log itself has nothing
        in between, which the first batch after a seek to `expected` shows."""
        first = await self._source.first_offset(self.number)
        if first > expected:
            raise self._gap(expected, first)
        if sought == expected:
            log.warning(
                "offsets_without_records",
                partition=self.number,
                expected=expected,
                found=found,
                reason="transaction markers of another producer",
            )
            return True
        self._queue.clear()
        self._queued_records = self._queued_bytes = 0
        log.warning(
            "input_hole",
            partition=self.number,
            expected=expected,
            found=found,
            consequence="reads again from what was expected",
        )
        await self._source.release(self.number, expected)
        return False

    def _gap(self, expected: int, first: int) -> EngineFault:
        return EngineFault(
            "input_gap",
            f"expected command {expected} next but the topic begins at {first}, so commands were deleted unread; "
            f"restore them, or accept the loss with `streamflow commands skip {self.number} {first}`",
            partition=self.number,
            offset=expected,
        )

    async def _one(self, record: Any) -> None:
        decision, command = await self._decide(record)
        self.overlay.apply(decision.changes)
        self._changed.set()
        if self.timers.note(decision.changes):
            self._timer_moved.set()
        self._outputs.add(decision, record, getattr(command, "trace", None))
        self._unsaved_bytes += len(record.value or b"") + 100
        if isinstance(command, AdvanceWatermark):
            self.timers.unblock(self._now_ms())
            self._timer_moved.set()
            return
        self._unsaved_records += 1
        if isinstance(command, FireTimer):
            # where it is early, our clock is ahead of the broker's
            early_ms = max(1, command.due_ms - self.overlay.own.time_ms)
            self.timers.decided(command, decision.reason, self._now_ms() + early_ms)
            self._timer_moved.set()

    async def _decide(self, record: Any) -> tuple[Decision, Command | None]:
        own = self.overlay.own
        if not own.topic_id:
            own = Own(
                own.applied,
                own.time_ms,
                own.counts,
                own.reasons,
                own.watermarks,
                own.parked,
                self._topic_id,
                own.revisions,
            )
        value = record.value or b""
        if len(value) > self._limits.record_bytes:
            return undecidable(
                own, record.timestamp, record.offset, "too_large", f"expected at most {self._limits.record_bytes} bytes"
            ), None
        try:
            command = decode_command(value)
        except DecodeError as error:
            return undecidable(own, record.timestamp, record.offset, error.code, error.message), None
        if not self._belongs(command):
            message = (
                "expected a command of this partition but its key belongs to another; send it with Kafka's "
                "default partitioner (murmur2)"
            )
            return undecidable(own, record.timestamp, record.offset, "misrouted", message, command), command
        if isinstance(command, StartRun):
            await self._content(command)
        try:
            return decide(
                self.overlay, self._plans, own, command, record.timestamp, record.offset, self._limits
            ), command
        except (StreamflowError, MemoryError):
            raise
        # a bug of ours in a pure function fails every time: one command is put aside, not all runs of the partition
        except Exception as error:
            log.exception(
                "decision_failed",
                partition=self.number,
                offset=record.offset,
                command=command.id,
                consequence="it becomes a dead letter",
            )
            message = (
                f"expected a decision but the engine failed with {type(error).__name__}; report it, and replay "
                "this record when it is mended"
            )
            return undecidable(own, record.timestamp, record.offset, "decision_failed", message, command), None

    def _belongs(self, command: Command) -> bool:
        partitions = self._settings.topics.partitions
        if isinstance(command, AdvanceWatermark):
            return True
        if (key := getattr(command, "key", None)) is not None:
            return partition_of(key, partitions) == self.number
        try:
            return partition_of_run(command.run, partitions) == self.number  # type: ignore[union-attr]
        except ValueError:
            return False

    async def _content(self, command: StartRun) -> None:
        start = command.start
        self._require_known(start.revision)
        if not self._plans.readable(start) and self.overlay.get(content_key(start.sha)) is None:
            await self._outputs.send()
            await self._plans.wait(start, DEFINITIONS_WAIT_S)

    def _require_known(self, revision: str) -> None:
        """Raises EngineFault when this worker's code cannot decide as `revision` does."""
        if revision not in KNOWN_REVISIONS:
            raise EngineFault(
                "unknown_revision",
                f"expected a revision of the engine that this worker knows but runs here have {revision}; run a "
                "worker that knows it",
                partition=self.number,
            )

    # -- timers

    def _now_ms(self) -> int:
        """The broker's time, as near as we know it: a record that was just appended was not appended later than now."""
        return int(self._clock() * 1000) + self._behind_ms

    def _look_at_clock(self) -> None:
        self._behind_ms = max(0, self.overlay.own.time_ms - int(self._clock() * 1000))

    async def _serve_timers(self) -> None:
        while True:
            if commands := self.timers.due(self._now_ms()):
                async with self._deciding:
                    for command in commands:
                        self._outputs.append_here(command)
                    await self._outputs.send()
            self._timer_moved.clear()
            wait_s = (self.timers.next_ms(self._now_ms()) - self._now_ms()) / 1000
            if wait_s > 0:
                try:
                    await asyncio.wait_for(self._timer_moved.wait(), wait_s)
                except TimeoutError:
                    continue

    # -- checkpoints

    async def _serve_checkpoints(self) -> None:
        engine = self._settings.engine
        while True:
            if OWN not in self.overlay.dirty:
                self._changed.clear()
                await self._changed.wait()
            try:
                await asyncio.wait_for(self._checkpoint_due.wait(), engine.checkpoint_s)
            except TimeoutError:
                age_s = self._clock() - self._saved_at
                if OWN not in self.overlay.dirty:
                    continue
                if self._unsaved_records == 0 and age_s < WATERMARKS_ONLY_S:
                    continue
                if self._unsaved_records < QUIET_RECORDS and age_s < engine.checkpoint_idle_s:
                    continue
            self._checkpoint_due.clear()
            await self.checkpoint()

    async def checkpoint(self) -> None:
        """Write everything decided so far: one cut, in the order of law 3. After a failure every later call raises the
        same: only a restore knows what was written."""
        async with self._saving:
            if self._unsavable is not None:
                raise self._unsavable
            async with self._deciding:
                await self._outputs.send()
                if OWN not in self.overlay.dirty or self._store is None:
                    return
                applied = self.overlay.own.applied
                cut = self.overlay.capture()
                self._unsaved_bytes = self._unsaved_records = 0
            try:
                await self._outputs.flush()
                await self._changelog.write(self._store, cut, applied)
            except BaseException as error:
                self._unsavable = error
                raise
            self.overlay.saved()
            self._saved_at = self._clock()


def is_final(error: BaseException) -> bool:
    """Whether opening the partition again cannot help: a person must act first."""
    return isinstance(error, EngineFault) or (
        isinstance(error, OperationError) and error.code in ("changelog_truncated", "changelog_recreated")
    )
