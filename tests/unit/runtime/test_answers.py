"""Answers leave in order, are acknowledged once, and outlive the producer that could not deliver them."""

from __future__ import annotations

import asyncio
import time
from functools import partial
from typing import Any, NamedTuple

import pytest
from aiokafka.errors import KafkaConnectionError
from aiokafka.producer.message_accumulator import BatchBuilder

from streamflow.errors import OperationError
from streamflow.runtime.answers import Answers, BrokerClock
from streamflow.wire.dead_letter import DeadLetter


class Acked(NamedTuple):
    timestamp: int


class Producer:
    """Takes batches; whether the broker has them is told by the test."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, int, int, asyncio.Future[Acked]]] = []

    def create_batch(self) -> BatchBuilder:
        return BatchBuilder(100_000, 0)

    async def send_batch(self, batch: Any, topic: str, *, partition: int) -> asyncio.Future[Acked]:
        future: asyncio.Future[Acked] = asyncio.get_running_loop().create_future()
        self.sent.append((topic, partition, batch.record_count(), future))
        return future


async def turn() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def test_what_comes_at_once_leaves_in_one_batch_for_each_partition_and_is_done_when_acknowledged() -> None:
    async def scenario() -> None:
        answers, producer, done = Answers("commands", "dead", BrokerClock()), Producer(), list[int]()
        for number in range(5):
            answers.add(0, "key", b"x", partial(done.append, number))
        answers.add_dead(DeadLetter(None, b"x", ()), lambda: done.append(99))
        serving = asyncio.ensure_future(answers.serve(producer))
        await turn()
        assert [(topic, partition, records) for topic, partition, records, _ in producer.sent] == [
            ("commands", 0, 5),
            ("dead", 0, 1),
        ]
        assert done == []
        for *_, future in producer.sent:
            future.set_result(Acked(1))
        await turn()
        assert done == [0, 1, 2, 3, 4, 99]
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)

    asyncio.run(scenario())


def test_what_a_producer_did_not_deliver_is_sent_by_the_next_one_and_done_once() -> None:
    async def scenario() -> None:
        answers, first, second, done = (
            Answers("commands", "dead", BrokerClock()),
            Producer(),
            Producer(),
            list[str](),
        )
        answers.add(0, "key", b"a", lambda: done.append("a"))
        serving = asyncio.ensure_future(answers.serve(first))
        await turn()
        answers.add(0, "key", b"b", lambda: done.append("b"))
        await turn()
        (*_, lost), (*_, late) = first.sent
        lost.set_exception(KafkaConnectionError())
        with pytest.raises(OperationError) as caught:
            await serving
        assert caught.value.code == "answers_unsent"
        answers.add(0, "key", b"c", lambda: done.append("c"))
        again = asyncio.ensure_future(answers.serve(second))
        await turn()
        assert [records for *_, records, _ in second.sent] == [3]
        late.set_result(Acked(1))  # it got through after all; it is sent again nevertheless
        second.sent[0][3].set_result(Acked(1))
        await turn()
        assert done == ["a", "b", "c"]
        again.cancel()
        await asyncio.gather(again, return_exceptions=True)

    asyncio.run(scenario())


def test_the_brokers_time_is_known_from_its_records_and_acknowledgements() -> None:
    steady = [5.0]
    clock = BrokerClock(lambda: steady[0])
    assert clock.now_ms() == 0
    clock.passed(30_000)
    assert clock.now_ms() == 30_000
    clock.acknowledged(40_000)
    clock.acknowledged(40_500)
    clock.acknowledged(39_000)
    clock.passed(20_000)
    steady[0] = 6.0
    assert clock.now_ms() == 41_500


@pytest.mark.parametrize("jump_s", [-86_400.0, 3600.0, 365 * 86_400.0])
def test_the_workers_own_clock_does_not_count(jump_s: float, monkeypatch: pytest.MonkeyPatch) -> None:
    clock, real_s = BrokerClock(), time.time()
    clock.passed(40_000)
    monkeypatch.setattr(time, "time", lambda: real_s + jump_s)
    monkeypatch.setattr(time, "time_ns", lambda: int((real_s + jump_s) * 1e9))
    assert 40_000 <= clock.now_ms() < 50_000


def test_an_old_record_does_not_set_the_time_back_however_long_ago_the_last_acknowledgement_was() -> None:
    steady = [0.0]
    clock = BrokerClock(lambda: steady[0])
    clock.acknowledged(1_000_000)
    steady[0] = 3600.0
    clock.passed(5_000)
    assert clock.now_ms() == 4_600_000


def test_clocks_that_drift_apart_are_put_together_again() -> None:
    steady = [0.0]
    clock = BrokerClock(lambda: steady[0])
    for second in range(0, 86_400, 60):
        steady[0] = second * 1.001
        clock.acknowledged(second * 1000)
        assert abs(clock.now_ms() - second * 1000) < 400
