"""`kafka.emit` against a real Kafka, read back by another client."""

from __future__ import annotations

import asyncio
import re
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from streamflow.ids import partition_of
from streamflow.kafka.embedded.broker import EmbeddedBroker
from streamflow.settings import Kafka, Settings
from tests.conftest import eventually, needs_broker
from tests.contract.stores import Worker, worker

pytestmark = pytest.mark.broker


@pytest.fixture
def kafka(settings: Settings) -> Iterator[Worker]:
    with worker(settings) as made:
        yield made


@pytest.fixture
def topic(bootstrap: str) -> str:
    return make_topic(bootstrap)


def make_topic(bootstrap: str, **config: str) -> str:
    """A new topic with three partitions, whose leaders are known."""
    name = f"payments-{uuid.uuid4().hex[:8]}"
    admin = AdminClient({"bootstrap.servers": bootstrap})
    for future in admin.create_topics([NewTopic(name, 3, 1, config=config)]).values():
        future.result()
    eventually(lambda: len(admin.list_topics(name).topics[name].partitions) == 3)
    return name


def read(bootstrap: str, topic: str, partition: int, offset: int) -> ConsumerRecord:
    """The record that is there, by a client that knows nothing of Streamflow."""

    async def consumed() -> ConsumerRecord:
        consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap)
        await consumer.start()
        try:
            consumer.assign([TopicPartition(topic, partition)])
            consumer.seek(TopicPartition(topic, partition), offset)
            return await asyncio.wait_for(consumer.getone(), 30)
        finally:
            await consumer.stop()

    return asyncio.run(consumed())


def test_a_record_is_a_cloud_event_that_anybody_reads(kafka: Worker, bootstrap: str, topic: str) -> None:
    output = kafka.do(
        "kafka.emit",
        topic=topic,
        key="größe",
        json={"b": 2, "a": "ü"},
        type="com.example.paid",
        headers={"x-kind": "test"},
    )

    assert output == {"topic": topic, "partition": partition_of("größe", 3), "offset": 0}
    record = read(bootstrap, **output)
    assert (record.key, record.value) == ("größe".encode(), '{"a":"ü","b":2}'.encode())
    headers = dict(record.headers)
    assert headers.pop("ce_time").endswith(b"Z")
    assert headers == {
        "ce_specversion": b"1.0",
        "ce_id": b"run/step",
        "ce_source": b"/streamflow//definitions/orders",
        "ce_type": b"com.example.paid",
        "ce_streamflowrun": b"run",
        "content-type": b"application/json",
        "traceparent": b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "x-kind": b"test",
    }


def test_without_more_it_has_the_runs_key_and_a_type_of_its_step(kafka: Worker, bootstrap: str, topic: str) -> None:
    output = kafka.do("kafka.emit", topic=topic, text="plain")
    record = read(bootstrap, **output)
    headers = dict(record.headers)
    assert (record.key, record.value) == (b"K", b"plain")
    assert (headers["ce_type"], headers["content-type"]) == (b"streamflow.orders.step", b"text/plain; charset=utf-8")


def test_a_record_that_is_sent_twice_has_the_same_id(kafka: Worker, bootstrap: str, topic: str) -> None:
    outputs = [kafka.do("kafka.emit", idempotency="run/again", topic=topic, json=1) for _ in range(2)]
    assert [output["offset"] for output in outputs] == [0, 1]
    assert {dict(read(bootstrap, **output).headers)["ce_id"] for output in outputs} == {b"run/again"}


def test_many_at_once_are_all_there(kafka: Worker, topic: str) -> None:
    outputs = kafka.together(*(kafka.attempt("kafka.emit", topic=topic, key=str(n), json=n) for n in range(200)))
    assert len({(output["partition"], output["offset"]) for output in outputs}) == 200


def refused(kafka: Worker, **input: Any) -> tuple[str, bool]:
    error = kafka.fail("kafka.emit", **input)
    assert re.search(r"[^.]\. [A-Z]", error.message), "the remedy is a sentence of its own"
    return error.code, error.retryable


def test_a_missing_topic_says_so(kafka: Worker) -> None:
    assert refused(kafka, topic="nowhere-at-all", json=1) == ("topic_missing", False)
    assert kafka.health("kafka.emit").ok


@pytest.mark.parametrize(
    "role", ["commands", "runs", "definitions", "state", "dead-letters", "audit", "tasks.default", "tasks.other"]
)
def test_streamflows_own_topics_are_not_for_definitions(kafka: Worker, settings: Settings, role: str) -> None:
    assert refused(kafka, topic=settings.topics.prefix + role, json=1) == ("topic_refused", False)


def test_a_record_that_is_too_large_is_refused(kafka: Worker, bootstrap: str) -> None:
    small = make_topic(bootstrap, **{"max.message.bytes": "2000"})
    assert refused(kafka, topic=small, text="x" * 3000) == ("message_too_large", False)
    assert refused(kafka, topic=small, text="x" * 3_000_000) == ("message_too_large", False)
    assert kafka.do("kafka.emit", topic=small, text="x")["offset"] == 0


@pytest.mark.parametrize("input", [{"json": 1, "text": "x"}, {}])
def test_a_record_is_json_or_text(kafka: Worker, topic: str, input: dict[str, Any]) -> None:
    assert refused(kafka, topic=topic, **input) == ("content_invalid", False)


def test_a_broker_that_is_away_is_tried_again(settings: Settings, tmp_path: Path) -> None:
    needs_broker()
    with EmbeddedBroker(tmp_path / "own") as broker:
        topic = make_topic(broker.bootstrap_servers)
        own = settings.model_copy(update={"kafka": Kafka(bootstrap_servers=broker.bootstrap_servers)})
        with worker(own) as kafka:
            kafka.do("kafka.emit", topic=topic, key="a", json=1)
            broker.pause()
            error = kafka.fail("kafka.emit", topic=topic, key="a", json=2, timeout_s=3.0)
            assert (error.code, error.retryable) == ("kafka_unavailable", True)
            assert not kafka.health("kafka.emit").ok
            broker.resume()
            assert kafka.do("kafka.emit", topic=topic, key="a", json=2)["offset"] >= 1
            assert kafka.health("kafka.emit").ok
