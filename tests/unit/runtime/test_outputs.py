"""Sending outputs: what an interruption leaves, as a rebalance makes one, and what `flush` waits for."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any

import pytest
from aiokafka.errors import KafkaConnectionError
from aiokafka.producer.message_accumulator import BatchBuilder

from streamflow.core.outputs import Output
from streamflow.errors import OperationError
from streamflow.runtime.outputs import UNSENT, Outputs

NAMES = {"commands": "p.commands", "runs": "p.runs"}


class Core:
    """What a core has queued, and what was acknowledged by interval."""

    def __init__(self, *outputs: tuple[int, Output]) -> None:
        self.outputs = deque(outputs)
        self.acks: list[tuple[int, int]] = []

    def acknowledged(self, interval: int, count: int) -> None:
        self.acks.append((interval, count))


class SlowProducer:
    """Takes one batch, then none until `free` is set, as aiokafka's does while a partition has a batch on its way."""

    def __init__(self) -> None:
        self.taken: list[tuple[str, int, int]] = []  # topic, partition and records of each batch
        self.futures: list[asyncio.Future[Any]] = []
        self.busy = asyncio.Event()
        self.free = asyncio.Event()

    def create_batch(self) -> BatchBuilder:
        return BatchBuilder(400, 0)

    async def send_batch(self, batch: Any, topic: str, *, partition: int) -> asyncio.Future[Any]:
        if self.taken:
            self.busy.set()
            await self.free.wait()
        self.taken.append((topic, partition, batch.record_count()))
        self.futures.append(asyncio.get_running_loop().create_future())
        return self.futures[-1]


def bound(core: Core, producer: SlowProducer) -> Outputs:
    outputs = Outputs(producer, NAMES)
    outputs.bind(core)  # type: ignore[arg-type]
    return outputs


def to(partition: int, interval: int = 0, topic: str = "commands") -> tuple[int, Output]:
    return interval, Output(topic, partition, b"k", b"v" * 50)


def test_a_cancelled_send_keeps_what_the_producer_did_not_take() -> None:
    async def scenario() -> None:
        producer = SlowProducer()
        outputs = bound(Core(*(to(number % 4) for number in range(40))), producer)
        sending = asyncio.create_task(outputs.send())
        await producer.busy.wait()
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
        producer.free.set()
        await outputs.send()
        sent = {
            partition: sum(count for _, target, count in producer.taken if target == partition)
            for partition in range(4)
        }
        assert sent == dict.fromkeys(range(4), 10)
        assert {topic for topic, _, _ in producer.taken} == {"p.commands"}

    asyncio.run(scenario())


def test_what_is_queued_while_sending_is_sent_too() -> None:
    async def scenario() -> None:
        producer = SlowProducer()
        core = Core(to(0), to(1))
        outputs = bound(core, producer)
        sending = asyncio.create_task(outputs.send())
        await producer.busy.wait()
        core.outputs.append(to(2))
        producer.free.set()
        await sending
        assert [partition for _, partition, _ in producer.taken] == [0, 1, 2]

    asyncio.run(scenario())


async def flushing(end: Callable[[list[asyncio.Future[Any]]], None]) -> tuple[Core, asyncio.Task[None]]:
    """Two batches sent in two intervals; `flush` waits while only the second is acknowledged, then `end` is done."""
    producer = SlowProducer()
    producer.free.set()
    core = Core(to(0, 0), to(1, 1))
    outputs = bound(core, producer)
    await outputs.send()
    flush = asyncio.create_task(outputs.flush())
    producer.futures[1].set_result(None)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not flush.done()
    assert outputs.unacked == 2
    end(producer.futures)
    await asyncio.wait({flush})
    return core, flush


def test_a_flush_waits_for_the_first_batch_although_the_last_has_arrived() -> None:
    core, flush = asyncio.run(flushing(lambda futures: futures[0].set_result(None)))
    assert flush.exception() is None
    assert core.acks == [(0, 1), (1, 1)]


def test_a_flush_fails_when_the_first_batch_fails_although_the_last_has_arrived() -> None:
    core, flush = asyncio.run(flushing(lambda futures: futures[0].set_exception(KafkaConnectionError("gone"))))
    error = flush.exception()
    assert isinstance(error, OperationError)
    assert error.code == UNSENT
    assert core.acks == []


def test_a_record_that_fits_no_batch_is_reported() -> None:
    class Refusing(SlowProducer):
        def create_batch(self) -> Any:
            return Full()

    async def scenario() -> None:
        with pytest.raises(OperationError) as caught:
            await bound(Core(to(0)), Refusing()).send()
        assert caught.value.code == "record_refused"

    asyncio.run(scenario())


class Full:
    def append(self, **record: Any) -> None:
        return None

    def record_count(self) -> int:
        return 0
