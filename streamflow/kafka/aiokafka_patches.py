"""Adds TCP keepalive and the handling of closed transports to aiokafka's connections.

**Silence.** A firewall or a NAT that forgets a connection, a host that is cut off: the client is not notified, and a
request that is under way is waited for until aiokafka's `request_timeout_ms`, 40 s (measured: an engine and ingress
stood still for 39 s after their interface was down for 2 s). Shorter timeouts of requests would also end what only
takes long, a join of a group or a batch during a broker's restart. So the kernel is asked to watch: it probes what is
silent (tcp(7), TCP_KEEPIDLE and its like) and gives up what is not acknowledged (TCP_USER_TIMEOUT, RFC 5482). A broker
that stands still but whose host lives still acknowledges.

**Closed.** asyncio's own transports ignore what is written after the end; uvloop's raise RuntimeError, which aiokafka
does not take for a lost connection (seen: a task worker that ended when its broker was killed).

**Refused.** A client that a broker does not let in gets "unable to bootstrap", and why only in a line of aiokafka's
own log. The reason is logged here with its code, for every client and every attempt, a few times a minute.

**Ended.** aiokafka waits for the end of most of its connections, but not of those that it gave up or only bootstrapped
from. Over TLS an end takes a round trip, and a loop that ends before it leaves the socket open. `run_and_disconnect`
waits for all.
"""

from __future__ import annotations

import asyncio
import socket
import time
import weakref
from collections.abc import Coroutine
from typing import Any, TypeVar

import structlog
from aiokafka import conn
from aiokafka.errors import KafkaConnectionError, KafkaError, SaslAuthenticationFailed

from streamflow.errors import OperationError
from streamflow.kafka.refusals import refusal
from streamflow.settings import Kafka

_log = structlog.get_logger(__name__)
T = TypeVar("T")

SILENT_S = 10
_LOG_EVERY_S = 15.0  # between two lines about the same refusal
_ENDING_S = 1.0  # for a broker to answer that a connection over TLS ends; then it is cut
_of_process = Kafka()
_logged_s: dict[tuple[str, str], float] = {}
_protocols: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, weakref.WeakSet[WatchedProtocol]]
_protocols = weakref.WeakKeyDictionary()  # of each loop, as loops are of threads
_OPTIONS = {
    "TCP_KEEPIDLE": SILENT_S // 2,
    "TCP_KEEPINTVL": 1,
    "TCP_KEEPCNT": SILENT_S // 2,
    "TCP_USER_TIMEOUT": SILENT_S * 1000,
}


def watch(connection: socket.socket) -> None:
    """Has `connection` fail when its other end is silent for `SILENT_S`. An option that this system does not have is
    left out."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _OPTIONS.items():
        if (option := getattr(socket, name, None)) is not None:
            connection.setsockopt(socket.IPPROTO_TCP, option, value)


class WatchedProtocol(conn.AIOKafkaProtocol):  # type: ignore[misc] # aiokafka has no types
    """aiokafka's protocol, whose connection is watched."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.transport: Any = transport
        loop = asyncio.get_running_loop()
        self.ended = loop.create_future()
        _protocols.setdefault(loop, weakref.WeakSet()).add(self)
        connection: Any = transport.get_extra_info("socket")
        if connection is not None:
            watch(connection)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if not self.ended.done():
            self.ended.set_result(None)


class _OAuth(conn.OAuthAuthenticator):  # type: ignore[misc]
    """aiokafka takes the broker's refusal of a token, which is an answer (RFC 7628, 3.2.3), for a success."""

    async def step(self, payload: bytes | None) -> Any:
        if payload:
            raise SaslAuthenticationFailed(f"the token was refused: {payload.decode(errors='replace')[:200]}")
        return await super().step(payload)


class Connection(conn.AIOKafkaConnection):  # type: ignore[misc]
    """aiokafka's connection; writing to one that was closed a moment ago is a KafkaConnectionError in every event
    loop, and a broker that refuses this client is reported in the log."""

    async def connect(self) -> Any:
        try:
            return await super().connect()
        except (KafkaError, OSError, OperationError) as error:
            place = f"{self._host}:{self._port}"
            if (refused := refusal(error, _of_process, place)) is not None:
                self.log_refusal(refused, place)
            raise

    @property
    def greeted(self) -> bool:
        """Whether a broker has answered here, if only about the versions of its protocol."""
        return bool(self._versions)

    def log_refusal(self, refused: OperationError, place: str) -> None:
        """Takes notice that the broker at `place` does not let this client in."""
        now, before = time.monotonic(), _logged_s.get((refused.code, place))
        if before is None or now - before > _LOG_EVERY_S:
            _logged_s[refused.code, place] = now
            _log.error("broker_refuses_client", code=refused.code, broker=place, error=refused.message)

    def authenticator_oauth(self) -> Any:
        return _OAuth(sasl_oauth_token_provider=self._sasl_oauth_token_provider)

    def send(self, request: Any, expect_response: bool = True) -> Any:
        try:
            return super().send(request, expect_response)
        except RuntimeError as error:
            raise self._lost(error) from error

    def _send_sasl_token(self, payload: bytes, expect_response: bool = True) -> Any:
        try:
            return super()._send_sasl_token(payload, expect_response)
        except RuntimeError as error:
            raise self._lost(error) from error

    def _lost(self, error: RuntimeError) -> Exception:
        if self._writer is None or not self._writer.transport.is_closing():
            return error
        self.close(reason=conn.CloseReason.CONNECTION_BROKEN)
        lost: Exception = KafkaConnectionError(f"Connection at {self._host}:{self._port} was closed: {error}")
        return lost


def install(kafka: Kafka) -> None:
    """From now on all connections of aiokafka in this process are such. It has no setting for it, and makes them
    itself. `kafka` are the settings that the process has, for what is logged about refusals."""
    global _of_process
    _of_process = kafka
    conn.AIOKafkaProtocol = WatchedProtocol
    conn.AIOKafkaConnection = Connection


def run_and_disconnect(work: Coroutine[Any, Any, T]) -> T:
    """As asyncio.run, for what asks a broker something and ends: returns when the connections have ended, too."""
    return asyncio.run(_until_ended(work))


async def _until_ended(work: Coroutine[Any, Any, T]) -> T:
    try:
        return await work
    finally:
        made = _protocols.pop(asyncio.get_running_loop(), None) or ()
        left = [one for one in made if not one.ended.done()]
        for protocol in left:
            if not protocol.transport.is_closing():  # a second close() over TLS makes abort() do nothing
                protocol.transport.close()
        if left:
            _, late = await asyncio.wait([one.ended for one in left], timeout=_ENDING_S)
            for protocol in left:
                if protocol.ended in late:
                    protocol.transport.abort()
            if late:
                await asyncio.wait(late, timeout=_ENDING_S)
