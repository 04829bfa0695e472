"""Source topics: the state of each, and where reading of its partitions begins."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Mapping
from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.structs import TopicPartition
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AclOperation
from structlog.testing import capture_logs

from streamflow.core.source_topics import FirstPosition
from streamflow.definition.catalog import TopicEnds
from streamflow.errors import OperationError
from streamflow.kafka.topic_states import SourceTopic, TopicState
from streamflow.runtime.source_opener import SourceOpener
from streamflow.runtime.sources import SourceTopics

PLACES = [TopicPartition("orders", 0), TopicPartition("orders", 1)]
TOPICS = {"orders": SourceTopic("A", 2)}


# -- states


class Broker:
    """Answers of an admin client: a description, or the code of an error, by topic."""

    def __init__(self, **answers: Any) -> None:
        self.answers = answers
        self.looked = 0

    def describe_topics(self, topics: Any, **options: Any) -> dict[str, Future[Any]]:
        assert options["include_authorized_operations"]
        found: dict[str, Future[Any]] = {}
        for name, answer in self.answers.items():
            found[name] = Future()
            if isinstance(answer, int):
                found[name].set_exception(KafkaException(KafkaError(answer)))
            else:
                found[name].set_result(answer)
        return found

    def describe_configs(self, resources: Any, **options: Any) -> dict[Any, Future[Any]]:
        found: dict[Any, Future[Any]] = {}
        for resource in resources:
            answer, future = self.answers[resource.name], Future[Any]()
            if isinstance(answer, int):
                future.set_exception(KafkaException(KafkaError(answer)))
            else:
                future.set_result({"message.timestamp.type": SimpleNamespace(value=answer)})
            found[resource] = future
        return found

    def list_topics(self, timeout: float) -> None:
        self.looked += 1


def topic(*leaders: int | None, rights: list[AclOperation] | None = None) -> Any:
    partitions = [SimpleNamespace(id=number, leader=leader) for number, leader in enumerate(leaders)]
    return SimpleNamespace(topic_id="A", partitions=partitions, authorized_operations=rights)


def test_each_topic_has_its_own_state_and_the_others_are_read() -> None:
    broker: Any = Broker(
        well=topic(1, 1, rights=[AclOperation.READ, AclOperation.DESCRIBE]),
        open=topic(1),
        missing=KafkaError.UNKNOWN_TOPIC_OR_PART,
        hidden=KafkaError.TOPIC_AUTHORIZATION_FAILED,
        forbidden=topic(1, rights=[AclOperation.DESCRIBE, AclOperation.WRITE]),
        headless=topic(1, None),
    )
    found = asyncio.run(SourceTopics(broker).describe(["well"]))
    assert found.topics == {
        "well": SourceTopic("A", 2),
        "open": SourceTopic("A", 1),
        "headless": SourceTopic("A", 2),
    }
    assert found.states == {
        "missing": TopicState.MISSING,
        "hidden": TopicState.UNREADABLE,
        "forbidden": TopicState.UNREADABLE,
        "headless": TopicState.LEADERLESS,
    }
    assert found.leaderless == {("headless", 1)}


def test_a_client_that_was_not_answered_finds_out_which_brokers_there_are() -> None:
    client: Any = Broker(orders=KafkaError._TIMED_OUT)
    with pytest.raises(OperationError) as caught:
        asyncio.run(SourceTopics(client).describe(["orders"]))
    assert caught.value.code == "source_unreachable"
    assert client.looked == 1


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("LogAppendTime", {"orders": True}),
        ("CreateTime", {"orders": False}),
        (KafkaError.TOPIC_AUTHORIZATION_FAILED, {"orders": False}),
        (KafkaError.CLUSTER_AUTHORIZATION_FAILED, {"orders": False}),
        (KafkaError._TIMED_OUT, {}),
        (KafkaError._TRANSPORT, {}),
        (KafkaError.COORDINATOR_LOAD_IN_PROGRESS, {}),
    ],
)
def test_whose_times_a_topic_has_is_unknown_until_the_broker_says_it(answer: Any, said: dict[str, bool]) -> None:
    client: Any = Broker(orders=answer)
    with capture_logs() as logs:
        assert asyncio.run(SourceTopics(client).log_append(["orders"])) == said
    assert [entry["event"] for entry in logs] == ([] if said else ["source_settings_unknown"])
    assert client.looked == (0 if said else 1)
    assert asyncio.run(SourceTopics(client).log_append([])) == {}


# -- where reading begins


class Log:
    """One topic as its broker has it, and what the group has committed. `append` adds records; `appended_between` is
    what others append whenever a question about it was answered."""

    def __init__(self, *ends: int) -> None:
        self.offsets = dict(enumerate(ends))
        self.times: dict[int, list[tuple[int, int]]] = {}  # (time, offset) by partition, ascending
        self.committed_: dict[TopicPartition, tuple[int, str]] = {}
        self.sought: dict[TopicPartition, int] = {}
        self.log_append_time: bool | None = False  # None: the broker does not say
        self.leaderless: set[int] = set()
        self.appended_between: list[tuple[int, int]] = []  # (partition, time)

    def append(self, partition: int, at_ms: int) -> None:
        self.times.setdefault(partition, []).append((at_ms, self.offsets[partition]))
        self.offsets[partition] += 1

    def _answered(self) -> None:
        for partition, at_ms in self.appended_between:
            self.append(partition, at_ms)
        self.appended_between = []

    # as LogEnds
    async def ends(self, places: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        found = {tp: self.offsets[tp.partition] for tp in places if tp.partition not in self.leaderless}
        if found:
            self._answered()
        return found

    async def beginnings(self, places: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        return {tp: 0 for tp in places if tp.partition not in self.leaderless}

    async def since(self, times: Mapping[TopicPartition, int]) -> dict[TopicPartition, int]:
        found = {
            tp: next((offset for at, offset in self.times.get(tp.partition, ()) if at >= since_ms), -1)
            for tp, since_ms in times.items()
            if tp.partition not in self.leaderless
        }
        if found:
            self._answered()
        return found

    # as SourceTopics
    async def log_append(self, names: Iterable[str]) -> dict[str, bool]:
        return {} if self.log_append_time is None else dict.fromkeys(names, self.log_append_time)

    # as Membership
    async def committed(self, places: Iterable[TopicPartition]) -> dict[TopicPartition, tuple[int, str]]:
        return {tp: self.committed_[tp] for tp in places if tp in self.committed_}

    async def commit(self, positions: Mapping[TopicPartition, tuple[int, str]]) -> None:
        self.committed_ |= positions

    # as a consumer
    def seek(self, place: TopicPartition, offset: int) -> None:
        self.sought[place] = offset

    def open(
        self, first: FirstPosition, *, topics: dict[str, SourceTopic] | None = None, missed: bool = False, id_: str = ""
    ) -> list[int | None]:
        """Where each partition is read from, None if it is not opened."""
        found: Any = self
        known = {"orders": id_} if id_ else {}
        opener = SourceOpener(found, found, found, found, known, {"orders"} if missed else set())
        topics = topics or TOPICS
        places = [TopicPartition("orders", number) for number in range(topics["orders"].partitions)]
        opened = asyncio.run(opener.open(places, topics, {"orders": first}))
        assert {tp: source.next for tp, source in opened.items()} == {tp: self.sought[tp] for tp in opened}
        return [opened[tp].next if tp in opened else None for tp in places]


NOW = FirstPosition(earliest=False, published_ms=1000)


def test_a_publication_that_knows_the_ends_decides_by_them_alone() -> None:
    log = Log(10, 10)
    log.append(0, 5)  # its producer's clock is far behind
    ends = TopicEnds(id="A", offsets={"0": 8, "1": 10})
    assert log.open(NOW._replace(ends=ends)) == [8, 10]
    assert log.committed_.keys() == set(PLACES)


def test_a_topic_or_partition_that_came_after_the_publication_is_read_from_its_beginning() -> None:
    assert Log(3, 3).open(NOW._replace(ends=TopicEnds())) == [0, 0]
    assert Log(3, 3).open(NOW._replace(ends=TopicEnds(id="A", offsets={"0": 2}))) == [2, 0]
    assert Log(3, 3).open(NOW._replace(ends=TopicEnds(id="another", offsets={"0": 2, "1": 2}))) == [0, 0]
    assert Log(3, 3).open(NOW, missed=True) == [0, 0]


def test_without_ends_the_brokers_times_decide_where_the_topic_has_them() -> None:
    log = Log(10, 10)
    log.log_append_time = True
    for at in (900, 1000, 1100):
        log.append(0, at)
    assert log.open(NOW) == [11, 10]


def test_a_partition_is_not_opened_before_the_broker_says_whose_times_its_records_have() -> None:
    log = Log(10, 10)
    log.log_append_time = None
    for at in (900, 1000, 1100):
        log.append(0, at)
    assert log.open(NOW) == [None, None]
    assert not log.committed_
    assert log.open(NOW._replace(ends=TopicEnds(id="A", offsets={"0": 8, "1": 10}))) == [8, 10]
    log.committed_.clear()
    log.log_append_time = True
    assert log.open(NOW) == [11, 10]


def test_what_is_appended_between_the_two_questions_is_read() -> None:
    log = Log(10, 10)
    log.log_append_time = True
    log.appended_between = [(0, 1200), (1, 1200)]
    assert log.open(NOW) == [10, 10]


def test_without_ends_producers_times_decide_nothing() -> None:
    log = Log(10, 10)
    log.append(0, 5000)
    assert log.open(NOW) == [11, 10]


def test_a_position_that_was_found_once_is_kept() -> None:
    log = Log(10, 10)
    assert log.open(NOW) == [10, 10]
    log.append(0, 1)
    assert log.open(NOW) == [10, 10]


def test_partitions_that_are_added_later_are_read_from_their_beginning_also_by_another_worker() -> None:
    log = Log(10, 10)
    assert log.open(NOW) == [10, 10]
    log.offsets[2] = 4
    assert log.open(NOW, topics={"orders": SourceTopic("A", 3)}) == [10, 10, 0]
    assert json.loads(log.committed_[TopicPartition("orders", 2)][1])["partitions"] == 2


def test_the_partitions_of_a_new_topic_are_not_mistaken_for_added_ones_when_two_workers_open_it() -> None:
    log = Log(10, 10)
    log.leaderless = {1}
    assert log.open(NOW) == [10, None]
    log.leaderless = set()
    assert log.open(NOW) == [10, 10]


def test_a_topic_that_was_created_again_is_read_from_its_beginning() -> None:
    log = Log(10, 10)
    assert log.open(NOW) == [10, 10]
    assert log.open(NOW, topics={"orders": SourceTopic("B", 2)}) == [0, 0]
    assert Log(3, 3).open(NOW, id_="an older one") == [0, 0]


def test_an_offset_that_an_operator_set_is_kept() -> None:
    log = Log(10, 10)
    log.committed_[PLACES[0]] = (4, "")
    assert log.open(NOW) == [4, 10]


def test_earliest_is_the_beginning() -> None:
    assert Log(10, 10).open(FirstPosition(earliest=True, published_ms=0)) == [0, 0]
