"""The ends of topics, asked of a broker whose partitions have no leader for some time."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicCollection, TopicPartition

from streamflow.definition.catalog import TopicEnds
from streamflow.kafka import topic_ends as module
from streamflow.kafka.topic_ends import topic_ends
from streamflow.settings import Kafka, Settings

SETTINGS = Settings(kafka=Kafka(bootstrap_servers="nowhere:1"))
ENDS = TopicEnds(id="T", offsets={"0": 7, "1": 7})


class Broker:
    """Two partitions in each topic. Takes the place of `AdminClient`."""

    def __init__(self) -> None:
        self.refusals: dict[str, list[int]] = {}  # by topic: the codes that its first questions are answered with
        self.described: dict[str, int] = {}  # by topic: the code that a description is answered with
        self.asked: list[list[str]] = []

    def describe_topics(self, topics: TopicCollection, request_timeout: float) -> dict[str, Future[Any]]:
        names: list[str] = topics.topic_names
        self.asked.append(names)
        partitions = [SimpleNamespace(id=0), SimpleNamespace(id=1)]
        return {
            name: _answer(SimpleNamespace(topic_id="T", partitions=partitions), self.described.get(name))
            for name in names
        }

    def list_offsets(
        self, wanted: Iterable[TopicPartition], request_timeout: float
    ) -> dict[TopicPartition, Future[Any]]:
        places = list(wanted)
        left = self.refusals.get(places[0].topic, [])
        code = left.pop(0) if left else None
        return {place: _answer(SimpleNamespace(offset=7), code if place.partition == 1 else None) for place in places}


def _answer(value: Any, code: int | None) -> Future[Any]:
    future: Future[Any] = Future()
    if code is None:
        future.set_result(value)
    else:
        future.set_exception(KafkaException(KafkaError(code)))
    return future


@pytest.fixture
def broker(monkeypatch: pytest.MonkeyPatch) -> Broker:
    made = Broker()
    monkeypatch.setattr(module, "AdminClient", lambda _config: made)
    monkeypatch.setattr(module, "_PAUSE_S", 0)
    return made


def test_a_topic_without_leaders_is_asked_again_until_it_has_them(broker: Broker) -> None:
    broker.refusals = {
        "orders": [KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.UNKNOWN_TOPIC_OR_PART],
        "payments": [KafkaError.LEADER_NOT_AVAILABLE],
    }

    assert topic_ends(SETTINGS, ["payments", "orders", "goods"]) == (
        {"goods": ENDS, "orders": ENDS, "payments": ENDS},
        {},
    )
    assert broker.asked == [["goods", "orders", "payments"], ["orders", "payments"], ["orders"]]


def test_leaders_that_do_not_come_are_not_waited_for_without_end(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_LEADERS_S", 0)
    broker.refusals = {"orders": [KafkaError.NOT_LEADER_FOR_PARTITION] * 9}

    assert topic_ends(SETTINGS, ["orders", "payments"]) == ({"payments": ENDS}, {"orders": "NOT_LEADER_FOR_PARTITION"})


def test_a_topic_that_does_not_exist_has_no_partition_and_one_that_may_not_be_read_is_unknown(broker: Broker) -> None:
    broker.described = {"orders": KafkaError.UNKNOWN_TOPIC_OR_PART, "payments": KafkaError.TOPIC_AUTHORIZATION_FAILED}
    broker.refusals = {"goods": [KafkaError.TOPIC_AUTHORIZATION_FAILED]}

    assert topic_ends(SETTINGS, ["orders", "payments", "goods"]) == (
        {"orders": TopicEnds()},
        {"payments": "TOPIC_AUTHORIZATION_FAILED", "goods": "TOPIC_AUTHORIZATION_FAILED"},
    )
    assert len(broker.asked) == 1


def test_no_topic_is_no_question(broker: Broker) -> None:
    assert topic_ends(SETTINGS, []) == ({}, {})
    assert broker.asked == []
