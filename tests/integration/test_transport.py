"""The contract of `runtime/transport.py` with Faust and aiokafka: what it relies on is there, and what it promises
holds on a real broker."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import faust
import pytest
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from faust.tables import TableManager
from faust.transport.consumer import Consumer as FaustConsumer
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

from streamflow.kafka.topics import COMMANDS, topic_name
from streamflow.runtime.app import create_app
from streamflow.runtime.transport import BatchConsumer, BatchSchema, BatchTransport, Fetched
from streamflow.settings import Engine, Settings

pytestmark = [pytest.mark.broker, pytest.mark.timeout(60)]


class Watched:
    """What an app needs of a host; it notes what comes, and the test releases partitions."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.commands = topic_name(settings, COMMANDS)
        self.fetched: dict[int, list[Fetched]] = {0: [], 1: []}
        self.assigned = asyncio.Event()
        self.consumer: BatchConsumer | None = None

    def attach(self, consumer: Any) -> None:
        self.consumer = consumer
        consumer.released.clear()

    async def assign(self, partitions: Iterable[int]) -> None:
        self.assigned.set()

    async def revoke(self, partitions: Iterable[int]) -> None:
        self.assigned.clear()

    def offsets(self, partition: int) -> list[int]:
        return [record.offset for batch in self.fetched[partition] for record in batch.records]

    def tp(self, partition: int) -> TP:
        return TP(self.commands, partition)

    async def until(self, condition: Callable[[], Any], timeout_s: float = 20.0) -> None:
        async with asyncio.timeout(timeout_s):
            while not condition():  # noqa: ASYNC110 - many conditions, one look
                await asyncio.sleep(0.01)


def serve(settings: Settings, work: Callable[[Watched, BatchConsumer, faust.App], Awaitable[None]]) -> None:
    """Runs a Faust app as the engine's, and `work` when its partitions are assigned."""

    async def all_of_it() -> None:
        host = Watched(settings)
        app = create_app(settings, host)  # type: ignore[arg-type]

        @app.agent(app.topic(host.commands, schema=BatchSchema(), acks=False), name="engine")
        async def engine(batches: Any) -> None:
            async for batch in batches.noack().events():
                host.fetched[batch.message.partition].append(batch.value)

        await app.start()
        try:
            await host.until(lambda: host.assigned.is_set() and not app.rebalancing)
            assert host.consumer is not None
            await work(host, host.consumer, app)
        finally:
            await app.stop()

    asyncio.run(all_of_it())


@pytest.fixture
def filled(topics: Settings) -> Settings:
    """Ten commands in each partition; a member that is gone is soon forgotten."""
    settings = topics.model_copy(update={"engine": Engine(session_timeout_s=2)})
    append(settings, 10)
    return settings


def append(settings: Settings, count: int) -> None:
    producer = Producer({"bootstrap.servers": settings.kafka.bootstrap_servers or ""})
    for partition in range(settings.topics.partitions):
        for _ in range(count):
            producer.produce(topic_name(settings, COMMANDS), b"x", partition=partition)
    assert producer.flush(10) == 0


def test_faust_and_aiokafka_still_have_what_the_transport_changes_and_uses() -> None:
    assert faust.__version__ == "0.15.3"
    for name in ("_drain_messages", "perform_seek", "_new_consumer_thread", "resume_partitions"):
        assert name in vars(BatchConsumer), f"{name} is no longer overridden"
        assert callable(getattr(driver.Consumer, name)), f"{name} is gone from Faust"
    for name in (
        "pause_partitions",
        "_wait_next_records",
        "_to_message",
        "wait_first",
        "_get_active_partitions",
        "earliest_offsets",
        "assignment",
    ):
        assert callable(getattr(driver.Consumer, name)), f"{name} is gone from Faust"
    assert list(inspect.signature(driver.Consumer._drain_messages).parameters) == ["self", "fetcher"]
    assert "consumer" in inspect.signature(driver.AIOKafkaConsumerThread._fetch_records).parameters
    assert "await self.sleep(1)" in inspect.getsource(FaustConsumer._wait_next_records), (
        "Faust no longer sleeps while nothing is active"
    )
    assert "seek_to_committed" in inspect.getsource(FaustConsumer.perform_seek), "Faust's own seek goes elsewhere now"
    assert "await self.sleep(1.0)" in inspect.getsource(TableManager.on_start), "Faust no longer waits for tables"
    assert BatchTransport.Consumer is BatchConsumer
    assert {"crashed", "crash_reason"} <= set(dir(faust.App)), "how Faust says that it gave up has changed"


def test_nothing_is_delivered_before_its_partition_is_released_and_then_from_there_in_whole_batches(
    filled: Settings,
) -> None:
    async def work(host: Watched, consumer: BatchConsumer, app: faust.App) -> None:
        await consumer.release(host.tp(0), 4)
        await host.until(lambda: host.offsets(0) == [4, 5, 6, 7, 8, 9])
        assert host.fetched[1] == []
        assert [batch.sought for batch in host.fetched[0]] == [4]
        assert {batch.epoch for batch in host.fetched[0]} == {consumer.epochs[host.tp(0)]} == {1}
        await consumer.release(host.tp(1), 9)
        await host.until(lambda: host.offsets(1) == [9])
        await asyncio.to_thread(append, filled, 2)
        await host.until(lambda: host.offsets(0)[-2:] == [10, 11] and host.offsets(1) == [9, 10, 11])
        assert [batch.sought for batch in host.fetched[0]][1:] == [None] * (len(host.fetched[0]) - 1)

    serve(filled, work)


def test_a_release_begins_a_new_epoch_at_its_offset_also_while_a_fetch_waits(filled: Settings) -> None:
    async def work(host: Watched, consumer: BatchConsumer, app: faust.App) -> None:
        for epoch in range(1, 16):  # each while Faust waits in a fetch for the partition, begun before the seek
            await consumer.release(host.tp(0), epoch % 10)
            await host.until(lambda: any(batch.epoch == epoch for batch in host.fetched[0]))  # noqa: B023 - used at once
            first = next(batch for batch in host.fetched[0] if batch.epoch == epoch)
            assert (first.sought, first.records[0].offset) == (epoch % 10, epoch % 10)
        assert consumer.epochs[host.tp(0)] == 15

    serve(filled, work)


def test_neither_faust_s_own_seek_nor_the_group_s_offset_moves_a_partition(filled: Settings) -> None:
    async def work(host: Watched, consumer: BatchConsumer, app: faust.App) -> None:
        await consumer.release(host.tp(0), 7)
        await host.until(lambda: host.offsets(0) == [7, 8, 9])
        await consumer.perform_seek()
        await host.until(lambda: host.offsets(0) == [7, 8, 9, 7, 8, 9])
        assert host.fetched[0][-1].epoch == 2
        assert host.fetched[1] == []

    serve(filled, work)


def test_a_held_partition_is_silent_until_it_is_released_again(filled: Settings) -> None:
    async def work(host: Watched, consumer: BatchConsumer, app: faust.App) -> None:
        await consumer.release(host.tp(0), 0)
        await host.until(lambda: len(host.offsets(0)) == 10)
        await consumer.hold(host.tp(0))
        await asyncio.to_thread(append, filled, 3)
        await consumer.release(host.tp(1), 0)
        await host.until(lambda: len(host.offsets(1)) == 13)  # what is appended gets through, but not there
        assert len(host.offsets(0)) == 10
        await consumer.release(host.tp(0), 12)
        await host.until(lambda: host.offsets(0)[10:] == [12])

    serve(filled, work)


def test_a_position_before_the_first_record_is_answered_with_what_is_left_and_where_the_fetch_began(
    filled: Settings,
) -> None:
    admin = AdminClient({"bootstrap.servers": filled.kafka.bootstrap_servers or ""})
    first = TopicPartition(topic_name(filled, COMMANDS), 0, 6)
    admin.delete_records([first])[first].result()

    async def work(host: Watched, consumer: BatchConsumer, app: faust.App) -> None:
        await consumer.release(host.tp(0), 2)
        await host.until(lambda: host.offsets(0) == [6, 7, 8, 9])
        assert host.fetched[0][0].sought == 2  # so the partition sees the gap, and asks for the first offset
        assert await consumer.earliest_offsets(host.tp(0)) == {host.tp(0): 6}

    serve(filled, work)


def test_a_partition_that_is_not_ours_is_left_alone(filled: Settings) -> None:
    async def work(host: Watched, consumer: BatchConsumer, app: faust.App) -> None:
        await consumer.release(TP(host.commands, 77), 0)
        assert TP(host.commands, 77) not in consumer.released
        await consumer.release(host.tp(0), 9)
        await host.until(lambda: host.offsets(0) == [9])

    serve(filled, work)
