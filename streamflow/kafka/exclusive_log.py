"""Topics of one partition that are decided on by what they hold, with one writer at a time.

Every writer has the same transactional id: to begin fences the earlier writer and ends its transaction. A writer
that is not fenced therefore knows that nobody else has written since it began and read the topic to its end, so it may
write again at once; one that is fenced begins again, and finds what the other one committed."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition

from streamflow.errors import OperationError
from streamflow.kafka.backoff import pauses
from streamflow.kafka.connection import confluent_config, confluent_producer_config
from streamflow.kafka.groups import reader_group
from streamflow.kafka.log_writing import judged
from streamflow.kafka.refusals import missing_right
from streamflow.kafka.stalls import AssignedConsumer
from streamflow.settings import Settings
from streamflow.wire.decoding import Record

T = TypeVar("T")

_TIMEOUT_S = 20.0
_TRANSACTION_TIMEOUT_MS = 20_000
_BATCH = 1000
WRITE_S = 20.0  # for which a writer that is fenced again and again tries
FENCED_S = (0.02, 0.5)  # the first pause of a writer that was fenced, and the longest
_ABSENT = frozenset(
    {KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC, KafkaError._UNKNOWN_PARTITION}  # noqa: SLF001
)


class Outgoing(NamedTuple):
    """A record to write; a value of None deletes."""

    topic: str
    key: bytes
    value: bytes | None
    headers: Sequence[tuple[str, bytes]] = ()


class LogReader:
    """The committed records of partition 0 of a topic, from the beginning and on. Used by one thread.

    `wait_ms` is how long the broker keeps a request for which it has nothing. The end of a transaction is no record, so
    after one `to_end` takes as long; a shorter wait is more requests."""

    def __init__(self, settings: Settings, topic: str, *, role: str, wait_ms: int = 100) -> None:
        self._topic = topic
        self._group = reader_group(settings)
        self._errors: list[KafkaError] = []
        self._at = 0
        config = confluent_config(settings, role, on_error=self._errors.append) | {
            "group.id": reader_group(settings),
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
            "enable.partition.eof": True,
            "auto.offset.reset": "earliest",
            "fetch.wait.max.ms": wait_ms,
        }
        self._consumer = AssignedConsumer(lambda: Consumer(config))
        self._consumer.assign([TopicPartition(topic, 0, 0)])

    def close(self) -> None:
        """Ends it."""
        self._consumer.close()

    def follow(self, timeout_s: float) -> list[Record]:
        """The records that come next; none when none came within `timeout_s`. Raises OperationError."""
        found = []
        for message in self._consumer.consume(_BATCH, timeout_s):
            error, offset = message.error(), message.offset() or 0
            if error is None:
                self._at = offset + 1
                _, timestamp_ms = message.timestamp()
                key = message.key()
                found.append(
                    Record(
                        topic=self._topic,
                        partition=0,
                        offset=offset,
                        timestamp_ms=timestamp_ms,
                        key=key.encode() if isinstance(key, str) else key,
                        value=message.value(),
                        headers=_headers(message),
                        log_append=True,
                    )
                )
            elif error.code() == KafkaError._PARTITION_EOF:
                self._at = max(self._at, offset)
            elif not error.retriable():
                raise self._failed(error)
        return found

    def to_end(self, timeout_s: float = _TIMEOUT_S) -> list[Record]:
        """The records up to the end as it is now; the broker was there when this returns. Raises OperationError."""
        deadline = time.monotonic() + timeout_s
        try:
            _, high = self._consumer.client.get_watermark_offsets(TopicPartition(self._topic, 0), timeout=timeout_s)
        except KafkaException as error:
            raise self._failed(error.args[0]) from error
        found: list[Record] = []
        while self._at < high:
            found += self.follow(0.1)
            if time.monotonic() > deadline:
                raise OperationError(
                    "broker_unreachable", f"The topic {self._topic} was not read within {timeout_s:g} s. Check Kafka."
                )
        return found

    def _failed(self, error: KafkaError) -> OperationError:
        if error.code() in _ABSENT:
            return OperationError(
                "topic_missing",
                f"The topic {self._topic} does not exist. Run `streamflow topics apply`.",
                topic=self._topic,
            )
        if (denied := missing_right(error, topic=("READ", self._topic), group=("DESCRIBE", self._group))) is not None:
            return denied
        said = self._errors[0].str() if self._errors else error.str()
        return OperationError("broker_unreachable", f"The topic {self._topic} cannot be read: {said}. Check Kafka.")


def _headers(message: Message) -> tuple[tuple[str, bytes], ...]:
    found: Any = message.headers() or ()
    return tuple((name, value or b"") for name, value in found)


class ExclusiveWriter:
    """The writer of topics under one transactional id. Used by one thread."""

    def __init__(self, settings: Settings, name: str) -> None:
        self._settings = settings
        self._name = name
        self._producer: Producer | None = None
        self._errors: list[KafkaError] = []

    def begin(self) -> None:
        """Becomes the writer, unless it is. What others wrote before is committed or gone afterwards.

        Raises OperationError, Fenced."""
        if self._producer is not None:
            return
        self._errors.clear()
        producer = Producer(
            confluent_producer_config(self._settings, self._name, on_error=self._errors.append)
            | {
                "transactional.id": f"{self._settings.topics.prefix}{self._name}",
                "transaction.timeout.ms": _TRANSACTION_TIMEOUT_MS,
                "delivery.timeout.ms": _TRANSACTION_TIMEOUT_MS,
                "linger.ms": 0,
            }
        )
        try:
            producer.init_transactions(_TIMEOUT_S)
        except KafkaException as error:
            raise self._judged(error) from error
        self._producer = producer

    def commit(self, records: Sequence[Outgoing]) -> None:
        """Writes all of `records`, or none of them. Raises OperationError, Fenced; in doubt of what was written it
        raises as well: begin again, and read."""
        producer = self._producer
        assert producer is not None
        try:
            producer.begin_transaction()
            for one in records:
                headers: list[tuple[str, str | bytes | None]] = list(one.headers)
                producer.produce(one.topic, key=one.key, value=one.value, partition=0, headers=headers)
            producer.commit_transaction(_TIMEOUT_S)
        except KafkaException as error:
            self._producer = None
            raise self._judged(error, ", ".join(sorted({one.topic for one in records}))) from error

    def _judged(self, error: KafkaException, topic: str = "") -> Exception:
        writer = f"{self._settings.topics.prefix}{self._name}"
        found = judged(error.args[0], self._errors, topic=topic, writer=writer)
        return found if isinstance(found, OperationError) else Fenced(str(found))


class Fenced(Exception):
    """Another writer was faster, or the transaction could not be finished: begin again."""


def retry_fenced(attempt: Callable[[], T], busy: Callable[[Fenced], OperationError]) -> T:
    """What `attempt` gives, which is made again while other writers are faster, for `WRITE_S` seconds. Blocks. Raises
    what `busy` makes of the last refusal after that, and what `attempt` raises."""
    deadline, waits = time.monotonic() + WRITE_S, pauses(*FENCED_S)
    while True:
        try:
            return attempt()
        except Fenced as fenced:
            if time.monotonic() > deadline:
                raise busy(fenced) from fenced
            time.sleep(next(waits))
