"""Where the partitions of users' topics end: what a publication remembers, so that it is known for ever, without any
clock, which records came before it."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import NamedTuple

from confluent_kafka import KafkaError, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from streamflow.definition.catalog import TopicEnds
from streamflow.kafka.connection import confluent_config
from streamflow.settings import Settings

_ANSWER_S = 5.0
_LEADERS_S = 10.0  # how long partitions may be without a leader: those of a topic that was created a moment ago are
_PAUSE_S = 0.1
_LATEST: OffsetSpec = OffsetSpec.latest()  # type: ignore[no-untyped-call]
# what brokers answer for a partition that has no leader yet, or whose leader is changing
_NO_LEADER = frozenset(
    {
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.REPLICA_NOT_AVAILABLE,
        KafkaError.OFFSET_NOT_AVAILABLE,
        KafkaError.FENCED_LEADER_EPOCH,
        KafkaError.UNKNOWN_LEADER_EPOCH,
        KafkaError.UNKNOWN_TOPIC_OR_PART,  # its leader has not heard of the topic, which was described before
    }
)


class Ends(NamedTuple):
    """What was found out about topics: the ends of those that answered, and by name why the others did not."""

    found: dict[str, TopicEnds]
    unknown: dict[str, str]


class _Leaderless(Exception):
    """A partition of the topic has no leader now."""


def topic_ends(settings: Settings, topics: Iterable[str]) -> Ends:
    """The ids and high watermarks of `topics`, of one that does not exist no partition. Partitions without a leader are
    waited for, some seconds. A topic that the caller may not look at, or that nobody answers for, is unknown: ingress
    then finds out by itself, a little later."""
    found: dict[str, TopicEnds] = {}
    unknown: dict[str, str] = {}
    left = sorted(set(topics))
    deadline = time.monotonic() + _LEADERS_S
    while left:
        # a new client each time: one that is in use may continue to ask the leader that it knows
        client, leaderless = AdminClient(confluent_config(settings, "publisher")), dict[str, str]()
        for name, future in client.describe_topics(TopicCollection(left), request_timeout=_ANSWER_S).items():
            try:
                described = future.result(_ANSWER_S)
                places = [TopicPartition(name, one.id) for one in described.partitions]
                found[name] = TopicEnds(id=str(described.topic_id), offsets=_offsets(client, places))
            except _Leaderless as error:
                leaderless[name] = str(error)
            except KafkaException as error:
                if error.args[0].code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
                    found[name] = TopicEnds()
                else:
                    unknown[name] = error.args[0].name()
            except TimeoutError:
                unknown[name] = "no answer came in time"
        if leaderless and time.monotonic() >= deadline:
            unknown |= leaderless
            break
        left = sorted(leaderless)
        if left:
            time.sleep(_PAUSE_S)
    return Ends(found, unknown)


def _offsets(client: AdminClient, places: list[TopicPartition]) -> dict[str, int]:
    """The high watermarks by partition. Raises _Leaderless, KafkaException or TimeoutError."""
    answers = client.list_offsets(dict.fromkeys(places, _LATEST), request_timeout=_ANSWER_S)
    try:
        return {str(place.partition): answer.result(_ANSWER_S).offset for place, answer in answers.items()}
    except KafkaException as error:
        if error.args[0].code() in _NO_LEADER:
            raise _Leaderless(error.args[0].name()) from error
        raise
