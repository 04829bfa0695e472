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


async def flushing(lost: int, end: Callable[[asyncio.Future[Any]], None]) -> tuple[Core, asyncio.Task[None]]:
    """Three batches of two intervals; `flush` waits while all but one are acknowledged, then `end` is done to that."""
    producer = SlowProducer()
    producer.free.set()
    core = Core(to(0, 0), to(1, 0), to(0, 1, "runs"))
    outputs = bound(core, producer)
    await outputs.send()
    flush = asyncio.create_task(outputs.flush())
    for number, future in enumerate(producer.futures):
        if number != lost:
            future.set_result(None)
    for _ in range(10):
        await asyncio.sleep(0)
    assert not flush.done()
    end(producer.futures[lost])
    await asyncio.wait({flush})
    return core, flush


@pytest.mark.parametrize("late", [0, 1, 2])
def test_a_flush_waits_for_whichever_batch_comes_last(late: int) -> None:
    core, flush = asyncio.run(flushing(late, lambda future: future.set_result(None)))
    assert flush.exception() is None
    assert sorted(core.acks) == [(0, 1), (0, 1), (1, 1)]


@pytest.mark.parametrize("lost", [0, 1, 2])
@pytest.mark.parametrize(
    "how", [lambda future: future.set_exception(KafkaConnectionError("gone")), lambda future: future.cancel()]
)
def test_a_flush_fails_when_any_batch_fails_although_all_others_have_arrived(
    lost: int, how: Callable[[asyncio.Future[Any]], None]
) -> None:
    core, flush = asyncio.run(flushing(lost, how))
    error = flush.exception()
    assert isinstance(error, OperationError)
    assert error.code == UNSENT
    assert ["p.commands, partition 0", "p.commands, partition 1", "p.runs, partition 0"][lost] in error.message
    assert len(core.acks) == 2


def test_what_is_sent_after_a_failure_is_refused_with_the_failure() -> None:
    async def scenario() -> None:
        producer = SlowProducer()
        core = Core(to(0))
        outputs = bound(core, producer)
        await outputs.send()
        producer.futures[0].set_exception(KafkaConnectionError("gone"))
        await asyncio.sleep(0)
        core.outputs.append(to(1))
        with pytest.raises(OperationError) as caught:
            await outputs.send()
        assert caught.value.code == UNSENT
        assert len(producer.taken) == 1

    asyncio.run(scenario())


def test_one_batch_of_two_intervals_is_counted_for_each() -> None:
    async def scenario() -> None:
        producer = SlowProducer()
        core = Core(to(0, 4), to(0, 4), to(0, 5))
        outputs = bound(core, producer)
        await outputs.send()
        assert producer.taken == [("p.commands", 0, 3)]
        producer.futures[0].set_result(None)
        await outputs.flush()
        assert core.acks == [(4, 2), (5, 1)]

    asyncio.run(scenario())


def test_after_closing_an_acknowledgement_changes_nothing() -> None:
    async def scenario() -> None:
        producer = SlowProducer()
        core = Core(to(0))
        outputs = bound(core, producer)
        await outputs.send()
        outputs.close()
        producer.futures[0].set_result(None)
        await asyncio.sleep(0)
        assert core.acks == []

    asyncio.run(scenario())


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
