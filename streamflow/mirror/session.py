"""One session of the mirror worker: from one opening of its consumer and its producer to the first error.

Each batch of records is one transaction: what is written, and the offsets behind what was read. So a record of the
source is in its target exactly once for readers of committed records, whenever a worker ends. A worker that lost its
partitions cannot commit their offsets: the group's generation is the fence (KIP-447).
"""

from __future__ import annotations

import contextlib
import threading
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition

from streamflow.core.metrics import Metrics
from streamflow.errors import OperationError
from streamflow.ids import PartitionId
from streamflow.kafka.connection import confluent_config, confluent_producer_config
from streamflow.kafka.groups import mirror_group
from streamflow.kafka.members import member_role
from streamflow.kafka.message import as_record
from streamflow.kafka.refusals import missing_right
from streamflow.kafka.stalls import StallDetector
from streamflow.kafka.topics import topic_name
from streamflow.mirror.formats import Format
from streamflow.settings import Settings
from streamflow.wire.unreadable import UNREADABLE, Unreadable

log = structlog.get_logger(__name__)

TRANSACTION_TIMEOUT_MS = 15_000
"""After which the broker ends the transaction of a worker that was killed."""

_ANSWER_S = 20.0  # longer than a killed worker's transaction holds its offsets back
_ABORT_S = 5.0
_EOF = KafkaError._PARTITION_EOF


class Session:
    """`formats` are by the role of the topic. `worked`: a batch was committed."""

    def __init__(self, settings: Settings, formats: Mapping[str, Format], metrics: Metrics) -> None:
        self.worked = False
        self._settings = settings
        self._formats = {topic_name(settings, role): one for role, one in formats.items()}
        self._roles = {topic_name(settings, role): role for role in formats}
        self._unreadable = {topic: Unreadable(topic) for topic in self._formats}
        self._metrics = metrics
        self._next: dict[PartitionId, int] = {}  # the offset behind what was read, of the partitions that are ours
        self._stalls = StallDetector()
        self._consumer = Consumer(_consumer_config(settings))
        self._writer = f"{mirror_group(settings)}-{settings.mirror.instance_id or uuid.uuid4().hex}"
        self._producer = Producer(_producer_config(settings, self._writer))

    def close(self) -> None:
        """Leave the group. An open transaction is aborted."""
        with contextlib.suppress(KafkaException):  # there is none, or the broker ends it by itself
            self._producer.abort_transaction(_ABORT_S)
        self._consumer.close()

    def run(self, halt: threading.Event) -> None:
        """Mirror until `halt` is set. Raises OperationError."""
        try:
            self._producer.init_transactions(_ANSWER_S)
            self._consumer.subscribe(sorted(self._formats), on_assign=self._assigned, on_revoke=self._revoked)
            log.info("mirror_started", topics=sorted(self._formats))
            while not halt.is_set():
                messages = self._read()
                if messages:
                    self._transact(messages)
        except KafkaException as error:
            raise self._failed(error.args[0]) from error

    # -- partitions

    def _assigned(self, consumer: Consumer, places: list[TopicPartition]) -> None:
        """Go on behind what the group has committed, and at the beginning where it has committed nothing."""
        self._metrics.count("rebalances")
        starts = []
        for place in consumer.committed(places, timeout=_ANSWER_S):
            if place.error is not None:
                raise KafkaException(place.error)
            low, high = consumer.get_watermark_offsets(TopicPartition(place.topic, place.partition), timeout=_ANSWER_S)
            start = place.offset
            if not 0 <= start <= high:
                if start > high:
                    log.warning("mirror_topic_recreated", topic=place.topic, partition=place.partition)
                start = low
            elif start < low:
                log.error(
                    "mirror_records_lost",
                    topic=place.topic,
                    partition=place.partition,
                    lost=low - start,
                    meaning="they were deleted before the worker read them",
                )
                start = low
            starts.append(TopicPartition(place.topic, place.partition, start))
        self._next = {(place.topic, place.partition): place.offset for place in starts}
        consumer.assign(starts)
        self._stalls.begin(starts)

    def _revoked(self, consumer: Consumer, places: list[TopicPartition]) -> None:
        """What was read is committed: a batch ends before the next is read."""
        self._next = {}
        self._stalls.begin([])

    # -- batches

    def _read(self) -> list[Message]:
        mirror = self._settings.mirror
        found = self._consumer.consume(mirror.batch_records, timeout=mirror.interval_s)
        self._stalls.saw(found)
        self._stalls.require_none(self._consumer)
        messages, at = [], dict(self._next)
        for message in found:
            error, place, offset = message.error(), _place(message), message.offset() or 0
            if error is None:
                # An assignment amid a reading: what came before it belongs to another worker, or comes again.
                if place in at and offset >= at[place]:
                    at[place] = offset + 1
                    messages.append(message)
            elif error.code() != _EOF:
                raise KafkaException(error)
        return messages

    def _transact(self, messages: Sequence[Message]) -> None:
        counts: Counter[tuple[str, str]] = Counter()
        self._producer.begin_transaction()
        for message in messages:
            counts[self._roles[message.topic() or ""], self._write(message)] += 1
            self._next[_place(message)] = (message.offset() or 0) + 1
        behind = [TopicPartition(*place, self._next[place]) for place in {_place(one) for one in messages}]
        self._producer.send_offsets_to_transaction(behind, self._consumer.consumer_group_metadata(), _ANSWER_S)
        self._producer.commit_transaction(_ANSWER_S)
        self.worked = True
        for (role, outcome), count in counts.items():
            self._metrics.count("mirror_records", count, topic=role, outcome=outcome)

    def _write(self, message: Message) -> str:
        """The outcome of one record: `written`, or `unreadable` for what is none of ours or larger than the target
        takes."""
        topic, (_, number) = message.topic() or "", _place(message)
        target, write = self._formats[topic]
        try:
            record = write(as_record(message))
        except UNREADABLE as error:
            self._unreadable[topic].skip(number, message.offset() or 0, error)
            return "unreadable"
        try:
            self._produce(target, number, record)
        except KafkaException as error:
            if error.args[0].code() != KafkaError.MSG_SIZE_TOO_LARGE:
                raise
            self._unreadable[topic].skip(number, message.offset() or 0, error)
            return "unreadable"
        return "written"

    def _produce(self, target: str, number: int, record: Any) -> None:
        while True:
            try:
                self._producer.produce(target, record.value, record.key, partition=number, headers=list(record.headers))
                return
            except BufferError:  # the client holds as much as it may
                self._producer.poll(0.1)

    def _failed(self, error: KafkaError) -> OperationError:
        denied = missing_right(
            error,
            topic=("READ or WRITE", "a mirrored topic"),
            group=("READ", mirror_group(self._settings)),
            transactional_id=("WRITE", self._writer),
        )
        return denied or OperationError(
            "mirror_failed",
            f"expected a transaction of the mirror to be committed but {error.name()}: {error.str()}. Check the "
            "broker; the worker tries again.",
        )


@contextlib.contextmanager
def opened(settings: Settings, formats: Mapping[str, Format], metrics: Metrics) -> Iterator[Session]:
    """A session that is closed at its end."""
    session = Session(settings, formats, metrics)
    try:
        yield session
    finally:
        session.close()


def _place(message: Message) -> PartitionId:
    return message.topic() or "", message.partition() or 0


def _consumer_config(settings: Settings) -> dict[str, Any]:
    instance = settings.mirror.instance_id
    return confluent_config(settings, member_role("mirror", instance)) | {
        **({} if instance is None else {"group.instance.id": instance}),
        "group.id": mirror_group(settings),
        "session.timeout.ms": int(settings.mirror.session_timeout_s * 1000),
        "heartbeat.interval.ms": min(1000, int(settings.mirror.session_timeout_s * 250)),
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "auto.offset.reset": "error",
        "isolation.level": "read_committed",
        "enable.partition.eof": True,
        "fetch.wait.max.ms": 100,
        "queued.max.messages.kbytes": 32_768,
    }


def _producer_config(settings: Settings, writer: str) -> dict[str, Any]:
    return confluent_producer_config(settings, "mirror") | {
        "transactional.id": writer,
        "transaction.timeout.ms": TRANSACTION_TIMEOUT_MS,
        "delivery.timeout.ms": TRANSACTION_TIMEOUT_MS,
        "linger.ms": 5,
        "compression.type": "lz4",
    }
