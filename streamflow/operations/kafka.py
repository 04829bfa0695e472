"""`kafka.emit`: a record to any topic of the cluster that Streamflow runs on, as a CloudEvent whose id is the
idempotency key."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec

from streamflow.definition.catalog import TOPIC, OperationSpec
from streamflow.definition.catalog import OperationError as DeclaredError
from streamflow.errors import OperationError
from streamflow.ids import environment_of
from streamflow.operations.contract import Attempt, Health, Operation
from streamflow.settings import Settings

if TYPE_CHECKING:
    from streamflow.operations.kafka_sender import Sender

Headers = list[tuple[str, str | bytes | None]]  # as librdkafka's client types them

_SHARE = 0.95  # of what is left of the attempt; so that it ends with a code that says more than a timeout
_TEXTS = {"type": "string", "maxLength": 10_000}


class KafkaEmit:
    """Sends one record, and waits until all in-sync replicas have it."""

    spec = OperationSpec(
        name="kafka.emit",
        title="Send a record to Kafka",
        description="Sends JSON or text to a topic of the same cluster, as a CloudEvent in binary mode whose id is "
        "the idempotency key: "
        "of two records with the same id a reader keeps one. The topic must exist. For events of the catalog use an "
        "`emit` step.",
        input={
            "type": "object",
            "properties": {
                "topic": {
                    "type": "string",
                    "pattern": TOPIC,
                    "description": "any topic but Streamflow's own",
                },
                "key": {"type": "string", "description": "the record's key; default: the run's business key"},
                "json": {"description": "the record's value, as JSON"},
                "text": {"type": "string", "description": "the record's value as text, instead of json"},
                "type": _TEXTS
                | {"minLength": 1, "description": "CloudEvents type; default: streamflow.<definition>.<step>"},
                "headers": {
                    "type": "object",
                    "propertyNames": {
                        "minLength": 1,
                        "not": {"pattern": "^(ce_|content-type$|traceparent$|tracestate$)"},
                    },
                    "additionalProperties": _TEXTS,
                    "description": "further headers, texts by name",
                },
            },
            "required": ["topic"],
            "additionalProperties": False,
        },
        output={
            "type": "object",
            "properties": {
                "topic": {"type": "string"},
                "partition": {"type": "integer"},
                "offset": {"type": "integer"},
            },
            "required": ["topic", "partition", "offset"],
            "additionalProperties": False,
        },
        errors=[
            DeclaredError(id="kafka_unavailable", title="Kafka did not take the record in time"),
            DeclaredError(id="topic_missing", title="there is no such topic", retryable=False),
            DeclaredError(id="topic_refused", title="the topic is Streamflow's own", retryable=False),
            DeclaredError(id="right_missing", title="Streamflow's user may not write to the topic", retryable=False),
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
        from streamflow.operations.kafka_sender import Sender

        topic = input["topic"]
        if self._sender is None:
            self._sender = Sender(self._settings)
        value, headers = record(input, attempt)
        sent = await self._sender.send(
            topic, input.get("key", attempt.key).encode(), value, headers, attempt.timeout_s * _SHARE
        )
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


def record(input: Any, attempt: Attempt) -> tuple[bytes, Headers]:
    """The value and the headers of the record. Raises OperationError (`content_invalid`)."""
    if ("json" in input) == ("text" in input):
        found = "both are there" if "json" in input else "there is neither"
        raise OperationError(
            "content_invalid", f"expected either json or text but {found}. Give one of them.", retryable=False
        )
    headers = {
        "ce_specversion": "1.0",
        "ce_id": attempt.idempotency_key,
        "ce_source": f"/streamflow/{environment_of(attempt.run)}/definitions/{attempt.definition}",
        "ce_type": input.get("type", f"streamflow.{attempt.definition}.{attempt.step}"),
        "ce_time": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "ce_streamflowrun": attempt.run,
        "content-type": "application/json" if "json" in input else "text/plain; charset=utf-8",
        **({"ce_correlationid": attempt.correlation_id} if attempt.correlation_id else {}),
        **attempt.trace_headers,
        **input.get("headers", {}),
    }
    value = msgspec.json.encode(input["json"], order="sorted") if "json" in input else input["text"].encode()
    return value, [(name, text.encode()) for name, text in headers.items()]


def operations(settings: Settings) -> Sequence[Operation]:
    """What this module has."""
    return (KafkaEmit(settings),)


SPECS = (KafkaEmit.spec,)
