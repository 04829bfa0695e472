"""Consumers that stop fetching, against a real broker. A paused partition stands for a stalled one: it delivers nothing
and says nothing."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from streamflow.kafka.embedded.broker import EmbeddedBroker
from streamflow.kafka.stalls import CHECK_S, AssignedConsumer
from tests.conftest import eventually

TOPIC = "stalls"


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(scope="module")
def bootstrap(broker: EmbeddedBroker) -> str:
    admin = AdminClient({"bootstrap.servers": broker.bootstrap_servers})
    admin.create_topics([NewTopic(TOPIC, 2, 1)])[TOPIC].result(60)
    return broker.bootstrap_servers


@pytest.fixture
def consumer(bootstrap: str, clock: Clock) -> Iterator[AssignedConsumer]:
    config = {
        "bootstrap.servers": bootstrap,
        "group.id": "stalls",
        "isolation.level": "read_committed",
        "enable.partition.eof": True,
        "enable.auto.commit": False,
    }
    made = AssignedConsumer(lambda: Consumer(config), clock)
    probe = Consumer(config)
    made.assign(TopicPartition(TOPIC, n, probe.get_watermark_offsets(TopicPartition(TOPIC, n))[1]) for n in range(2))
    probe.close()
    yield made
    made.close()


@pytest.fixture
def clock() -> Clock:
    return Clock()


def values(consumer: AssignedConsumer) -> list[bytes]:
    return [message.value() or b"" for message in consumer.consume(100, 0.1) if message.error() is None]


def test_a_consumer_whose_partition_stalls_is_made_again_and_misses_nothing(
    bootstrap: str, consumer: AssignedConsumer, clock: Clock
) -> None:
    producer = Producer({"bootstrap.servers": bootstrap})
    producer.produce(TOPIC, b"before", partition=0)
    producer.flush()
    assert eventually(lambda: values(consumer)) == [b"before"]
    stalled = consumer.client
    stalled.pause([TopicPartition(TOPIC, 0)])
    producer.produce(TOPIC, b"after", partition=0)
    producer.flush()
    for _ in range(2):
        clock.now += CHECK_S
        assert values(consumer) == []
    assert consumer.client is not stalled
    assert eventually(lambda: values(consumer)) == [b"after"]


def test_an_open_transaction_is_no_stall(bootstrap: str, consumer: AssignedConsumer, clock: Clock) -> None:
    writer = Producer({"bootstrap.servers": bootstrap, "transactional.id": "stalls"})
    writer.init_transactions(60)
    writer.begin_transaction()
    writer.produce(TOPIC, b"held back", partition=1)
    writer.flush()
    first = consumer.client
    for _ in range(4):
        clock.now += CHECK_S
        assert values(consumer) == []
    assert consumer.client is first
    writer.commit_transaction(60)
    assert eventually(lambda: values(consumer)) == [b"held back"]
    for _ in range(4):  # the marker behind the record is nothing to read
        clock.now += CHECK_S
        assert values(consumer) == []
    assert consumer.client is first
