"""Ends of partitions, each for itself."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

from aiokafka.errors import KafkaConnectionError, LeaderNotAvailableError, TopicAuthorizationFailedError
from aiokafka.structs import TopicPartition

from streamflow.runtime.log_ends import LogEnds

A, B, C = (TopicPartition("t", number) for number in range(3))


class Client:
    """Brokers by number, each with answers (an offset, or an error's code) for its partitions; one that is away
    raises."""

    def __init__(self, leaders: Mapping[TopicPartition, int], answers: Mapping[int, Any]) -> None:
        self.cluster = SimpleNamespace(leader_for_partition=leaders.get)
        self.answers = answers
        self.updates = 0
        self.levels: set[int] = set()

    async def add_topic(self, topic: str) -> None:
        """It is not known afterwards either."""

    def force_metadata_update(self) -> None:
        self.updates += 1

    async def send(self, node: int, request: Any) -> Any:
        self.levels.add(request._isolation_level)
        if self.answers[node] is None:
            raise KafkaConnectionError
        topics = []
        for topic, partitions in request._topics:
            rows = []
            for partition, _ in partitions:
                answer = self.answers[node][partition]
                rows.append((partition, answer, -1, -1) if isinstance(answer, str) else (partition, 0, -1, answer))
            topics.append((topic, [(p, int(code), at, offset) for p, code, at, offset in rows]))
        return SimpleNamespace(topics=topics)


def ends(client: Client) -> dict[TopicPartition, int]:
    consumer: Any = SimpleNamespace(_client=client)
    return asyncio.run(LogEnds(consumer).ends([A, B, C]))


def test_all_that_is_appended_counts_committed_or_not() -> None:
    client = Client({A: 1, B: 1, C: 2}, {1: {0: 5, 1: 6}, 2: {2: 7}})
    assert ends(client) == {A: 5, B: 6, C: 7}
    assert client.levels == {0}
    assert client.updates == 0


def test_a_partition_without_a_leader_hides_no_other() -> None:
    client = Client({A: 1, B: -1}, {1: {0: 5}})
    assert ends(client) == {A: 5}
    assert client.updates == 1


def test_a_partition_whose_leader_refuses_or_is_away_hides_no_other() -> None:
    refused, moved = str(TopicAuthorizationFailedError.errno), str(LeaderNotAvailableError.errno)
    assert ends(Client({A: 1, B: 1, C: 1}, {1: {0: refused, 1: 6, 2: moved}})) == {B: 6}
    assert ends(Client({A: 1, B: 2, C: 1}, {1: {0: 5, 2: 7}, 2: None})) == {A: 5, C: 7}
