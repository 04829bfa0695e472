"""Events to the users' topics, written as the catalog says that they are found."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, TypeVar

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from streamflow.core.outbox import Written
from streamflow.definition.catalog import EventSpec
from streamflow.errors import OperationError
from streamflow.kafka.connection import confluent_producer_config
from streamflow.kafka.refusals import missing_right
from streamflow.settings import DEFAULT_ENVIRONMENT, Settings
from streamflow.wire.dead_letter import Outgoing as Letter
from streamflow.wire.event_record import Stamp, event_record


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A record to be sent."""

    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()


R = TypeVar("R", Outgoing, Letter)


def event_of(
    spec: EventSpec,
    data: Any,
    key: str | None = None,
    headers: Mapping[str, str] = MappingProxyType({}),
    *,
    environment: str = DEFAULT_ENVIRONMENT,
) -> Outgoing:
    """`data` as a record that is the event `spec`, with a new id, and now as its time; `headers` go before what the
    record would say otherwise. Raises Rejected (`payload_no_object`)."""
    source = f"/streamflow/{environment}/cli"
    new = uuid.uuid4()
    stamp = Stamp(
        id=str(new),
        time_ms=time.time_ns() // 1_000_000,
        source=source,
        headers=headers,
        number=new.int >> 75,  # 53 bits: a number that JavaScript holds exactly
    )
    return Outgoing(*event_record(spec, data, key, stamp))


def with_schema(record: R, written: Written | None) -> R:
    """`record`, whose value is JSON, as its event is written here; None: as it is.

    Raises DecodeError (`schema_encode_failed`)."""
    if written is None or record.value is None:
        return record
    texts = tuple((name, value.decode("utf-8", "surrogateescape")) for name, value in record.headers)
    value, headers = written.record(record.value, texts)
    whole = tuple((name, text.encode("utf-8", "surrogateescape")) for name, text in headers)
    return type(record)(record.key, value, whole)


@dataclass(slots=True)
class Sent:
    """What the broker has taken so far."""

    records: int = 0
    last: Message | None = None
    error: KafkaError | None = None


def send(settings: Settings, topic: str, records: Iterable[Outgoing], *, rate: float | None = None) -> Iterator[Sent]:
    """Sends `records` in order, at most `rate` of them a second, and yields now and then; the last time when all are
    acknowledged.

    Raises OperationError when the topic does not exist or the broker does not take a record."""
    producer = Producer(
        confluent_producer_config(settings, "events")
        | {"linger.ms": 5, "message.timeout.ms": 60_000, "queue.buffering.max.messages": 50_000}
    )
    _require_topic(producer, topic)
    sent = Sent()

    def delivered(error: KafkaError | None, message: Message) -> None:
        sent.error = sent.error or error
        sent.records += error is None
        sent.last = message

    began = yielded_s = time.monotonic()
    try:
        for number, record in enumerate(records):
            if rate is not None and (ahead := began + number / rate - time.monotonic()) > 0:
                producer.poll(0)
                time.sleep(ahead)
            _produce(producer, topic, record, delivered)
            if number % 500 == 0:
                producer.poll(0)
                _check(sent, topic)
            if time.monotonic() - yielded_s > 0.2:
                yielded_s = time.monotonic()
                yield sent
        while producer.flush(0.2):
            yield sent
    finally:
        # What was handed over leaves also when the person interrupts.
        producer.flush(5)
    _check(sent, topic)
    yield sent


def _produce(producer: Producer, topic: str, record: Outgoing, delivered: Any) -> None:
    while True:
        try:
            producer.produce(
                topic, record.value, record.key, headers=dict(record.headers) or None, on_delivery=delivered
            )
            return
        except BufferError:
            producer.poll(0.1)
        except KafkaException as error:
            raise _refused(topic, error.args[0]) from error


def _require_topic(producer: Producer, topic: str) -> None:
    try:
        found = producer.list_topics(topic, timeout=10).topics[topic]
    except KafkaException as error:
        raise OperationError(
            "broker_unreachable",
            f"expected the broker to answer but {error.args[0].str()}. Check the broker and the settings.",
        ) from error
    if (denied := missing_right(found.error, topic=("WRITE", topic))) is not None:
        raise denied
    if found.error is not None:
        missing = f"expected the topic {topic} but it does not exist"
        raise OperationError(
            "topic_missing", f"{missing}. Create it, or publish its definition with --create-topics.", retryable=False
        )


def _check(sent: Sent, topic: str) -> None:
    if sent.error is not None:
        raise _refused(topic, sent.error)


def _refused(topic: str, error: KafkaError) -> OperationError:
    return missing_right(error, topic=("WRITE", topic)) or OperationError(
        "broker_refused",
        f"expected {topic} to accept the record but {error.name()}: {error.str()}. Check its size and the topic.",
    )
