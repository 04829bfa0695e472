"""What the sidecar tells of a run comes from the history store and the end of the topic: never less than what is
appended, and without reading the topic from its beginning."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer, TopicPartition

from streamflow.engine.transitions import Transition
from streamflow.history.database import closing
from streamflow.history.reader import HistoryReader
from streamflow.history.store import open_store
from streamflow.ids import partition_of_run
from streamflow.ops.history import find_history
from streamflow.settings import History
from streamflow.sidecar import kafka_log
from streamflow.sidecar.kafka_log import KafkaLog
from streamflow.wire.transitions import encode_transition
from tests.bench.histories import history_of as history_since
from tests.bench.histories import run_of
from tests.integration.test_history import history_worker, wait_projected
from tests.integration.workers import Bench, make_bench

pytestmark = [pytest.mark.broker, pytest.mark.timeout(120)]

BEGUN_MS = time.time_ns() // 1_000_000 - 60_000  # the worker removes runs that ended long ago
Story = Callable[[KafkaLog], Awaitable[None]]


@pytest.fixture
def bench(bootstrap: str, tmp_path: Path) -> Iterator[Bench]:
    with make_bench(bootstrap, tmp_path, history=History(path=tmp_path / "history.db")) as made:
        yield made


@pytest.fixture
def whole_topics(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The runs for which the topic was read from its beginning."""
    found: list[str] = []

    def counted(settings: Any, run: str) -> list[Transition]:
        found.append(run)
        return find_history(settings, run)

    monkeypatch.setattr(kafka_log, "find_history", counted)
    return found


def history_of(number: int) -> list[Transition]:
    return history_since(number, BEGUN_MS)


def append(bench: Bench, *transitions: Transition) -> None:
    """Appends transitions; returns when the broker has them."""
    producer = Producer({"bootstrap.servers": bench.settings.kafka.bootstrap_servers, "linger.ms": 0})
    failed: list[object] = []
    for one in transitions:
        key, value, headers = encode_transition(one, None)
        producer.produce(
            bench.topic("runs"),
            value,
            key,
            partition_of_run(one.run, bench.settings.topics.partitions),
            headers=list(headers),
            on_delivery=lambda error, _: failed.append(error) if error else None,
        )
    assert producer.flush(30) == 0
    assert failed == []


def play(bench: Bench, story: Story) -> None:
    async def whole() -> None:
        reader = HistoryReader(bench.settings)
        log = KafkaLog(bench.settings, reader)
        try:
            await story(log)
        finally:
            await log.close()
            await reader.close()

    asyncio.run(whole())


def test_what_is_projected_is_read_from_the_store(bench: Bench, whole_topics: list[str]) -> None:
    histories = [history_of(number) for number in range(40)]
    append(bench, *(one for history in histories for one in history[: 5 if history[0].run < run_of(20) else 12]))
    history_worker(bench)
    wait_projected(bench)

    async def story(log: KafkaLog) -> None:
        told = await asyncio.gather(*(log.history(run_of(number)) for number in range(40)))
        assert told == [history[:5] for history in histories[:20]] + histories[20:]

    play(bench, story)
    assert whole_topics == []


def test_what_is_appended_is_told_at_once_while_the_store_is_behind(bench: Bench, whole_topics: list[str]) -> None:
    known, new = history_of(1), history_of(2)
    append(bench, *known[:4])
    worker = history_worker(bench)
    wait_projected(bench)
    worker.pause()

    async def story(log: KafkaLog) -> None:
        for count in range(5, 13):
            await asyncio.to_thread(append, bench, known[count - 1])
            assert await log.history(known[0].run) == known[:count]
        await asyncio.to_thread(append, bench, *new, *new)  # as an engine that was replaced writes them again
        assert await log.history(new[0].run) == new
        worker.resume()
        await asyncio.to_thread(wait_projected, bench)
        assert await log.history(known[0].run) == known
        assert await log.history(new[0].run) == new

    play(bench, story)
    assert whole_topics == []


def test_a_run_that_has_left_the_topic_is_told_by_the_store(bench: Bench, whole_topics: list[str]) -> None:
    history = history_of(7)
    append(bench, *history)
    history_worker(bench)
    wait_projected(bench)
    topic = bench.topic("runs")
    before = [TopicPartition(topic, number, high) for number, (_, high) in bench.stranger.ends(topic).items()]
    for deleted in bench.admin.delete_records(before).values():
        deleted.result()

    async def story(log: KafkaLog) -> None:
        assert await log.history(history[0].run) == history

    play(bench, story)
    assert find_history(bench.settings, history[0].run) == []
    assert whole_topics == []


def test_without_a_store_the_topic_tells(bench: Bench, whole_topics: list[str]) -> None:
    history = history_of(3)
    append(bench, *history)

    async def story(log: KafkaLog) -> None:
        assert await log.history(history[0].run) == history
        assert await log.history(run_of(4)) == []

    play(bench, story)
    assert whole_topics == [history[0].run, run_of(4)]


def test_a_store_of_other_topics_is_not_believed(bench: Bench, whole_topics: list[str]) -> None:
    history = history_of(5)
    append(bench, *history[:6])
    worker = history_worker(bench)
    wait_projected(bench)
    worker.kill()
    with closing(open_store(bench.settings, write=True)) as database:
        database.run("UPDATE progress SET topic_id = 'another'")
    append(bench, *history[6:])

    async def story(log: KafkaLog) -> None:
        assert await log.history(history[0].run) == history

    play(bench, story)
    assert whole_topics == [history[0].run]


def test_a_run_whose_beginning_the_store_never_had_is_read_from_the_topic(
    bench: Bench, whole_topics: list[str]
) -> None:
    history = history_of(6)
    append(bench, *history[3:])  # the beginning has left the topic
    history_worker(bench)
    wait_projected(bench)

    async def story(log: KafkaLog) -> None:
        assert await log.history(history[0].run) == history[3:]

    play(bench, story)
    assert whole_topics == [history[0].run]
