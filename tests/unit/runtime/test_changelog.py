"""A checkpoint's transaction: every batch of the cut is acknowledged before anything is committed (law one-cut)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
from aiokafka.errors import KafkaError, MessageSizeTooLargeError
from aiokafka.producer.message_accumulator import BatchBuilder

from streamflow.errors import EngineFault
from streamflow.runtime.changelog import POSITION, Changelog


class Acked(NamedTuple):
    offset: int


class Producer:
    """Keeps the order of what is done in a transaction."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.acks: list[asyncio.Future[Acked]] = []

    def create_batch(self) -> BatchBuilder:
        return BatchBuilder(200, 0)

    async def send_batch(self, batch: Any, topic: str, *, partition: int) -> asyncio.Future[Acked]:
        self.calls.append(f"send {batch.record_count()}")
        self.acks.append(asyncio.get_running_loop().create_future())
        return self.acks[-1]

    async def begin_transaction(self) -> None:
        self.calls.append("begin")

    async def send_offsets_to_transaction(self, offsets: Any, group: str) -> None:
        self.calls.append("offsets")

    async def commit_transaction(self) -> None:
        self.calls.append("commit")


BATCHES: list[list[tuple[str, bytes | None]]] = [[("a", b"1"), ("b", None)], [("c", b"2")], [("d", b"3")]]
SENT = ["begin", "send 2", "send 1", "send 1"]


async def committing(last: int, end: Callable[[asyncio.Future[Acked]], None]) -> tuple[Producer, asyncio.Task[Any]]:
    """A commit of which all batches but one are acknowledged, then `end` is done to that."""
    changelog, producer = a_changelog()
    commit = asyncio.create_task(changelog.commit(BATCHES, 6))
    await turns()
    for number, ack in enumerate(producer.acks):
        if number != last:
            ack.set_result(Acked(10 + number))
    await turns()
    assert producer.calls == SENT
    end(producer.acks[last])
    await asyncio.wait({commit})
    return producer, commit


def a_changelog() -> tuple[Changelog, Producer]:
    changelog = Changelog(
        {},
        topic="state",
        topic_id="s",
        commands="commands",
        commands_id="c",
        partition=0,
        group="g",
        transactional_id="g-0",
        tombstone_retention_ms=1000,
    )
    producer: Any = Producer()
    changelog._producer = producer
    return changelog, producer


async def turns() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


@pytest.mark.parametrize("late", [0, 1, 2])
def test_nothing_is_committed_before_every_batch_is_acknowledged(late: int) -> None:
    producer, commit = asyncio.run(committing(late, lambda ack: ack.set_result(Acked(20))))
    assert producer.calls == [*SENT, "offsets", "commit"]
    assert commit.result()[POSITION] == (b"23" if late == 0 else b"22")  # behind the last record and the marker


@pytest.mark.parametrize("lost", [0, 1, 2])
def test_nothing_is_committed_when_any_batch_is_refused(lost: int) -> None:
    producer, commit = asyncio.run(committing(lost, lambda ack: ack.set_exception(MessageSizeTooLargeError())))
    assert isinstance(commit.exception(), KafkaError)
    assert producer.calls == SENT


def test_a_batch_that_does_not_fit_is_not_sent_in_part() -> None:
    async def scenario() -> None:
        changelog, producer = a_changelog()
        with pytest.raises(EngineFault) as caught:
            await changelog.commit([[("a", b"x" * 100), ("b", b"x" * 100)]], 6)
        assert caught.value.code == "batch_overflow"
        assert producer.calls == ["begin"]

    asyncio.run(scenario())
