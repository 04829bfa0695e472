"""What the topics of the history still have: where each partition begins, and since when."""

from __future__ import annotations

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from streamflow.errors import OperationError
from streamflow.history.rebuild import Beginnings
from streamflow.kafka.admin import Admin
from streamflow.kafka.connection import confluent_config
from streamflow.kafka.groups import reader_group
from streamflow.kafka.topics import DEAD_LETTERS, LOGS, RUNS, UNCLAIMED, topic_name
from streamflow.settings import Settings

ROLES = (RUNS, UNCLAIMED, DEAD_LETTERS, LOGS)
_ANSWER_S = 10.0


def beginnings(settings: Settings) -> tuple[Beginnings, int | None]:
    """Where the partitions of each topic begin, and the time of the oldest transition that is left in a partition of
    `runs` that lost some; None: none did. Raises OperationError (`broker_unreachable`)."""
    ids = Admin(settings).topic_ids([topic_name(settings, role) for role in ROLES])
    consumer = Consumer(
        confluent_config(settings, "history")
        | {"group.id": reader_group(settings), "enable.auto.commit": False, "enable.partition.eof": True}
    )
    found: dict[str, tuple[str, dict[int, int]]] = {}
    oldest: list[int] = []
    try:
        for role in ROLES:
            name = topic_name(settings, role)
            partitions = consumer.list_topics(name, timeout=_ANSWER_S).topics[name].partitions
            begins = {}
            for number in sorted(partitions):
                low, high = consumer.get_watermark_offsets(TopicPartition(name, number), timeout=_ANSWER_S)
                begins[number] = low
                if role == RUNS and low:
                    oldest.append(_first_ms(consumer, TopicPartition(name, number, low)) if high > low else 1 << 62)
            found[role] = ids[name], begins
    except KafkaException as error:
        said = error.args[0]
        raise OperationError(
            "broker_unreachable",
            f"expected the broker to describe the topics but {said.name()}: {said.str()}. Check the broker.",
        ) from error
    finally:
        consumer.close()
    return found, max(oldest) if oldest else None


def _first_ms(consumer: Consumer, place: TopicPartition) -> int:
    """The time of the first record of a partition."""
    consumer.assign([place])
    try:
        message = consumer.poll(_ANSWER_S)
    finally:
        consumer.unassign()
    error = message.error() if message is not None else None
    if message is None or (error is not None and error.code() != KafkaError._PARTITION_EOF):
        raise OperationError(
            "topic_unreadable",
            f"expected the first record of {place.topic}/{place.partition} but none came. Check the broker and its "
            "permissions.",
        )
    return message.timestamp()[1]
