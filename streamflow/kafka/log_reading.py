"""The definitions logs of this and of other installations, read to their ends, without a group."""

from __future__ import annotations

import time
from collections.abc import Iterable

from confluent_kafka import Consumer, KafkaError, TopicPartition

from streamflow.approvals.required import required_trust
from streamflow.errors import OperationError
from streamflow.kafka.connection import confluent_config
from streamflow.kafka.definitions import Snapshot, require_environment
from streamflow.kafka.groups import reader_group
from streamflow.kafka.refusals import missing_right
from streamflow.kafka.topics import DEFINITIONS, topic_name
from streamflow.settings import Settings

_TIMEOUT_S = 30.0
_PROPAGATION_MS = 3000  # until a topic that was just created is known everywhere
_UNKNOWN_TOPIC = frozenset({KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC})


def read_log(settings: Settings, timeout_s: float = _TIMEOUT_S) -> Snapshot:
    """All that is committed in the definitions log now. A broker that says nothing for `timeout_s` seconds is given up.

    Raises OperationError, also when `settings` name another environment than the one of these topics
    (`environment_differs`)."""
    topic = topic_name(settings, DEFINITIONS)
    found = read_logs(settings, [topic], timeout_s)[topic]
    if isinstance(found, OperationError):
        raise found
    if "environment" in settings.model_fields_set:
        if "environment" in found.engine:
            require_environment(settings, found.environment)
    else:
        settings = settings.model_copy(update={"environment": found.environment})
    found.trust = required_trust(settings)
    return found


def read_logs(
    settings: Settings, topics: Iterable[str], timeout_s: float = _TIMEOUT_S
) -> dict[str, Snapshot | OperationError]:
    """The same for the definitions logs of several installations, by topic; instead of one that cannot be read,
    why."""
    found: dict[str, Snapshot | OperationError] = {topic: Snapshot() for topic in topics}
    left = set(found)
    errors: list[KafkaError] = []
    config = confluent_config(settings, "publisher", on_error=errors.append) | {
        "group.id": reader_group(settings),
        "enable.auto.commit": False,
        "isolation.level": "read_committed",
        "enable.partition.eof": True,
        "auto.offset.reset": "earliest",
        "fetch.wait.max.ms": 20,
        "topic.metadata.propagation.max.ms": _PROPAGATION_MS,
    }
    consumer = Consumer(config)
    deadline = time.monotonic() + timeout_s
    try:
        # Offset 0 and not OFFSET_BEGINNING, which the client looks up only after a pause of 0.5 s.
        consumer.assign([TopicPartition(topic, 0, 0) for topic in left])
        while left:
            unknown = [error.str() for error in errors if error.code() in _UNKNOWN_TOPIC]
            gone = {topic for topic in left if any(said.startswith(f"{topic} ") for said in unknown)}
            found |= {topic: _missing(topic) for topic in gone}
            left -= gone
            if not left:
                break
            if time.monotonic() > deadline:
                said = errors[0].str() if errors else f"nothing came for {timeout_s:.0f} s"
                late = OperationError(
                    "definitions_unreadable", f"expected to read the definitions log but {said}. Check the broker."
                )
                return found | dict.fromkeys(left, late)
            message = consumer.poll(1.0)
            if message is None:
                continue
            topic, error, snapshot = message.topic() or "", message.error(), found.get(message.topic() or "")
            if error is not None and error.code() == KafkaError._PARTITION_EOF:
                left.discard(topic)
            elif error is not None and not error.retriable():
                broken = missing_right(
                    error, topic=("READ", topic), group=("DESCRIBE", reader_group(settings))
                ) or OperationError(
                    "broker_refused",
                    f"expected to read the definitions log but {error.name()}: {error.str()}. Check the topics and "
                    "the rights.",
                )
                found |= dict.fromkeys([topic] if topic in found else left, broken)
                left -= {topic} if topic in found else left
            elif error is None and isinstance(snapshot, Snapshot):
                offset = message.offset()
                assert offset is not None
                snapshot.read(message.key(), message.value(), offset, message.timestamp()[1])
                deadline = time.monotonic() + timeout_s
        return found
    finally:
        consumer.close()


def _missing(topic: str) -> OperationError:
    return OperationError(
        "topics_missing",
        f"The topic {topic} does not exist. Run `streamflow topics apply`, or correct the prefix.",
        retryable=False,
    )
