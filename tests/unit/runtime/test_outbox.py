"""What ingress sends: in whole batches, in order, done when the broker has all of it; and the broker's times."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any, NamedTuple

import pytest
from aiokafka.errors import KafkaConnectionError
from aiokafka.producer.message_accumulator import BatchBuilder

from streamflow.ids import partition_of
from streamflow.runtime.batch_sender import BatchFailed
from streamflow.runtime.outbox import Outbox
from streamflow.wire.dead_letter import DeadLetter


class Acked(NamedTuple):
    timestamp: int


class Producer:
    """Acknowledges at once with `times`, or raises."""

    def __init__(self, *times: int, fails: bool = False, batch_bytes: int = 1000) -> None:
        self.times = deque(times)
        self.fails = fails
        self.batch_bytes = batch_bytes
        self.sent: list[tuple[str, int, int]] = []

    def create_batch(self) -> BatchBuilder:
        return BatchBuilder(self.batch_bytes, 0)

    async def send_batch(self, batch: Any, topic: str, *, partition: int) -> asyncio.Future[Acked]:
        self.sent.append((topic, partition, batch.record_count()))
        future: asyncio.Future[Acked] = asyncio.get_running_loop().create_future()
        if self.fails:
            future.set_exception(KafkaConnectionError())
        else:
            future.set_result(Acked(self.times.popleft() if self.times else -1))
        return future


def outbox(producer: Any) -> Outbox:
    return Outbox(producer, "commands", 2, "dead")


def test_what_is_queued_leaves_in_batches_and_the_latest_time_of_each_partition_is_known() -> None:
    producer = Producer(10, 5, 5, 30, 20, batch_bytes=240)  # partitions take turns
    box = outbox(producer)

    async def scenario() -> None:
        for _ in range(6):
            box.add(0, "k", b"x" * 60)
        box.add(1, "k", b"y")
        box.add_dead([DeadLetter(None, b"z", (("a", b"b"),))])
        await box.flush()

    asyncio.run(scenario())
    assert sum(count for topic, partition, count in producer.sent if (topic, partition) == ("commands", 0)) == 6
    assert len(producer.sent) == 5
    assert ("dead", 0, 1) in producer.sent
    assert box.times[0] == 30


def test_a_time_that_the_broker_does_not_tell_and_one_that_goes_back_change_nothing() -> None:
    producer = Producer(1000, -1, 500)
    box = outbox(producer)

    async def scenario() -> None:
        for _ in range(3):
            box.add(0, "k", b"x")
            await box.flush()

    asyncio.run(scenario())
    assert box.times == {0: 1000}


def test_a_failure_is_raised_and_gives_no_time() -> None:
    box = outbox(Producer(fails=True))

    async def scenario() -> None:
        box.add(0, "k", b"x")
        await box.flush()

    with pytest.raises(BatchFailed) as caught:
        asyncio.run(scenario())
    assert isinstance(caught.value.__cause__, KafkaConnectionError)
    assert box.times == {}


@pytest.mark.parametrize("lost", [0, 1, 2])
def test_whichever_batch_is_lost_the_flush_fails_and_before_all_are_acknowledged_it_does_not_end(lost: int) -> None:
    class Late(Producer):
        async def send_batch(self, batch: Any, topic: str, *, partition: int) -> asyncio.Future[Acked]:
            acks.append(asyncio.get_running_loop().create_future())
            return acks[-1]

    acks: list[asyncio.Future[Acked]] = []

    async def scenario() -> None:
        box = outbox(Late(batch_bytes=100))
        for _ in range(3):
            box.add(0, "k", b"x" * 60)
        flushing = asyncio.ensure_future(box.flush())
        for _ in range(10):
            await asyncio.sleep(0)
        assert len(acks) == 3
        for number, ack in enumerate(acks):
            if number != lost:
                ack.set_result(Acked(1))
        for _ in range(10):
            await asyncio.sleep(0)
        assert not flushing.done()
        acks[lost].set_exception(KafkaConnectionError())
        await flushing

    with pytest.raises(BatchFailed) as caught:
        asyncio.run(scenario())
    assert isinstance(caught.value.__cause__, KafkaConnectionError)


def test_a_key_has_the_partition_of_kafkas_default_partitioner() -> None:
    assert all(outbox(Producer()).partition_of(f"k{n}") == partition_of(f"k{n}", 2) for n in range(50))
