"""The host of one owned partition of `commands`, from opening to closing: what `core.partition` decides is done here,
with aiokafka and the local store.

Opening:  1 fence  2 open the store  3 restore  4 release the input at applied + 1.
A batch:  1 judge and trim  2 decide each record  3 send outputs and events (acknowledged later).
A checkpoint follows when one is due: see `runtime.checkpoints`.
Any error closes the partition; the engine's host opens it again through a restore.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any

import structlog

from streamflow.core.gap_check import Verdict
from streamflow.core.metrics import Metrics
from streamflow.core.outbox import TopicOf, WriterOf
from streamflow.core.partition import PartitionCore
from streamflow.core.place import Place
from streamflow.core.tracing import Traced
from streamflow.engine.commands import DefinitionRef
from streamflow.engine.effects import PrintLine
from streamflow.engine.overlay import Store
from streamflow.engine.trace import identifiers
from streamflow.errors import EngineFault
from streamflow.kafka.cancellation import cancel, is_own_cancellation, set_within
from streamflow.kafka.topics import COMMANDS, topic_name
from streamflow.runtime.changelog import Changelog
from streamflow.runtime.checkpoints import Checkpoints
from streamflow.runtime.input_queue import Input, InputQueue
from streamflow.runtime.outputs import Outputs
from streamflow.runtime.partition_log import PartitionLog
from streamflow.runtime.plans import Plans
from streamflow.runtime.publisher import Publisher, UserTopics
from streamflow.runtime.transport import Fetched
from streamflow.settings import Settings
from streamflow.wire.decoding import Record

log = structlog.get_logger()
SLICE = 200  # records decided before others get their turn
DEFINITIONS_WAIT_S = 30.0
CONGESTED_S = 0.05  # between looks at a users' topic that is slower than its events


class Partition:
    """The partition at `place`, for as long as this process owns it. `failed` is called once, with the error that
    closed it. `failed_at` is the command that this process has failed to decide for lack of memory."""

    def __init__(
        self,
        place: Place,
        settings: Settings,
        *,
        store: Callable[[], Store],
        changelog: Changelog,
        outputs: Outputs,
        topics: UserTopics,
        plans: Plans,
        source: Input,
        failed: Callable[[int, BaseException], None],
        topic_of: TopicOf,
        writer_of: WriterOf = lambda event: None,
        failed_at: int | None = None,
        metrics: Metrics | None = None,
        traced: Traced | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.number = place.number
        self._place = place
        self._settings = settings
        self._open_store = store
        self._changelog = changelog
        self._outputs = outputs
        self._topics = topics
        self._plans = plans
        self._source = source
        self._failed = failed
        self._clock = clock
        shown = PartitionLog(place.number)
        self._new_core = partial(
            PartitionCore,
            place,
            definitions=plans,
            printed=self._print,
            put_aside=shown.put_aside,
            hot_key=shown.hot_key,
            topic_of=topic_of,
            writer_of=writer_of,
            failed_at=failed_at,
            metrics=metrics,
            clock=time.perf_counter,
            traced=traced,
        )
        self._queue = InputQueue(partial(source.pause, place.number), partial(source.resume, place.number))
        self._timer_moved = asyncio.Event()
        self._deciding = asyncio.Lock()  # held from deciding a slice until its outputs are with the producer
        self._behind_ms = 0  # what our clock is behind the broker's, as far as the last record showed
        self._tasks: list[asyncio.Task[None]] = []
        self._store: Store | None = None
        self._publisher: Publisher | None = None
        self._checkpoints: Checkpoints  # from the opening on
        self._opened: PartitionCore | None = None
        self.ready = False

    # -- life

    async def open(self) -> None:
        """Steps 1 to 4. Raises what went wrong; `close` is needed all the same."""
        began, saved_at = time.perf_counter(), self._clock()
        await self._changelog.fence()
        self._store = await asyncio.to_thread(self._open_store)
        restored = await self._changelog.restore(self._store)
        self._opened = core = self._new_core(store=self._store, now_ms=int(self._clock() * 1000))
        skipped = core.begin(await self._source.first_offset(self.number), self._plans.skips(self.number))
        if skipped is not None:
            log.warning("commands_skipped", partition=self.number, **skipped._asdict())
        self._outputs.bind(core)
        self._checkpoints = Checkpoints(
            core,
            self._settings.engine,
            store=self._store,
            changelog=self._changelog,
            outputs=self._outputs,
            deciding=self._deciding,
            clock=self._clock,
            saved_at=saved_at,
        )
        self._publisher = Publisher(self._topics, core, changed=self._checkpoints.changed.set, bury=self._send_outputs)
        self._look_at_clock()
        await self._source.release(self.number, core.applied + 1)
        self.ready = True
        self._publisher.publish()
        works = {"input": self._serve_input, "timers": self._serve_timers, "checkpoints": self._checkpoints.serve}
        for name, work in works.items():
            self._tasks.append(asyncio.create_task(self._guard(work), name=f"{name}-{self.number}"))
        seconds = time.perf_counter() - began
        core.metrics.observe("restore_records", restored)
        core.metrics.observe("restore_seconds", seconds)
        log.info(
            "partition_open",
            partition=self.number,
            applied=core.applied,
            restored=restored,
            unsent_events=len(core.emitted.outbox),
            seconds=round(seconds, 3),
        )

    @property
    def applied(self) -> int | None:
        """The offset of the last command in the state; None before it is restored."""
        return self._opened.applied if self._opened is not None else None

    @property
    def checkpoint_age_s(self) -> float:
        """Seconds since the last checkpoint; 0 when there is nothing to save, and until the partition is open."""
        return self._checkpoints.age_s if self.ready else 0.0

    def _core(self) -> PartitionCore:
        if self._opened is None:
            raise RuntimeError("the partition is not open")
        return self._opened

    async def checkpoint(self) -> None:
        """Save everything decided so far; see `Checkpoints.save`."""
        await self._checkpoints.save()

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
        await cancel(self._tasks)
        if self._publisher is not None:
            await self._publisher.close()
        self._outputs.close()
        await self._changelog.close()
        if self._store is not None:
            self._store.close()
        log.info("partition_closed", partition=self.number, saved=save and was_ready)

    async def _guard(self, work: Callable[[], Awaitable[None]]) -> None:
        try:
            await work()
        except BaseException as error:
            if is_own_cancellation(error):
                raise
            if self.ready:
                self.ready = False
                self._failed(self.number, error)

    # -- input

    def feed(self, fetched: Fetched) -> None:
        """Take a fetched batch; never blocks. One from before the last seek is dropped: its records come again."""
        if self.ready and fetched.epoch == self._source.epoch(self.number):
            self._queue.put(fetched)

    async def _serve_input(self) -> None:
        while True:
            fetched = await self._queue.get()
            if fetched.epoch == self._source.epoch(self.number):
                try:
                    await self._take(fetched)
                except EngineFault:
                    await self.checkpoint()  # what was decided stays so, and the input stands at what stops it
                    raise

    async def _take(self, fetched: Fetched) -> None:
        core = self._core()
        records = core.trim(fetched.records)
        if not records:
            return
        if not core.is_next(records[0].offset) and not await self._goes_on(records[0].offset, fetched.sought):
            return
        for place in range(0, len(records), SLICE):
            await self._decide(core, records[place : place + SLICE])
            self._look_at_clock()
            if self._checkpoints.unsaved_bytes > self._settings.engine.checkpoint_bytes:
                self._checkpoints.due.set()
            while core.emitted.outbox.congested():
                await asyncio.sleep(CONGESTED_S)
                await self._look_at_outbox()
            await asyncio.sleep(0)

    async def _goes_on(self, found: int, sought: int | None) -> bool:
        """Whether a batch that begins at `found` instead of where it should may be taken."""
        core = self._core()
        expected = core.applied + 1
        verdict = core.judge(found, sought, await self._source.first_offset(self.number))
        if verdict is Verdict.HOLE:
            log.warning(
                "offsets_without_records",
                partition=self.number,
                expected=expected,
                found=found,
                reason="transaction markers of another producer",
            )
        if verdict is not Verdict.SEEK:
            return True
        self._queue.clear()
        log.warning(
            "input_hole", partition=self.number, expected=expected, found=found, consequence="reads again from there"
        )
        await self._source.release(self.number, expected)
        return False

    async def _decide(self, core: PartitionCore, records: Sequence[Any]) -> None:
        """Decide `records` and send the results. A checkpoint follows a command that was put aside."""
        left = deque(records)
        while left:
            async with self._deciding:
                now_ms = self._now_ms()
                while left and not core.must_save:
                    fetched = left.popleft()
                    record = Record(  # in the order of its fields: this is done for every command
                        fetched.topic,
                        fetched.partition,
                        fetched.offset,
                        fetched.timestamp,
                        fetched.key,
                        fetched.value,
                        tuple(fetched.headers),
                    )
                    start = core.take(record, now_ms)
                    if start is not None:
                        await self._take_start(core, record, start, now_ms)
                    self._checkpoints.unsaved_bytes += len(record.value or b"") + 100
                self._checkpoints.changed.set()
                self._timer_moved.set()
                await self._outputs.send()
            self._publish()
            if core.must_save:
                await self.checkpoint()

    async def _take_start(self, core: PartitionCore, record: Record, start: DefinitionRef, now_ms: int) -> None:
        """Decide a record whose start names definitions that are still to be read."""
        missing: DefinitionRef | None = start
        while missing is not None:
            await self._outputs.send()
            unpublished = not await self._plans.wait(missing, DEFINITIONS_WAIT_S)
            missing = core.take(record, now_ms, unpublished=unpublished)

    # -- timers and events

    def _now_ms(self) -> int:
        """The broker's time, as near as we know it: a record that was just appended was not appended later than now."""
        return int(self._clock() * 1000) + self._behind_ms

    def _look_at_clock(self) -> None:
        self._behind_ms = max(0, self._core().overlay.own.time_ms - int(self._clock() * 1000))

    async def _serve_timers(self) -> None:
        core = self._core()
        while True:
            if core.fire(self._now_ms()):
                await self._send_outputs()
            await self._look_at_outbox()
            self._timer_moved.clear()
            wait_s = (core.timers.next_ms(self._now_ms()) - self._now_ms()) / 1000
            if wait_s > 0:
                await set_within(self._timer_moved, wait_s)

    async def _send_outputs(self) -> None:
        async with self._deciding:
            await self._outputs.send()

    def _publish(self) -> None:
        if self._publisher is not None:
            self._publisher.publish()

    async def _look_at_outbox(self) -> None:
        """Show users' topics that take nothing, once; what they leave beyond the bound becomes dead letters."""
        core = self._core()
        for topic, stalled in core.emitted.look().items():
            if stalled:
                log.warning(
                    "topic_takes_nothing",
                    topic=topic,
                    partition=self.number,
                    events=core.emitted.outbox.depths().get(topic),
                    consequence="its events wait in the outbox; checkpoints and other topics go on",
                )
            else:
                log.info("topic_takes_events_again", topic=topic, partition=self.number)
        if core.outputs:
            await self._send_outputs()

    def _print(self, line: PrintLine) -> None:
        place = {"topic": topic_name(self._settings, COMMANDS), "partition": self.number, "offset": self.applied}
        facts = place | identifiers(line.trace, line.correlation_id)
        log.info("print", run=line.run, scope=line.scope, step=line.step, text=line.text, **facts)
