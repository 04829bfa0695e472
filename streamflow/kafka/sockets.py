"""What aiokafka leaves out about its connections: noticing that the other end is gone without a word, and that one was
closed a moment ago.

**Silence.** A firewall or a NAT that forgets a connection, a host that is cut off: nobody tells the client, and a
request that is under way is waited for until aiokafka's `request_timeout_ms`, 40 s (measured: an engine and ingress
stood still for 39 s after their interface was down for 2 s). Shorter timeouts of requests would also end what only
takes long, a join of a group or a batch during a broker's restart. So the kernel is asked to watch: it probes what is
silent (tcp(7), TCP_KEEPIDLE and its like) and gives up what is not acknowledged (TCP_USER_TIMEOUT, RFC 5482). A broker
that stands still but whose host lives still acknowledges.

**Closed.** asyncio's own transports ignore what is written after the end; uvloop's raise RuntimeError, which aiokafka
does not take for a lost connection (seen: a task worker that ended when its broker was killed).
"""

from __future__ import annotations

import asyncio
import socket
from typing import Any

from aiokafka import conn
from aiokafka.errors import KafkaConnectionError

SILENT_S = 10
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
        connection: Any = transport.get_extra_info("socket")
        if connection is not None:
            watch(connection)


class Connection(conn.AIOKafkaConnection):  # type: ignore[misc]
    """aiokafka's connection; writing to one that was closed a moment ago is a KafkaConnectionError in every event
    loop."""

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


def install() -> None:
    """From now on all connections of aiokafka in this process are such. It has no setting for it, and makes them
    itself."""
    conn.AIOKafkaProtocol = WatchedProtocol
    conn.AIOKafkaConnection = Connection
