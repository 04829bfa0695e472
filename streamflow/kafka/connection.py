"""One set of connection settings, said to both clients: librdkafka (`confluent_config`) and aiokafka
(`aiokafka_config`).

Secrets are references and are resolved when a client is made: `tls`, `oauth`. Client ids are
`streamflow-<environment>-<role>`, so that a broker's logs, metrics and quotas tell environments apart.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import structlog
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.errors import ProducerClosed
from confluent_kafka import KafkaError

from streamflow.errors import OperationError
from streamflow.kafka import aiokafka_patches, batches
from streamflow.kafka.oauth import TokenProvider, token_source
from streamflow.kafka.refusals import client_refusal
from streamflow.kafka.tls import client_key, tls_context
from streamflow.secrets import resolve_secret
from streamflow.settings import Kafka, Settings

_log = structlog.get_logger(__name__)

# What Kafka adds to a record's own bytes in a batch of one, with room for headers; and Kafka's default limit of a
# batch.
_BATCH_OVERHEAD_BYTES = 100_000
_DEFAULT_BATCH_BYTES = 1_048_588
_FETCH_BYTES = 16 << 20  # of one answer to a reader, over all partitions
_ANSWER_OVERHEAD_BYTES = 1 << 20
_STOP_S = 3.0
_LAST_RECORDS_S = 2.0  # of a producer that is stopped


def max_batch_bytes(settings: Settings) -> int:
    """The largest batch, in bytes, that our topics take and our producers send: Kafka's default, or more if our records
    may be larger."""
    return max(_DEFAULT_BATCH_BYTES, settings.limits.record_bytes + _BATCH_OVERHEAD_BYTES)


def bootstrap_servers(settings: Settings) -> str:
    """The brokers to ask first.

    Raises OperationError if the settings name none."""
    if not settings.kafka.bootstrap_servers:
        raise OperationError(
            "broker_unset",
            "expected the address of a Kafka but none is set. Set STREAMFLOW_KAFKA__BOOTSTRAP_SERVERS or pass "
            "--bootstrap host:port.",
            retryable=False,
        )
    return settings.kafka.bootstrap_servers


def client_name(settings: Settings, role: str) -> str:
    """The client id of every client of ours with that role."""
    return f"streamflow-{settings.environment}-{role}"


def log_client_error(error: KafkaError) -> None:
    """librdkafka's view of the connection, logged: a wrong password is told here and nowhere else."""
    if (code := client_refusal(error)) is not None:
        _log.error("broker_refuses_client", code=code, error=error.str())
    else:
        _log.warning("kafka_client_error", code=error.name(), error=error.str(), fatal=error.fatal())


def confluent_config(
    settings: Settings, role: str, *, on_error: Callable[[KafkaError], None] = log_client_error
) -> dict[str, Any]:
    """What every librdkafka client of ours starts from: where, how and as whom; partitioner and batch limit of
    producers included."""
    kafka = settings.kafka
    fetch_bytes = max(_FETCH_BYTES, max_batch_bytes(settings))
    config: dict[str, Any] = {
        "bootstrap.servers": bootstrap_servers(settings),
        "client.id": client_name(settings, role),
        "security.protocol": kafka.security_protocol,
        "error_cb": on_error,
        # The errors come through error_cb; librdkafka would print them to stderr too.
        "log_level": 0,
        "message.max.bytes": max_batch_bytes(settings),
        # librdkafka inflates lz4 and zstd up to what it would receive; of gzip it knows no bound.
        "fetch.max.bytes": fetch_bytes,
        "receive.message.max.bytes": max(settings.limits.batch_bytes, fetch_bytes + _ANSWER_OVERHEAD_BYTES),
        "socket.keepalive.enable": True,
    }
    return config | _confluent_security(kafka)


def _confluent_security(kafka: Kafka) -> dict[str, Any]:
    """Raises OperationError, for librdkafka's own errors about files and tokens say less."""
    config: dict[str, Any] = {}
    if kafka.sasl_mechanism == "OAUTHBEARER":
        source = token_source(kafka)
        source.current()
        config |= {"sasl.mechanism": kafka.sasl_mechanism, "oauth_cb": lambda _config: tuple(source.current())}
    elif kafka.sasl_mechanism:
        config |= {
            "sasl.mechanism": kafka.sasl_mechanism,
            "sasl.username": kafka.sasl_username or "",
            "sasl.password": resolve_secret(kafka.sasl_password) if kafka.sasl_password else "",
        }
    if tls_context(kafka) is not None:
        config["ssl.endpoint.identification.algorithm"] = "https"
        if kafka.ssl_ca:
            config["ssl.ca.location"] = str(kafka.ssl_ca)
        if (key := client_key(kafka)) is not None:
            config |= {"ssl.certificate.location": str(kafka.ssl_certificate), "ssl.key.pem": key.pem}
            if key.password is not None:
                config["ssl.key.password"] = key.password
    return config


def confluent_producer_config(
    settings: Settings, role: str, *, on_error: Callable[[KafkaError], None] = log_client_error
) -> dict[str, Any]:
    """As `confluent_config`, for producers: idempotent, placed as Kafka's default partitioner does."""
    return confluent_config(settings, role, on_error=on_error) | {
        "partitioner": "murmur2_random",
        "enable.idempotence": True,
        "acks": "all",
    }


def aiokafka_config(settings: Settings, role: str) -> dict[str, Any]:
    """The connection arguments of every aiokafka consumer, producer and admin client of ours.

    Producers add `max_request_size=max_batch_bytes(settings)`; aiokafka's default partitioner is Kafka's."""
    aiokafka_patches.install(settings.kafka)
    batches.install(max(settings.limits.batch_bytes, max_batch_bytes(settings)))
    kafka = settings.kafka
    config: dict[str, Any] = {
        "bootstrap_servers": bootstrap_servers(settings),
        "client_id": client_name(settings, role),
        "security_protocol": kafka.security_protocol,
    }
    if kafka.sasl_mechanism == "OAUTHBEARER":
        provider = TokenProvider(token_source(kafka))
        config |= {"sasl_mechanism": kafka.sasl_mechanism, "sasl_oauth_token_provider": provider}
    elif kafka.sasl_mechanism:
        config |= {
            "sasl_mechanism": kafka.sasl_mechanism,
            "sasl_plain_username": kafka.sasl_username or "",
            "sasl_plain_password": resolve_secret(kafka.sasl_password) if kafka.sasl_password else "",
        }
    if (context := tls_context(kafka)) is not None:
        config["ssl_context"] = context
    return config


class FetchWait:
    """How long the broker may hold a fetch of `consumer` that finds nothing: `busy_ms` while records come, for new ones
    of a partition that was just read wait behind a fetch for the others; `idle_ms` when none have come for some
    seconds, for every fetch costs the broker and us."""

    def __init__(
        self, consumer: AIOKafkaConsumer, *, busy_ms: int = 100, idle_ms: int = 1000, idle_after_s: float = 10.0
    ) -> None:
        self._consumer = consumer
        self._busy_ms = busy_ms
        self._idle_ms = idle_ms
        self._idle_after_s = idle_after_s
        self._last = time.monotonic()
        self._set(busy_ms)

    @property
    def idle(self) -> bool:
        return self._current == self._idle_ms

    def note(self, found: bool) -> None:
        """Take notice of a fetch that found records, or none."""
        if found:
            self._last = time.monotonic()
            if self._current != self._busy_ms:
                self._set(self._busy_ms)
        elif self._current != self._idle_ms and time.monotonic() - self._last > self._idle_after_s:
            self._set(self._idle_ms)

    def _set(self, wait_ms: int) -> None:
        self._current = wait_ms
        fetcher = self._consumer._fetcher  # noqa: SLF001 - it is read again for every fetch, and there is no public way to set it
        if fetcher is not None:
            fetcher._fetch_max_wait_ms = wait_ms  # noqa: SLF001


async def stop_consumer(consumer: AIOKafkaConsumer) -> None:
    """Stops `consumer`, by force if it does not end within some seconds. Raises nothing of its own.

    aiokafka's `stop` cancels its tasks and waits for them, so while a broker is away it raises CancelledError at
    its caller, and leaves its connections open."""
    stopping = asyncio.ensure_future(consumer.stop())
    await asyncio.wait({stopping}, timeout=_STOP_S)
    if not stopping.done():
        stopping.cancel()
        await asyncio.wait({stopping}, timeout=_STOP_S)
    if stopping.done() and not stopping.cancelled() and stopping.exception() is None:
        return
    _log.debug("consumer_stopped_by_force", client=consumer._client._client_id)  # noqa: SLF001 - there is no public way to end it
    if consumer._fetcher is not None:  # noqa: SLF001
        for task in consumer._fetcher._pending_tasks:  # noqa: SLF001
            task.cancel()
    closing = asyncio.ensure_future(consumer._client.close())  # noqa: SLF001
    await asyncio.wait({closing}, timeout=_STOP_S)
    if closing.done() and not closing.cancelled() and (error := closing.exception()) is not None:
        _log.debug("connection_closed_already", error=repr(error))


async def stop_producer(producer: AIOKafkaProducer) -> None:
    """Stops `producer`, by force if the broker does not let it: aiokafka's waits for its records to be taken, however
    long."""
    stopping = asyncio.ensure_future(producer.stop())
    await asyncio.wait({stopping}, timeout=_LAST_RECORDS_S)
    if not stopping.done():
        producer._message_accumulator.fail_all(ProducerClosed())  # noqa: SLF001 - or it would wait for them, for ever and without us
        ending = {stopping, producer._sender.sender_task} - {None}  # noqa: SLF001 - there is no public way to end it
        while not all(task.done() for task in ending):
            for task in ending - {stopping}:
                task.cancel()  # once to end its loop, again to end what the loop waits for
            await asyncio.wait(ending, timeout=0.1)
    if not stopping.cancelled() and (error := stopping.exception()) is not None:
        _log.warning("producer_close_failed", error=repr(error))
