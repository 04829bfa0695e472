"""Publishing the outbox: an event is done when its topic has acknowledged it, and only then; each partition of a topic
keeps its order, and no topic waits for another."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiokafka.errors import KafkaTimeoutError, MessageSizeTooLargeError, UnknownTopicOrPartitionError
from aiokafka.producer.message_accumulator import BatchBuilder

from streamflow.core.outbox import unsent_of
from streamflow.core.partition import PartitionCore
from streamflow.core.place import Place
from streamflow.engine.effects import PublishEvent
from streamflow.runtime import publisher as module
from streamflow.runtime.publisher import Publisher, UserTopics
from streamflow.simulation.store import MemoryStore
from tests.unit.core.test_partition import Definitions, letters


class Batch:
    """Keeps the ids of what is appended. `most` records fit."""

    def __init__(self, most: int) -> None:
        self.ids: list[str] = []
        self._most = most
        self._builder = BatchBuilder(1 << 20, 0)

    def append(self, *, key: bytes, value: bytes, timestamp: int | None, headers: list[tuple[str, bytes]]) -> Any:
        if len(self.ids) == self._most:
            return None
        self.ids.append(dict(headers)["ce_id"].decode())
        return self._builder.append(key=key, value=value, timestamp=timestamp, headers=headers)

    def close(self) -> None:
        self._builder.close()


class Producer:
    """`answer` says what happens to a batch: an error, or None."""

    def __init__(self) -> None:
        self.batches: list[tuple[str, int, list[str]]] = []
        self.taken: list[str] = []
        self.partitions: dict[str, int] = {"shipped": 1, "other": 1}
        self.answer: Callable[[str, list[str]], Exception | None] = lambda topic, ids: None
        self.open: dict[str, asyncio.Future[Any]] = {}  # topics that do not answer
        self.most = 1000

    def create_batch(self) -> Batch:
        return Batch(self.most)

    async def send_batch(self, batch: Batch, topic: str, *, partition: int) -> asyncio.Future[Any]:
        self.batches.append((topic, partition, batch.ids))
        if topic in self.open:
            return self.open[topic]
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        error = self.answer(topic, batch.ids)
        if error is None:
            self.taken += batch.ids
            future.set_result(None)
        else:
            future.set_exception(error)
        return future

    async def partitions_for(self, topic: str) -> set[int]:
        if topic not in self.partitions:
            raise UnknownTopicOrPartitionError
        return set(range(self.partitions[topic]))


class Desk:
    """A core with events in its outbox, and a publisher for it."""

    def __init__(self) -> None:
        self.producer = Producer()
        anything: Any = self.producer
        place = Place(number=0, partitions=1, topic_id="the-id")
        self.core = PartitionCore(
            place, MemoryStore(), Definitions(), now_ms=0, topic_of=lambda event: event.removeprefix("order.")
        )
        self.topics = UserTopics(anything)
        self.changes = 0
        self.publisher = Publisher(self.topics, self.core, changed=self.changed, bury=self.bury)

    def changed(self) -> None:
        self.changes += 1

    async def bury(self) -> None:
        pass

    def emit(self, *ids: str, topic: str = "shipped") -> None:
        for id_ in ids:
            event = PublishEvent(
                key="k1",
                id=id_,
                type=f"order.{topic}",
                at_ms=1,
                data={},
                definition="order",
                run="run",
                trace=None,
            )
            self.core.emitted.outbox.add(self.events, 0, unsent_of(event), 0.0)
            self.events += 1

    events = 0


def run(scenario: Callable[[Desk], Awaitable[None]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "AGAIN_S", 0.0)

    async def whole() -> None:
        desk = Desk()
        try:
            await scenario(desk)
        finally:
            await desk.publisher.close()
            await desk.topics.close()

    asyncio.run(asyncio.wait_for(whole(), 20))


async def until(condition: Callable[[], bool]) -> None:
    for _ in range(10_000):
        if condition():
            return
        await asyncio.sleep(0)
    pytest.fail("The condition did not come true.")


def test_an_event_leaves_the_outbox_when_its_topic_has_acknowledged_it(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(desk: Desk) -> None:
        desk.producer.open["shipped"] = asyncio.get_running_loop().create_future()
        desk.emit("a", "b")
        desk.publisher.publish()
        await until(lambda: bool(desk.producer.batches))
        await asyncio.sleep(0)
        assert len(desk.core.emitted.outbox) == 2
        desk.producer.open["shipped"].set_result(None)
        await until(lambda: not len(desk.core.emitted.outbox))
        assert desk.changes == 1

    run(scenario, monkeypatch)


def test_an_event_that_was_not_sent_is_not_done_and_is_sent_again(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(desk: Desk) -> None:
        failures = iter([KafkaTimeoutError(), KafkaTimeoutError()])
        depths: list[int] = []

        def answer(topic: str, ids: list[str]) -> Exception | None:
            depths.append(len(desk.core.emitted.outbox))
            return next(failures, None)

        desk.producer.answer = answer
        desk.emit("a", "b")
        desk.publisher.publish()
        await until(lambda: not len(desk.core.emitted.outbox))
        assert depths == [2, 2, 2]
        assert desk.producer.taken == ["a", "b"]

    run(scenario, monkeypatch)


def test_one_batch_of_a_partition_is_on_its_way_so_that_its_order_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(desk: Desk) -> None:
        desk.producer.most = 2
        failures = iter([KafkaTimeoutError()])
        desk.producer.answer = lambda topic, ids: next(failures, None)
        desk.emit("a", "b", "c")
        desk.publisher.publish()
        desk.emit("d")
        desk.publisher.publish()
        await until(lambda: not len(desk.core.emitted.outbox))
        assert [ids for _, _, ids in desk.producer.batches] == [["a", "b"], ["a", "b"], ["c", "d"]]

    run(scenario, monkeypatch)


def test_a_topic_that_takes_nothing_holds_up_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(desk: Desk) -> None:
        desk.producer.open["shipped"] = asyncio.get_running_loop().create_future()
        desk.emit("a")
        desk.emit("b", topic="other")
        desk.publisher.publish()
        await until(lambda: desk.core.emitted.outbox.depths() == {"shipped": 1})
        assert desk.producer.taken == ["b"]

    run(scenario, monkeypatch)


def test_of_a_refused_batch_only_the_events_that_are_refused_become_dead_letters(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scenario(desk: Desk) -> None:
        desk.producer.answer = lambda topic, ids: MessageSizeTooLargeError() if "large" in ids else None
        desk.emit("a", "large", "b")
        desk.publisher.publish()
        await until(lambda: not len(desk.core.emitted.outbox))
        assert desk.producer.taken == ["a", "b"]
        assert letters(desk.core) == ["undeliverable"]
        assert dict(desk.core.outputs[0][1].headers)["ce_id"] == b"large"

    run(scenario, monkeypatch)


def test_events_for_a_topic_that_does_not_exist_become_dead_letters(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(desk: Desk) -> None:
        desk.emit("a", "b", topic="nowhere")
        desk.publisher.publish()
        await until(lambda: not len(desk.core.emitted.outbox))
        assert letters(desk.core) == ["undeliverable"] * 2
        assert desk.producer.batches == []

    run(scenario, monkeypatch)


def test_after_a_while_nothing_of_what_was_sent_is_left_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(desk: Desk) -> None:
        for number in range(50):
            desk.emit(f"e{number}")
            desk.publisher.publish()
            await until(lambda: not len(desk.core.emitted.outbox))
        await until(lambda: not desk.publisher._tasks)
        assert desk.topics._looks == {}

    run(scenario, monkeypatch)
