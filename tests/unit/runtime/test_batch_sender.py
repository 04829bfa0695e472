"""Sending in batches: filled by bytes, in order, bounded, each awaited; what a failure leaves."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiokafka.errors import KafkaConnectionError, KafkaTimeoutError
from aiokafka.producer.message_accumulator import BatchBuilder

from streamflow.errors import OperationError
from streamflow.runtime import batch_sender as module
from streamflow.runtime.batch_sender import Batch, BatchFailed, BatchSender, Destination, Fields, send_batch

A, B, C = Destination("a", 0), Destination("b", 0), Destination("b", 1)


class Producer:
    """Keeps what it is given. Batches for `held` topics are not taken; `fails` is raised instead of taking any."""

    def __init__(self, batch_bytes: int = 300, held: str = "", fails: Exception | None = None) -> None:
        self.batch_bytes = batch_bytes
        self.held = held
        self.fails = fails
        self.sent: list[tuple[Destination, int]] = []
        self.acks: list[asyncio.Future[Any]] = []

    def create_batch(self) -> BatchBuilder:
        return BatchBuilder(self.batch_bytes, 0)

    async def send_batch(self, batch: Any, topic: str, *, partition: int) -> asyncio.Future[Any]:
        if topic == self.held:
            await asyncio.Event().wait()
        if self.fails is not None:
            raise self.fails
        self.sent.append((Destination(topic, partition), batch.record_count()))
        self.acks.append(asyncio.get_running_loop().create_future())
        return self.acks[-1]

    def acknowledge(self) -> None:
        for ack in self.acks:
            if not ack.done():
                ack.set_result(None)


class Desk:
    """A sender of bytes, and what the broker has of them."""

    def __init__(self, **options: Any) -> None:
        self.arrived: list[bytes] = []
        self.sender: BatchSender[bytes] = BatchSender(fields, self.acknowledged, **options)

    def acknowledged(self, batch: Batch[bytes]) -> None:
        self.arrived += batch.records

    def add(self, place: Destination, *records: bytes) -> None:
        for record in records:
            self.sender.add(place, record)


def fields(record: bytes) -> Fields:
    return b"k", record, ()


def large(*numbers: int) -> list[bytes]:
    """Records of which two fit a batch."""
    return [bytes([number]) * 100 for number in numbers]


async def turns() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(scenario(), 20))


def test_batches_are_filled_by_bytes_and_keep_the_order_of_their_partition() -> None:
    async def scenario() -> None:
        desk, producer = Desk(), Producer()
        desk.add(A, *large(1, 2, 3, 4, 5))
        await desk.sender.send(producer)
        assert [count for _, count in producer.sent] == [2, 2, 1]
        producer.acknowledge()
        await desk.sender.flush()
        assert desk.arrived == large(1, 2, 3, 4, 5)

    run(scenario)


def test_a_record_larger_than_a_batch_is_one_of_its_own() -> None:
    async def scenario() -> None:
        producer: Any = Producer(100)
        queued = deque([b"x" * 500, b"y" * 500, b"z"])
        while queued:
            await send_batch(producer, A, queued, fields)
        assert [count for _, count in producer.sent] == [1, 1, 1]

    run(scenario)


@pytest.mark.parametrize("error", [KafkaConnectionError(), asyncio.CancelledError()])
def test_what_could_not_be_handed_over_is_queued_again_in_order(error: Any) -> None:
    async def scenario() -> None:
        producer: Any = Producer(fails=error)
        queued = deque(large(1, 2, 3))
        with pytest.raises(type(error)):
            await send_batch(producer, A, queued, fields)
        assert list(queued) == large(1, 2, 3)

    run(scenario)


def test_partitions_take_turns() -> None:
    async def scenario() -> None:
        desk, producer = Desk(), Producer()
        desk.add(A, *large(1, 2, 3, 4, 5, 6))
        desk.add(B, b"b")
        desk.add(C, *large(7, 8, 9))
        await desk.sender.send(producer)
        assert [place for place, _ in producer.sent] == [A, B, C, A, C, A]

    run(scenario)


@pytest.mark.parametrize("most", [1, 2, 5])
def test_no_more_batches_are_on_their_way_than_is_allowed(most: int) -> None:
    async def scenario() -> None:
        desk, producer = Desk(in_flight=most), Producer()
        desk.add(A, *large(*range(12)))
        sending = asyncio.ensure_future(desk.sender.send(producer))
        seen = 0
        while not sending.done():
            await turns()
            assert desk.sender.unacked <= most
            seen = max(seen, desk.sender.unacked)
            producer.acks[len(desk.arrived) // 2].set_result(None)
            await turns()
        assert seen == most
        assert sum(count for _, count in producer.sent) == 12

    run(scenario)


@pytest.mark.parametrize("late", [0, 1, 2])
def test_a_flush_awaits_every_batch_and_cancelled_it_cancels_none(late: int) -> None:
    async def scenario() -> None:
        desk, producer = Desk(), Producer()
        desk.add(A, *large(1, 2, 3, 4))
        desk.add(B, b"b")
        await desk.sender.send(producer)
        interrupted = asyncio.ensure_future(desk.sender.flush())
        await turns()
        interrupted.cancel()
        await asyncio.gather(interrupted, return_exceptions=True)
        flushing = asyncio.ensure_future(desk.sender.flush())
        for number, ack in enumerate(producer.acks):
            if number != late:
                ack.set_result(None)
        await turns()
        assert not flushing.done()
        producer.acks[late].set_result(None)
        await flushing
        assert sorted(desk.arrived) == sorted([*large(1, 2, 3, 4), b"b"])

    run(scenario)


def test_a_flush_does_not_wait_for_what_is_sent_after_it_began() -> None:
    async def scenario() -> None:
        desk, producer = Desk(), Producer()
        desk.add(A, b"1")
        await desk.sender.send(producer)
        flushing = asyncio.ensure_future(desk.sender.flush())
        await turns()
        desk.add(A, b"2")
        await desk.sender.send(producer)
        producer.acks[0].set_result(None)
        await flushing
        assert desk.arrived == [b"1"]

    run(scenario)


@pytest.mark.parametrize("lost", [0, 1, 2])
def test_a_failure_comes_with_its_records_and_ends_all_sending_until_they_are_taken_back(lost: int) -> None:
    async def scenario() -> None:
        desk, producer, other = Desk(), Producer(), Producer()
        desk.add(A, *large(1, 2, 3, 4, 5, 6))
        await desk.sender.send(producer)
        producer.acks[lost].set_exception(KafkaConnectionError("gone"))
        with pytest.raises(BatchFailed) as caught:
            await desk.sender.flush()
        assert caught.value.batch.records == large(2 * lost + 1, 2 * lost + 2)
        assert isinstance(caught.value.__cause__, KafkaConnectionError)
        desk.add(A, b"7")
        with pytest.raises(BatchFailed):
            await desk.sender.send(producer)
        assert len(producer.sent) == 3
        desk.sender.take_back()
        await desk.sender.send(other)
        producer.acknowledge()  # the others got through after all; they are sent again nevertheless
        await turns()
        assert desk.arrived == []
        other.acknowledge()
        await desk.sender.flush()
        assert desk.arrived == [*large(1, 2, 3, 4, 5, 6), b"7"]

    run(scenario)


def test_an_acknowledgement_that_does_not_come_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STUCK_S", 0.001)

    async def scenario() -> None:
        desk, producer = Desk(), Producer()
        desk.add(A, b"1")
        await desk.sender.send(producer)
        with pytest.raises(BatchFailed) as caught:
            await desk.sender.flush()
        assert isinstance(caught.value.__cause__, KafkaTimeoutError)

    run(scenario)


def test_a_fault_of_what_is_done_with_an_acknowledgement_is_raised() -> None:
    def fault(batch: Batch[bytes]) -> None:
        raise ZeroDivisionError

    async def scenario() -> None:
        sender, producer = BatchSender(fields, fault), Producer()
        sender.add(A, b"1")
        await sender.send(producer)
        producer.acknowledge()
        with pytest.raises(ZeroDivisionError):
            await sender.flush()

    run(scenario)


def test_serving_sends_what_comes_and_ends_with_a_failure_although_another_partition_holds_it_up() -> None:
    async def scenario() -> None:
        desk, producer = Desk(), Producer(held="b")
        serving = asyncio.ensure_future(desk.sender.serve(producer))
        await turns()
        desk.add(A, b"1")
        await turns()
        desk.add(A, b"2")
        await turns()
        assert len(producer.sent) == 2
        desk.add(B, b"3")
        await turns()
        producer.acks[1].set_exception(KafkaConnectionError())
        with pytest.raises(BatchFailed):
            await serving
        desk.sender.take_back()
        other = Producer()
        await desk.sender.send(other)
        assert sorted(other.sent) == [(A, 2), (B, 1)]

    run(scenario)


def test_what_must_be_one_batch_is_sent_whole_or_not_at_all() -> None:
    async def scenario() -> None:
        desk, producer = Desk(), Producer()
        assert await desk.sender.send_whole(producer, A, large(1, 2, 3)) is None
        assert producer.sent == []
        batch = await desk.sender.send_whole(producer, A, large(1, 2))
        assert batch is not None
        assert batch.records == large(1, 2)

    run(scenario)


def test_a_record_that_fits_no_batch_is_reported_and_stays() -> None:
    class Full:
        def append(self, **record: Any) -> None:
            return None

    async def scenario() -> None:
        producer: Any = Producer()
        producer.create_batch = Full
        queued = deque([b"1"])
        with pytest.raises(OperationError) as caught:
            await send_batch(producer, A, queued, fields)
        assert caught.value.code == "record_refused"
        assert list(queued) == [b"1"]

    run(scenario)
