"""What we change in Faust, in one place: its consumer hands over one event per fetched batch of a partition, and starts where we say.

Faust's normal path costs 55-98 us a record, a batch 25-44 us with everything the engine does (measured). Its `perform_seek` leaves a
partition without a committed offset wherever it was; here a partition is held until its owner releases it at an offset of its own (law 4).
`tests/integration/test_transport.py` holds these classes to what Faust does around them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

import faust
from aiokafka import TopicPartition
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

FETCH_WAIT_MS = 100  # Faust's 1500 ms keeps new data of one partition waiting behind a long poll for the others


class Fetched(NamedTuple):
    """Records of one partition, in order, and the epoch of the partition when they were asked for."""

    epoch: int
    records: list[Any]


class BatchConsumer(driver.Consumer):
    """A consumer of one topic. Records of a partition that is not released are neither fetched nor delivered."""

    released: dict[TP, int]  # where delivery begins after the next seek of all
    epochs: dict[TP, int]  # how often a partition has been released: a batch fetched before the last time is known by its epoch

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.released = {}
        self.epochs = {}

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
        self.epochs[tp] = self.epochs.get(tp, 0) + 1  # aiokafka returns nothing from before a seek after it
        self._read_offset[tp] = offset or None
        self.resume_partitions({tp})

    async def _in_thread(self, call: Callable[..., Awaitable[None]], *args: Any) -> None:
        await self._thread.call_thread(call, *args)

    async def _hold(self, tp: TP) -> None:
        consumer, partition = self._thread._ensure_consumer(), TopicPartition(tp.topic, tp.partition)
        if partition in consumer.assignment():
            consumer.seek(partition, 0)  # any valid position, so that aiokafka does not look for one of its own
            consumer.pause(partition)

    async def _release(self, tp: TP, offset: int) -> None:
        consumer, partition = self._thread._ensure_consumer(), TopicPartition(tp.topic, tp.partition)
        consumer._fetcher._fetch_max_wait_ms = FETCH_WAIT_MS
        if partition in consumer.assignment():
            consumer.seek(partition, offset)
            consumer.resume(partition)

    async def _drain_messages(self, fetcher: Any) -> None:
        try:
            while not (self._stopped.is_set() or fetcher._stopped.is_set()):
                epochs = dict(self.epochs)
                records, _ = await self._wait_next_records(1.0)
                generation = self.app.consumer_generation_id
                await asyncio.sleep(0)
                if not records or self.should_stop:
                    continue
                if not self.flow_active:
                    await self.perform_seek()
                    continue
                await self.wait_first(self._deliver(records, generation, epochs), self.suspend_flow.wait())
        except self.consumer_stopped_errors:
            if not self.transport.app.should_stop:
                raise
        except asyncio.CancelledError:
            if not self.transport.app.should_stop:
                raise

    async def _deliver(self, records: Any, generation: int, epochs: dict[TP, int]) -> None:
        for partition, fetched in records.items():
            tp = TP(partition.topic, partition.partition)
            if self.app.consumer_generation_id != generation:
                return
            message: Any = self._to_message(tp, fetched[-1])
            message.key, message.value = None, Fetched(epochs.get(tp, 0), fetched)
            await self.callback(message)
            self._read_offset[tp] = fetched[-1].offset


class BatchTransport(driver.Transport):
    """Faust's aiokafka transport with our consumer."""

    Consumer = BatchConsumer


class BatchSchema(faust.Schema[Any, Any]):
    """Passes the fetched records through as the event's value; the partition decodes them."""

    def compile(self, app: Any, **kwargs: Any) -> Any:
        async def decode(message: Any, *, propagate: bool = False) -> Any:
            return app.create_event(None, message.value, message.headers, message)

        return decode
