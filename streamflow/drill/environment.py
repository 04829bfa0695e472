"""The topics and groups of a drill, under an unused prefix: created before it and removed after it."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from confluent_kafka import Consumer, ConsumerGroupState, KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AclOperation, AdminClient, NewTopic

from streamflow.drill.definitions import DONE, SOURCES
from streamflow.errors import OperationError, Rejected
from streamflow.kafka.admin import Admin, apply
from streamflow.kafka.connection import confluent_config
from streamflow.kafka.topics import Topic, topics
from streamflow.settings import Settings

SOURCE_PARTITIONS = 2
NEEDED = (
    AclOperation.READ,
    AclOperation.WRITE,
    AclOperation.DELETE,
    AclOperation.DESCRIBE,
    AclOperation.DESCRIBE_CONFIGS,
)

_ANSWER_S = 20.0
_LEFT_S = 15.0  # beyond the session timeout: how long members of groups may take to be gone
_DENIED = frozenset(
    {
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
        KafkaError.GROUP_AUTHORIZATION_FAILED,
    }
)


@dataclass(frozen=True)
class Removed:
    """What was removed, by number; `left` says what was not, and why."""

    topics: int
    groups: int
    left: tuple[str, ...] = ()


class Environment:
    """The topics and groups under the prefix of `settings`."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.prefix = settings.topics.prefix
        self.made = False
        self._client = AdminClient(confluent_config(settings, "drill", on_error=self._heard))
        self._error: KafkaError | None = None

    def prepare(self) -> None:
        """Makes the topics. Raises Rejected (`prefix_in_use`, `prefix_missing`) and OperationError (`rights_missing`,
        `broker_unreachable`, ...) before anything is made, as far as the broker can be asked before."""
        if not self.prefix:
            raise Rejected(
                "prefix_missing",
                "expected a prefix of the drill's own but it is empty. Leave --prefix away, or give one.",
            )
        if used := self._topics() or self._groups():
            text = f"expected an unused prefix but there is {used[0]}"
            raise Rejected("prefix_in_use", f"{text}. Leave --prefix away, or give another.", found=used[:10])
        sources = [
            Topic("", f"{self.prefix}{name}", SOURCE_PARTITIONS, self.settings.topics.replication_factor, ())
            for name in (*SOURCES, DONE)
        ]
        self._try(sources)
        self.made = True
        Admin(self.settings).create(sources)
        self._require_rights([topic.name for topic in sources])
        self._require_group(sources[0].name)
        apply(self.settings)

    def remove(self, session_s: float) -> Removed:
        """Removes all topics under the prefix, and the groups once their members have left. May be repeated."""
        try:
            gone, left = self._remove_topics()
            groups, failed = self._remove_groups(session_s + _LEFT_S)
        except (KafkaException, OperationError) as error:
            return Removed(0, 0, (f"everything under {self.prefix}: {error}",))
        return Removed(gone, groups, (*left, *failed))

    def _remove_topics(self) -> tuple[int, list[str]]:
        """Also those that were made a moment ago, and which a broker may not tell of yet; returns when none is told of
        any more."""
        names = {
            *self._topics(),
            *(f"{self.prefix}{name}" for name in (*SOURCES, DONE)),
            *(topic.name for topic in topics(self.settings)),
        }
        removed, deadline = 0, time.monotonic() + _LEFT_S
        while True:
            left: list[str] = []
            for name, future in self._client.delete_topics(sorted(names), request_timeout=_ANSWER_S).items():
                error = _refusal(future)
                removed += error is None
                if error is not None and error.code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
                    left.append(f"topic {name}: {error.str()}")
            names = set(self._topics())
            if not names or left or time.monotonic() > deadline:
                return removed, left
            time.sleep(0.2)

    def _remove_groups(self, within_s: float) -> tuple[int, list[str]]:
        """Groups whose members were killed have them until their sessions end."""
        deadline, removed = time.monotonic() + within_s, 0
        while True:
            failed: list[str] = []
            names = self._groups()
            for name, future in (
                self._client.delete_consumer_groups(names, request_timeout=_ANSWER_S).items() if names else ()
            ):
                error = _refusal(future)
                if error is None or error.code() == KafkaError.GROUP_ID_NOT_FOUND:
                    removed += 1
                else:
                    failed.append(f"group {name}: {error.str()}")
            if not failed or time.monotonic() > deadline:
                return removed, failed
            time.sleep(0.5)

    def _topics(self) -> list[str]:
        try:
            known: Mapping[str, Any] = self._client.list_topics(timeout=_ANSWER_S).topics
        except KafkaException as error:
            said = self._error or error.args[0]
            text = (
                f"expected the broker to answer but {said.name()}: {said.str()}. Check the broker and the kafka "
                "settings."
            )
            raise OperationError("broker_unreachable", text) from error
        return sorted(name for name in known if name.startswith(self.prefix))

    def _groups(self) -> list[str]:
        found = self._client.list_consumer_groups(request_timeout=_ANSWER_S).result(_ANSWER_S).valid
        return sorted(
            one.group_id
            for one in found
            if one.group_id.startswith(self.prefix) and one.state is not ConsumerGroupState.DEAD
        )

    def _try(self, sources: Iterable[Topic]) -> None:
        """Asks the broker whether it would create the topics."""
        new = [
            NewTopic(one.name, one.partitions, one.replication_factor, config=one.config)
            for one in (*sources, *topics(self.settings))
        ]
        for name, future in self._client.create_topics(new, validate_only=True, request_timeout=_ANSWER_S).items():
            try:
                future.result(_ANSWER_S)
            except KafkaException as error:
                cause: KafkaError = error.args[0]
                if cause.code() in _DENIED:
                    raise _rights(f"may not create {name}") from error
                text = f"expected topics such as {name} to be possible but {cause.name()}: {cause.str()}"
                raise OperationError(
                    "topics_refused",
                    f"{text}. Set STREAMFLOW_TOPICS__REPLICATION_FACTOR and its neighbours as your cluster wants them.",
                ) from error

    def _require_rights(self, names: list[str]) -> None:
        everywhere = (
            self._client.describe_cluster(include_authorized_operations=True, request_timeout=_ANSWER_S)
            .result(_ANSWER_S)
            .authorized_operations
        )
        # on the cluster it is on each topic
        needed = [one for one in NEEDED if one is not AclOperation.DELETE or one not in (everywhere or ())]
        described = self._client.describe_topics(
            TopicCollection(names), include_authorized_operations=True, request_timeout=_ANSWER_S
        )
        for name, future in described.items():
            allowed = future.result(_ANSWER_S).authorized_operations
            missing = [one.name for one in needed if allowed is not None and one not in allowed]
            if missing:
                removed = self.remove(0)
                self.made = bool(removed.left)
                raise _rights(
                    f"lacks {', '.join(missing)} on {name}"
                    + (f" (left: {'; '.join(removed.left)})" if removed.left else "")
                )

    def _require_group(self, topic: str) -> None:
        """Joins a group, as workers will."""
        config = confluent_config(self.settings, "drill", on_error=self._heard)
        consumer = Consumer(
            config | {"group.id": f"{self.prefix}drill", "enable.auto.commit": False, "session.timeout.ms": 6000}
        )
        joined: list[object] = []
        try:
            consumer.subscribe([topic], on_assign=lambda _, partitions: joined.append(partitions))
            deadline = time.monotonic() + _ANSWER_S
            while not joined and time.monotonic() < deadline:
                message = consumer.poll(0.1)
                error = message.error() if message is not None else None
                if error is not None and error.code() in _DENIED:
                    raise _rights(f"may not read as the group {self.prefix}drill")
        finally:
            consumer.close()

    def _heard(self, error: KafkaError) -> None:
        self._error = error


def _rights(what: str) -> OperationError:
    """The refusal that says which rights a drill needs."""
    names = ", ".join(one.name for one in NEEDED)
    text = f"expected the rights that a drill needs but its user {what}"
    remedy = (
        f"do grant CREATE, {names} on topics, READ, DESCRIBE and DELETE on groups, WRITE and DESCRIBE on "
        "transactional ids, all that begin with the prefix"
    )
    return OperationError("rights_missing", f"{text}; {remedy}", retryable=False)


def _refusal(future: Future[Any]) -> KafkaError | None:
    """Why the broker did not do what it was asked; None when it did."""
    try:
        future.result(_ANSWER_S)
    except KafkaException as error:
        refused: KafkaError = error.args[0]
        return refused
    return None
