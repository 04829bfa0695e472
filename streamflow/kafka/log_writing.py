"""Writing to the definitions log, so that the first writer of a record wins.

Compaction keeps the *last* of two records with one key, so a second record of a version must never be committed. Every
publisher uses the same transactional id: it begins by fencing any other publisher and ending that
transaction, then reads the log to its end, then writes everything in one transaction. Who was fenced starts over, and
finds what the other one committed."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec
import structlog
from confluent_kafka import KafkaError, KafkaException, Message, Producer

from streamflow.errors import OperationError
from streamflow.kafka.backoff import pauses
from streamflow.kafka.connection import confluent_producer_config
from streamflow.kafka.definitions import Snapshot
from streamflow.kafka.log_reading import read_log
from streamflow.kafka.refusals import missing_right
from streamflow.kafka.topics import DEFINITIONS, topic_name
from streamflow.settings import Settings

_log = structlog.get_logger(__name__)

_ATTEMPTS = 30
_FIRST_BACKOFF_S = 0.05
_LONGEST_BACKOFF_S = 2.0
_TIMEOUT_S = 30.0
# A publisher that died in the middle holds readers up no longer than this.
_TRANSACTION_TIMEOUT_MS = 20_000

Records = dict[str, bytes | None]


@dataclass(frozen=True, slots=True)
class Recorded:
    """The result of a registration: the offset of its record, None if nothing had to be written."""

    name: str
    offset: int | None


class _Again(Exception):
    """Another publisher was faster, or the broker could not finish: the whole of it must be done again."""


def write(settings: Settings, records: Callable[[Snapshot], Records]) -> tuple[Snapshot, dict[str, int]]:
    """Writes what `records` makes of the log (None deletes), in one transaction nothing can come between; returns that
    log, and offsets by key. `records` may be asked several times.

    Raises OperationError."""
    waits = pauses(_FIRST_BACKOFF_S, _LONGEST_BACKOFF_S)
    last: Exception | None = None
    for _ in range(_ATTEMPTS):
        try:
            return _attempt(settings, records)
        except _Again as again:
            last = again
            pause_s = next(waits)
            _log.info("publication_again", reason=str(again), next_try_s=round(pause_s, 2))
        time.sleep(pause_s)
    raise OperationError(
        "publication_failed", f"expected to publish but {last}, {_ATTEMPTS} times over. Try again later."
    ) from last


def _attempt(settings: Settings, records: Callable[[Snapshot], Records]) -> tuple[Snapshot, dict[str, int]]:
    topic = topic_name(settings, DEFINITIONS)
    errors: list[KafkaError] = []
    producer = Producer(
        confluent_producer_config(settings, "publisher", on_error=errors.append)
        | {
            "transactional.id": f"{settings.topics.prefix}publisher",
            "transaction.timeout.ms": _TRANSACTION_TIMEOUT_MS,
            "delivery.timeout.ms": _TRANSACTION_TIMEOUT_MS,
            "linger.ms": 0,
        }
    )
    offsets: dict[str, int] = {}

    def delivered(error: KafkaError | None, message: Message) -> None:
        key, offset = message.key(), message.offset()
        if error is None and key is not None and offset is not None:
            offsets[key.decode() if isinstance(key, bytes) else key] = offset

    try:
        producer.init_transactions(_TIMEOUT_S)
        log = read_log(settings)
        wanted = records(log)
        if not wanted:
            return log, {}
        producer.begin_transaction()
        for key, value in wanted.items():
            producer.produce(topic, key=key.encode(), value=value, partition=0, on_delivery=delivered)
        producer.commit_transaction(_TIMEOUT_S)
    except KafkaException as error:
        writer = f"{settings.topics.prefix}publisher"
        raise judged(error.args[0], errors, topic=topic, writer=writer) from error
    return log, offsets


# librdkafka's own codes for a broker that does not answer; and for a publisher that was fenced or whose transaction was
# ended.
_CUT_OFF = frozenset({KafkaError._TIMED_OUT, KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN})
_TO_REPEAT = frozenset(
    {
        KafkaError._FENCED,
        KafkaError._STATE,
        KafkaError._PURGE_QUEUE,
        KafkaError.PRODUCER_FENCED,
        KafkaError.INVALID_PRODUCER_EPOCH,
        KafkaError.INVALID_PRODUCER_ID_MAPPING,
        KafkaError.INVALID_TXN_STATE,
        KafkaError.CONCURRENT_TRANSACTIONS,
    }
)


def judged(cause: KafkaError, errors: list[KafkaError], *, topic: str = "", writer: str = "") -> Exception:
    """What a failure means to write to `topic` under the transactional id `writer`, or to ask for the cluster's topics.
    Starting over is always safe: what was left open is ended by the next `init_transactions`."""
    denied = missing_right(cause, topic=("WRITE", topic), transactional_id=("WRITE", writer))
    if denied is not None:
        return denied
    if cause.code() in _CUT_OFF:
        said = errors[0].str() if errors else cause.str()
        return OperationError(
            "broker_unreachable", f"expected the broker to accept a publication but {said}. Check it and publish again."
        )
    if cause.code() in _TO_REPEAT or cause.retriable() or cause.txn_requires_abort():
        return _Again(cause.str())
    return OperationError(
        "broker_refused", f"expected to publish but {cause.name()}: {cause.str()}. Check the topics and the rights."
    )


def encoded(value: Any) -> bytes:
    """The value of a record: the same JSON for the same `value`."""
    return msgspec.json.encode(value, order="deterministic")
