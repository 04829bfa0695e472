"""Events to the users' topics, written as the catalog says that they are found."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from streamflow.definition.catalog import EventSpec, Location
from streamflow.errors import OperationError, Rejected
from streamflow.kafka.connection import confluent_producer_config
from streamflow.settings import DEFAULT_ENVIRONMENT, Settings


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A record to be sent."""

    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()


def event_record(
    spec: EventSpec, data: Any, key: str | None = None, *, environment: str = DEFAULT_ENVIRONMENT
) -> Outgoing:
    """`data` as a record that is the event `spec`: what the catalog reads to tell it from others, and its id, time and
    key, are added where they are missing. Events that are told by their CloudEvents type become CloudEvents in binary
    mode, others stay plain JSON.

    Raises Rejected when a place is in the payload and the payload is no JSON object, or when there is no key."""
    data = json.loads(json.dumps(data))
    headers: dict[str, str] = {"content-type": "application/json"}
    match = spec.match
    if match is None or match.type is not None:
        now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        headers |= {
            "ce_specversion": "1.0",
            "ce_type": spec.name if match is None or match.type is None else match.type,
            "ce_source": f"/streamflow/{environment}/cli",
        }
        headers |= {"ce_id": str(uuid.uuid4()), "ce_time": now}
    if match is not None and match.equals is not None:
        told_by = Location(path=match.path) if match.path else Location(header=match.header)
        _fill(told_by, match.equals, data, headers)
    if spec.id is not None:
        _fill(spec.id, str(uuid.uuid4()), data, headers)
    if spec.time is not None:
        _fill(spec.time, datetime.now(UTC).isoformat(timespec="milliseconds"), data, headers)
    if spec.key is not None and key is not None:
        _fill(spec.key, key, data, headers)
    found = _found(spec.key, data, headers) if spec.key is not None else key
    record_key = None if found is None else str(found)
    return Outgoing(
        None if record_key is None else record_key.encode(),
        _encoded(data),
        tuple((name, text.encode()) for name, text in headers.items()),
    )


def _fill(place: Location, value: str | int | bool, data: Any, headers: dict[str, str]) -> None:
    """Puts `value` at `place` unless something is there."""
    if place.header is not None:
        headers.setdefault(place.header, str(value).lower() if isinstance(value, bool) else str(value))
        return
    *parents, last = (place.path or "").split(".")
    node = data
    for part in parents:
        node = node.setdefault(part, {}) if isinstance(node, dict) else None
    if not isinstance(node, dict):
        raise Rejected(
            "payload_no_object", f"expected a JSON object with {place.path} but found something else; do send an object"
        )
    node.setdefault(last, value)


def _found(place: Location, data: Any, headers: dict[str, str]) -> Any:
    if place.header is not None:
        return headers.get(place.header)
    return at_path(data, place.path or "")


def at_path(data: Any, path: str) -> Any:
    """What is at the dotted `path` in `data`; None if nothing is."""
    for part in path.split("."):
        data = data.get(part) if isinstance(data, dict) else None
    return data


def _encoded(data: Any) -> bytes:
    return json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode()


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

    began = told = time.monotonic()
    try:
        for number, record in enumerate(records):
            if rate is not None and (ahead := began + number / rate - time.monotonic()) > 0:
                producer.poll(0)
                time.sleep(ahead)
            _produce(producer, topic, record, delivered)
            if number % 500 == 0:
                producer.poll(0)
                _check(sent, topic)
            if time.monotonic() - told > 0.2:
                told = time.monotonic()
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
            f"expected the broker to answer but {error.args[0].str()}; do check the broker and the settings",
        ) from error
    if found.error is not None:
        missing = f"expected the topic {topic} but it does not exist"
        raise OperationError(
            "topic_missing", f"{missing}; do create it, or publish its definition with --create-topics", retryable=False
        )


def _check(sent: Sent, topic: str) -> None:
    if sent.error is not None:
        raise _refused(topic, sent.error)


def _refused(topic: str, error: KafkaError) -> OperationError:
    return OperationError(
        "broker_refused",
        f"expected {topic} to take the record but {error.name()}: {error.str()}; do check its size and the topic",
    )
