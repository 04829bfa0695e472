"""The consumer of the history worker."""

from __future__ import annotations

from confluent_kafka import Consumer, KafkaError, KafkaException

from streamflow.errors import OperationError
from streamflow.kafka.connection import confluent_config
from streamflow.kafka.groups import history_group
from streamflow.kafka.members import member_role
from streamflow.kafka.refusals import missing_right
from streamflow.settings import Settings

_LONGEST_MS = 3_600_000  # between two polls: an archive of a large run may be slow


def open_consumer(settings: Settings) -> Consumer:
    """A consumer of the group `history`. Where it reads from is in the store, so it commits nothing by itself."""
    return Consumer(
        confluent_config(settings, member_role("history"))
        | {
            "group.id": history_group(settings),
            "session.timeout.ms": int(settings.history.session_timeout_s * 1000),
            "heartbeat.interval.ms": min(1000, int(settings.history.session_timeout_s * 250)),
            "max.poll.interval.ms": _LONGEST_MS,
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "auto.offset.reset": "error",
            "enable.partition.eof": True,
            "fetch.wait.max.ms": 100,
            "topic.metadata.refresh.interval.ms": 10_000,  # how soon partitions that were added are seen
            "queued.max.messages.kbytes": 32_768,
        }
    )


def denied_reading(settings: Settings, error: KafkaError, topic: str | None) -> OperationError | None:
    """That a right is missing, if that is what `error` says, which came instead of a record."""
    return missing_right(error, topic=("READ", topic or "its topics"), group=("READ", history_group(settings)))


def unreadable(topic: str, error: KafkaException) -> OperationError:
    """What is raised when the broker does not answer about `topic`."""
    said = error.args[0]
    return missing_right(error, topic=("READ", topic)) or OperationError(
        "broker_unreachable",
        f"expected the broker to describe {topic} but {said.name()}: {said.str()}. Check the broker and the kafka "
        "settings.",
    )
