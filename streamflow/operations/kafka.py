"""`kafka.emit`: a record to any topic of the cluster that Streamflow runs on, as a CloudEvent whose id is the idempotency key.

The only operation that speaks to Kafka itself. It uses librdkafka, whose records end in time when the broker does not answer.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
import structlog
from confluent_kafka import KafkaError, KafkaException, Message, Producer

from streamflow.definition.catalog import OperationError as DeclaredError
from streamflow.definition.catalog import OperationSpec
from streamflow.errors import OperationError
from streamflow.kafka.connection import confluent_producer_config
from streamflow.kafka.topics import topics
from streamflow.operations.contract import Attempt, Health, Operation
from streamflow.settings import Settings

_log = structlog.get_logger(__name__)

_TOPIC_KNOWN_MS = 3000  # after which a topic that the broker does not show counts as missing
_DELIVERY_MS = 20_000
_POLL_S = 0.5
_CLOSE_S = 3.0

_UNKNOWN_TOPIC = frozenset({KafkaError._UNKNOWN_TOPIC, KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError.TOPIC_EXCEPTION})
_DENIED = frozenset({KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.CLUSTER_AUTHORIZATION_FAILED})
_TOO_LARGE = frozenset({KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.RECORD_LIST_TOO_LARGE})

Headers = list[tuple[str, str | bytes | None]]  # as librdkafka's client types them

_TEXTS = {"type": "string", "maxLength": 10_000}


class KafkaEmit:
    """Sends one record, and waits until all in-sync replicas have it."""

    spec = OperationSpec(
        name="kafka.emit",
        title="Send a record to Kafka",
        description="Sends JSON or text to a topic of the same cluster, as a CloudEvent in binary mode whose id is the idempotency key: "
        "of two records with the same id a reader keeps one. The topic must exist. For events of the catalog use an `emit` step, which sends exactly once.",
        input={
            "type": "object",
            "properties": {
                "topic": {"type": "string", "pattern": "^[A-Za-z0-9._-]{1,249}$", "description": "any topic but Streamflow's own"},
                "key": {"type": "string", "description": "the record's key; the run's business key unless told"},
                "json": {"description": "the record's value, as JSON"},
                "text": {"type": "string", "description": "the record's value, as text, in the place of json"},
                "type": _TEXTS | {"minLength": 1, "description": "CloudEvents type; streamflow.<definition>.<step> unless told"},
                "headers": {
                    "type": "object",
                    "propertyNames": {"minLength": 1, "not": {"pattern": "^(ce_|content-type$|traceparent$)"}},
                    "additionalProperties": _TEXTS,
                    "description": "further headers, texts by name",
                },
            },
            "required": ["topic"],
            "additionalProperties": False,
        },
        output={
            "type": "object",
            "properties": {"topic": {"type": "string"}, "partition": {"type": "integer"}, "offset": {"type": "integer"}},
            "required": ["topic", "partition", "offset"],
            "additionalProperties": False,
        },
        errors=[
            DeclaredError(id="kafka_unavailable", title="Kafka did not take the record in time"),
            DeclaredError(id="topic_missing", title="there is no such topic", retryable=False),
            DeclaredError(id="topic_refused", title="the topic is Streamflow's own", retryable=False),
            DeclaredError(id="access_denied", title="Streamflow's user may not write to the topic", retryable=False),
            DeclaredError(id="message_too_large", title="the record is larger than the topic takes", retryable=False),
            DeclaredError(id="content_invalid", title="there is no value, or more than one", retryable=False),
        ],
        timeout="30s",
    )

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._sender: Sender | None = None

    async def start(self) -> None:
        """Nothing yet: the producer is made when it is needed."""

    async def run(self, input: Any, attempt: Attempt) -> Any:
        """Where the record is. Raises OperationError."""
        topic = input["topic"]
        if self._is_own(topic):
            message = f"expected a topic of yours but {topic} is Streamflow's own; do choose another"
            raise OperationError("topic_refused", message, retryable=False, topic=topic)
        value, headers = record(input, attempt)
        if self._sender is None:
            self._sender = Sender(self._settings)
        sent = await self._sender.send(topic, input.get("key", attempt.key).encode(), value, headers)
        return {"topic": topic, "partition": sent.partition(), "offset": sent.offset()}

    async def health(self) -> Health:
        """Whether Kafka took the last record."""
        trouble = self._sender.trouble if self._sender is not None else ""
        return Health(ok=not trouble, detail=trouble)

    async def close(self) -> None:
        """Sends what is left for some seconds, and closes the producer."""
        if self._sender is not None:
            await asyncio.to_thread(self._sender.close)
            self._sender = None

    def _is_own(self, topic: str) -> bool:
        return topic.startswith(f"{self._settings.topics.prefix}tasks.") or topic in {one.name for one in topics(self._settings)}


class Sender:
    """A producer, and the thread in which its answers arrive. `trouble` is what went wrong last, empty if nothing."""

    def __init__(self, settings: Settings) -> None:
        config = confluent_producer_config(settings, "operations") | {
            "topic.metadata.propagation.max.ms": _TOPIC_KNOWN_MS,
            "delivery.timeout.ms": _DELIVERY_MS,
        }
        self.trouble = ""
        self._producer = Producer(config)
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._poll, name="kafka.emit", daemon=True)
        self._thread.start()

    async def send(self, topic: str, key: bytes, value: bytes, headers: Headers) -> Message:
        """The record as it was acknowledged. Raises OperationError. Cancelled, the record may be written all the same."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[Message] = loop.create_future()

        def settle(error: KafkaError | None, sent: Message) -> None:
            if done.done():
                return
            if error is None:
                done.set_result(sent)
            else:
                done.set_exception(KafkaException(error))

        def delivered(error: KafkaError | None, sent: Message) -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(settle, error, sent)

        try:
            self._producer.produce(topic, value, key, on_delivery=delivered, headers=headers)
            sent = await done
        except BufferError as error:
            raise OperationError("kafka_unavailable", "expected Kafka to take the record but too many wait already; do try again", topic=topic) from error
        except KafkaException as error:
            failure = _failure(error.args[0], topic, len(value))
            self.trouble = failure.message if failure.code == "kafka_unavailable" else ""
            raise failure from error
        self.trouble = ""
        return sent

    def close(self) -> None:
        """Waits some seconds for what was sent, gives up the rest, and ends the thread."""
        self._producer.flush(_CLOSE_S)
        self._closing.set()
        self._thread.join()
        self._producer.purge()
        if left := self._producer.flush(0):
            _log.warning("records_given_up", records=left)

    def _poll(self) -> None:
        while not self._closing.is_set():
            self._producer.poll(_POLL_S)


def record(input: Any, attempt: Attempt) -> tuple[bytes, Headers]:
    """The value and the headers of the record. Raises OperationError (`content_invalid`)."""
    if ("json" in input) == ("text" in input):
        found = "both are there" if "json" in input else "there is neither"
        raise OperationError("content_invalid", f"expected either json or text but {found}; do give one of them", retryable=False)
    headers = {
        "ce_specversion": "1.0",
        "ce_id": attempt.idempotency_key,
        "ce_source": f"/streamflow/definitions/{attempt.definition}",
        "ce_type": input.get("type", f"streamflow.{attempt.definition}.{attempt.step}"),
        "ce_time": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "ce_streamflowrun": attempt.run,
        "content-type": "application/json" if "json" in input else "text/plain; charset=utf-8",
        **({"traceparent": attempt.trace} if attempt.trace else {}),
        **input.get("headers", {}),
    }
    value = msgspec.json.encode(input["json"], order="sorted") if "json" in input else input["text"].encode()
    return value, [(name, text.encode()) for name, text in headers.items()]


def _failure(error: KafkaError, topic: str, size: int) -> OperationError:
    code = error.code()
    if code in _UNKNOWN_TOPIC:
        message = f"expected the topic {topic} but there is none; do create it or correct its name"
        return OperationError("topic_missing", message, retryable=False, topic=topic)
    if code in _DENIED:
        message = f"expected the right to write to {topic} but Kafka refused; do grant it to Streamflow's user"
        return OperationError("access_denied", message, retryable=False, topic=topic)
    if code in _TOO_LARGE:
        message = f"expected a record that {topic} takes but {size} bytes are too many; do store the content and send where it is"
        return OperationError("message_too_large", message, retryable=False, topic=topic)
    return OperationError("kafka_unavailable", f"expected Kafka to take the record but {error.str()}; do try again", topic=topic)


def operations(settings: Settings) -> Sequence[Operation]:
    """What this module has."""
    return (KafkaEmit(settings),)


SPECS = (KafkaEmit.spec,)
