"""What we change in Faust, in one place: its consumer hands over one event per fetched batch of a partition, and starts
where we say.

Faust's normal path costs 55-98 us a record, a batch 25-44 us with everything the engine does (measured). Its
`perform_seek` leaves a partition without a committed offset wherever it was; here a partition is held until its owner
releases it at its own offset (law contiguous-input). `tests/integration/test_transport.py` holds these classes to
what Faust does around them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

import faust
import structlog
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError
from faust.tables import TableManager
from faust.transport.drivers import aiokafka as driver
from faust.types import TP
from mode import Service

from streamflow.kafka.connection import FetchWait, stop_consumer
from streamflow.kafka.refusals import code_of
from streamflow.runtime.coverage import LOOK_S as COVERAGE_S
from streamflow.runtime.coverage import join_again, uncovered

log = structlog.get_logger()
ENDING_ROUNDS = 10
LOOK_S = 1.0


class Fetched(NamedTuple):
    """Records of one partition, in order, and the epoch of the partition when aiokafka gave them out. `sought` is where
    the fetch began if it was the first one after a release: what is missing between it and the first record is missing
    in the log itself."""

    epoch: int
    records: list[Any]
    sought: int | None = None


class BatchThread(driver.AIOKafkaConsumerThread):
    """The thread of aiokafka's loop. Seeks and fetches are in this one loop, so here, and only here, is known which
    came first."""

    async def _fetch_records(self, *args: Any, **kwargs: Any) -> Any:
        consumer: Any = self.consumer
        fetched = await super()._fetch_records(*args, **kwargs)
        if consumer.fetch_wait is not None:
            consumer.fetch_wait.note(bool(fetched))
        return {
            tp: Fetched(consumer.epochs.get(tp, 0), records, consumer.sought.pop(tp, None))
            for tp, records in fetched.items()
        }

    @Service.task
    async def _watch_group(self) -> None:
        """At an error that it does not expect aiokafka lets the group be until a caller asks how it is; Faust never
        does. Raises KafkaError when it has given up altogether."""
        rounds = 0
        while not self.should_stop:
            await self.sleep(LOOK_S)
            if (consumer := self._consumer) is None:
                continue
            rounds += 1
            if rounds * LOOK_S % COVERAGE_S == 0:
                await self._look_at_coverage(consumer)
            try:
                consumer._coordinator.check_errors()
            except KafkaError as error:
                if consumer._coordinator._coordination_task.done():
                    raise
                log.warning("group_failed", code=code_of(error), error=repr(error), consequence="it is joined again")

    async def _look_at_coverage(self, consumer: Any) -> None:
        try:
            missing = await uncovered(consumer)
        except KafkaError as error:
            log.debug("group_not_described", error=repr(error))
            return
        if missing:
            log.info("partitions_unassigned", partitions=missing, consequence="this worker joins the group again")
            join_again(consumer)

    async def on_thread_stop(self) -> None:
        """Ends in bounded time. After a broker has gone and come back, aiokafka's `stop` may wait for ever for a task
        that waits for a future that nobody sets, and with it the process would never end."""
        await super(driver.AIOKafkaConsumerThread, self).on_thread_stop()  # the method queue
        if self._consumer is not None:
            await stop_consumer(self._consumer)

    async def _gather_remaining_tasks(self) -> None:
        """As mode's, but a task that survives one cancellation is cancelled again, and none is waited for without
        end."""
        for _ in range(ENDING_ROUNDS):
            left = {task for task in asyncio.all_tasks() if task is not asyncio.current_task()}
            if not left:
                return
            for task in left:
                task.cancel()
            await asyncio.wait(left, timeout=0.2)


class BatchConsumer(driver.Consumer):
    """A consumer of one topic. Records of a partition that is not released are neither fetched nor delivered."""

    released: dict[TP, int]  # where delivery begins after the next seek of all
    # how often a partition has been released: a batch fetched before the last time is known by its epoch
    epochs: dict[TP, int]
    sought: dict[TP, int]  # where a released partition begins, until its first batch is fetched

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.released = {}
        self.epochs = {}
        self.sought = {}
        self.fetch_wait: FetchWait | None = None
        self._resumed = asyncio.Event()

    def _new_consumer_thread(self) -> BatchThread:
        return BatchThread(self, loop=self.loop, beacon=self.beacon)

    def resume_partitions(self, tps: Any) -> None:
        super().resume_partitions(tps)
        self._resumed.set()

    async def perform_seek(self) -> None:
        """Called by Faust whenever it wants positions: released partitions go to their offset, the others are held."""
        for tp in self.assignment():
            offset = self.released.get(tp)
            if offset is None:
                await self.hold(tp)
            else:
                await self.release(tp, offset)

    async def hold(self, tp: TP) -> None:
        """Stop fetching `tp` until it is released."""
        self.released.pop(tp, None)
        self.pause_partitions({tp})
        await self._in_thread(self._hold, tp)

    async def release(self, tp: TP, offset: int) -> None:
        """Deliver `tp` from `offset` on. A partition that is no longer assigned is left alone."""
        if tp not in self.assignment():
            return
        self.released[tp] = offset
        await self._in_thread(self._release, tp, offset)
        self._read_offset[tp] = offset or None
        self.resume_partitions({tp})

    async def _in_thread(self, call: Callable[..., Awaitable[None]], *args: Any) -> None:
        await self._thread.call_thread(call, *args)

    async def _hold(self, tp: TP) -> None:
        consumer, partition = self._thread._ensure_consumer(), TopicPartition(tp.topic, tp.partition)
        if partition in consumer.assignment():
            consumer.seek(partition, 0)  # any valid position, so that aiokafka does not look for one itself
            consumer.pause(partition)

    async def _release(self, tp: TP, offset: int) -> None:
        consumer, partition = self._thread._ensure_consumer(), TopicPartition(tp.topic, tp.partition)
        # Faust's 1500 ms keeps new data of one partition waiting behind a long poll for the others
        self.fetch_wait = FetchWait(consumer)
        if partition in consumer.assignment():
            consumer.seek(partition, offset)  # aiokafka gives out nothing from before a seek after it
            self.epochs[tp] = self.epochs.get(tp, 0) + 1
            self.sought[tp] = offset
            consumer.resume(partition)

    async def _drain_messages(self, fetcher: Any) -> None:
        try:
            while not (self._stopped.is_set() or fetcher._stopped.is_set()):
                if self.flow_active and not self._get_active_partitions():
                    await self._wait_resumed()
                    continue
                records, _ = await self._wait_next_records(1.0)
                generation = self.app.consumer_generation_id
                await asyncio.sleep(0)
                if not records or self.should_stop:
                    continue
                if not self.flow_active:
                    await self.perform_seek()
                    continue
                await self.wait_first(self._deliver(records, generation), self.suspend_flow.wait())
        except self.consumer_stopped_errors:
            if not self.transport.app.should_stop:
                raise
        except asyncio.CancelledError:
            if not self.transport.app.should_stop:
                raise

    async def _wait_resumed(self) -> None:
        """Return when a partition may be active again. Faust sleeps for a second here, which every start of a worker
        would wait out."""
        self._resumed.clear()
        try:
            async with asyncio.timeout(1.0):
                await self._resumed.wait()
        except TimeoutError:
            return

    async def _deliver(self, records: Any, generation: int) -> None:
        fetched: Fetched
        for partition, fetched in records.items():
            tp = TP(partition.topic, partition.partition)
            if self.app.consumer_generation_id != generation:
                return
            last = fetched.records[-1]
            message: Any = self._to_message(tp, last)
            message.key, message.value = None, fetched
            await self.callback(message)
            self._read_offset[tp] = last.offset


class NoTables(TableManager):
    """There are none, so the second in which Faust waits for more of them to be declared is saved at every start."""

    async def on_start(self) -> None:
        await self._update_channels()
        await self.recovery.start()


class BatchTransport(driver.Transport):
    """Faust's aiokafka transport with our consumer."""

    Consumer = BatchConsumer


class BatchSchema(faust.Schema[Any, Any]):
    """Passes the fetched records through as the event's value; the partition decodes them."""

    def compile(self, app: Any, **kwargs: Any) -> Any:
        async def decode(message: Any, *, propagate: bool = False) -> Any:
            return app.create_event(None, message.value, message.headers, message)

        return decode
