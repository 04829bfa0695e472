"""In which state the users' topics are: whether they exist, may be read, and have a leader for each partition."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from enum import StrEnum
from typing import Any, NamedTuple

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AclOperation, AdminClient

FORBIDDEN = frozenset({KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.CLUSTER_AUTHORIZATION_FAILED})
_ABSENT = frozenset({KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError.TOPIC_EXCEPTION})


class TopicState(StrEnum):
    """What keeps a topic, or some of its partitions, from being read."""

    MISSING = "missing"  # it does not exist
    UNREADABLE = "unreadable"  # we have no right to read it
    LEADERLESS = "leaderless"  # a partition of it has no leader


class SourceTopic(NamedTuple):
    """A topic that may be read, as the broker has it now."""

    id: str
    partitions: int


class Described(NamedTuple):
    """Topics as they are now."""

    topics: dict[str, SourceTopic]  # those that may be read
    states: dict[str, TopicState]  # what is wrong, by topic
    leaderless: frozenset[tuple[str, int]]  # topics and partitions


def ask(client: AdminClient, names: Iterable[str], timeout_s: float) -> Mapping[str, Future[Any]]:
    """Has the broker describe the topics `names`, which must not be none."""
    return client.describe_topics(
        TopicCollection(sorted(names)), include_authorized_operations=True, request_timeout=timeout_s
    )


def described(answers: Mapping[str, Callable[[], Any]]) -> Described:
    """What the `answers` say, which return what `ask` was answered for a topic, or raise KafkaException.

    Raises KafkaException for an answer that says nothing about the topic."""
    topics: dict[str, SourceTopic] = {}
    states: dict[str, TopicState] = {}
    leaderless: set[tuple[str, int]] = set()
    for name, answer in answers.items():
        try:
            found = answer()
        except KafkaException as error:
            code = error.args[0].code()
            if code not in _ABSENT and code not in FORBIDDEN:
                raise
            states[name] = TopicState.MISSING if code in _ABSENT else TopicState.UNREADABLE
            continue
        rights = found.authorized_operations
        if rights is not None and not {AclOperation.READ, AclOperation.ALL} & set(rights):
            states[name] = TopicState.UNREADABLE
        elif found.partitions:
            topics[name] = SourceTopic(str(found.topic_id), len(found.partitions))
            alone = {(name, one.id) for one in found.partitions if one.leader is None}
            if alone:
                states[name] = TopicState.LEADERLESS
                leaderless |= alone
    return Described(topics, states, frozenset(leaderless))
