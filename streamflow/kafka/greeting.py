"""Whether the brokers of the settings let this client in, asked before anything else is: by a connection as every
client makes it, and one request.

Kafka's clients try again for ever, for a broker may be away for a while. A wrong password or certificate does not pass
by itself, and is reported here within seconds.
"""

from __future__ import annotations

import asyncio
import ssl
from typing import Any

from aiokafka import conn
from aiokafka.errors import KafkaConnectionError, KafkaError
from aiokafka.protocol.metadata import MetadataRequest

from streamflow.errors import OperationError
from streamflow.kafka.aiokafka_patches import Connection, run_and_disconnect
from streamflow.kafka.connection import aiokafka_config
from streamflow.kafka.refusals import refusal, sasl_expected, tls_expected, tls_not_spoken
from streamflow.settings import Kafka, Settings

_ANSWER_S = 10.0
_REPEATS = 2  # a broker that is being stopped closes connections, too


def require_welcome(settings: Settings) -> None:
    """Returns when one of the brokers lets this client in, or when all that did not are merely away. For use outside of
    an event loop; takes milliseconds, or some seconds when brokers do not answer.

    Raises OperationError (`tls_...`, `sasl_...`, `oauth_...`, `broker_host_unknown`, `secret_missing`)."""
    run_and_disconnect(_require(settings))


async def _require(settings: Settings) -> None:
    config = aiokafka_config(settings, "greeting")
    hosts = conn.collect_hosts(config.pop("bootstrap_servers"), randomize=False)
    refused: OperationError | None = None
    for host, port, _ in hosts:
        try:
            async with asyncio.timeout(_ANSWER_S):
                await _greet(settings, config, host, port)
            return
        except OperationError as error:
            refused = refused or error
        except (KafkaError, OSError, TimeoutError) as error:
            refused = refused or refusal(error, settings.kafka, f"{host}:{port}")
    if refused is not None:
        raise refused


async def _greet(settings: Settings, config: dict[str, Any], host: str, port: int) -> None:
    """Raises OperationError, KafkaError or OSError."""
    for attempt in range(1, _REPEATS + 1):
        connection = _Greeting(host, port, **config)
        try:
            await connection.connect()
            try:
                await connection.send(MetadataRequest([]))
            finally:
                await connection.close()
            return
        except (KafkaConnectionError, ConnectionResetError) as error:
            if refusal(error, settings.kafka, f"{host}:{port}") is not None:
                raise
            if attempt == _REPEATS:
                if (found := await _closed(connection, settings.kafka, host, port)) is not None:
                    raise found from error
                raise


async def _closed(connection: Connection, kafka: Kafka, host: str, port: int) -> OperationError | None:
    """What it means that a broker closed the connection, twice; None if that says nothing: a proxy without a broker
    behind it does so, too."""
    place = f"{host}:{port}"
    if connection.greeted:
        return sasl_expected(kafka, place)
    if kafka.security_protocol in ("SSL", "SASL_SSL"):
        return tls_not_spoken(kafka, place) if await _speaks_plainly(host, port) else None
    return tls_expected(kafka, place) if await _speaks_tls(host, port) else None


async def _speaks_plainly(host: str, port: int) -> bool:
    """Whether a broker answers there without TLS. It is sent nothing but the version of the protocol."""
    connection = _Greeting(host, port)
    try:
        await connection.connect()
    except (KafkaError, OSError):
        return False
    await connection.close()
    return True


class _Greeting(Connection):
    """Its refusal is raised, so the log need not report it."""

    def log_refusal(self, refused: OperationError, place: str) -> None:
        return


async def _speaks_tls(host: str, port: int) -> bool:
    """Whether what listens there greets back in TLS. It is sent nothing."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        _, writer = await asyncio.open_connection(host, port, ssl=context)
    except ssl.SSLError as error:
        return "ALERT" in (error.reason or "")
    except OSError:
        return False
    writer.transport.abort()  # a polite end over TLS takes a round trip
    return True
