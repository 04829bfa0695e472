"""HTTP connections with deadlines, a bound on their number and on the bytes of a request's head.

uvicorn has a time limit for connections that are idle between two requests, and none for those that never send a whole
one; its limit of connections refuses the newest, so that anyone who holds enough of them shuts everybody out. Here a
connection has a deadline for its request's head (RFC 9112, section 9.5: a server should have one) and for reading what
it was sent. Above the limit the one that has waited longest, for a request or for its reader, is closed. What readers
have not taken is bounded in bytes, over all connections. Every connection that is ended so is counted.

What is no HTTP is answered with a problem (RFC 9457), and a head that is too large with 431 (RFC 6585).
"""

from __future__ import annotations

import asyncio
import sys
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Protocol

import h11
import structlog
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.wsproto_impl import WSProtocol

from streamflow.core.metrics import Metrics, NoMetrics
from streamflow.sidecar.problems import problem

_log = structlog.get_logger(__name__)

HEAD_BYTES = 32_768  # request line and headers
UNREAD_BYTES = 64 << 20  # of answers that wait for their readers, in one process
_CLOSE_GRACE_S = 1.0  # beyond the deadline of a body, for the answer that says so


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionLimits:
    """What a connection may take."""

    connections: int
    """How many there may be at the same time."""

    head_s: float
    """Seconds until a request's head is complete, from the beginning of the connection or the end of the last answer;
    also the seconds that an answer may wait for its reader."""

    body_s: float
    """Seconds from the head until the body is complete."""


class _Connection(H11Protocol):
    """One connection. `limits`, `metrics`, `waiting` and `unread` belong to the server: `protocols` sets them."""

    limits: ConnectionLimits
    metrics: Metrics
    waiting: dict[_Connection, None]
    """Connections without a complete request, that which has waited longest first."""

    unread: Unread
    """Connections whose client has not read what it was sent."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._reading: asyncio.TimerHandle | None = None
        self._followed: object = None  # what is waited for, and in which request, by the deadline that is set
        super().connection_made(transport)
        if len(self.connections) > self.limits.connections:
            longest = next(iter(self.waiting), None) or self.unread.longest() or self
            _log.warning("connection_refused", connections=len(self.connections), newest=longest is self)
            _count(self.metrics, "newest" if longest is self else "longest")
            longest.transport.abort()
            if longest is self:
                return
        self._follow()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        self.unread.forget(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._follow()

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        self._stop_waiting()
        self.unread.forget(self)
        super().handle_websocket_upgrade(event)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._follow()

    def pause_writing(self) -> None:
        super().pause_writing()
        self.unread.add(self)

    def resume_writing(self) -> None:
        super().resume_writing()
        self.unread.forget(self)

    def send_400_response(self, msg: str) -> None:
        """Called while what h11 raised is handled: it says which status is meant."""
        error = sys.exc_info()[1]
        status = error.error_status_hint if isinstance(error, h11.RemoteProtocolError) else 400
        if status == 431:
            said = f"The request line and headers have more than {HEAD_BYTES} bytes. Send less."
            self._answer(431, "head_too_large", said)
        else:
            self._answer(
                400, "bad_request", f"The bytes are not an HTTP request: {str(error or msg)[:200]}. Send HTTP/1.1."
            )

    def _follow(self) -> None:
        """Sets the deadline of what is waited for now: a head, the rest of a body, or nothing."""
        state = self.conn.their_state
        phase = state if state in (h11.IDLE, h11.SEND_BODY) and not self.transport.is_closing() else None
        answered = self.cycle is not None and self.cycle.response_complete
        if (phase, self.cycle, answered) == self._followed:
            return
        self._stop_waiting()
        self._followed = phase, self.cycle, answered
        if phase is not None:
            seconds = self.limits.head_s
            if phase is h11.SEND_BODY:  # after its answer there is only time to read that
                seconds = _CLOSE_GRACE_S if answered else self.limits.body_s + _CLOSE_GRACE_S
            self.waiting[self] = None
            self._reading = self.loop.call_later(seconds, self._expire)

    def _expire(self) -> None:
        self._reading = None
        if self.transport.is_closing():
            return
        begun = self.conn.their_state is h11.IDLE and self.conn.trailing_data[0]
        body = self.conn.their_state is h11.SEND_BODY
        _count(self.metrics, "head" if begun else "body" if body else "idle")
        if begun:
            said = f"The request's head was not complete within {self.limits.head_s:g} s. Send it again."
            self._answer(408, "request_timeout", said)
        else:
            self.transport.abort()

    def _answer(self, status: int, code: str, detail: str) -> None:
        """Answers what cannot be a request, and closes."""
        cycle = self.cycle
        if cycle is not None and not cycle.response_complete:
            cycle.disconnected = True  # what the application still says has no reader
            cycle.message_event.set()
            if cycle.response_started:
                self.transport.close()
                return
        body = bytes(problem(status, code, detail).body)
        headers = [
            (b"content-type", b"application/problem+json"),
            (b"content-length", str(len(body)).encode()),
            (b"connection", b"close"),
        ]
        parts: tuple[Any, ...] = (
            h11.Response(status_code=status, headers=headers, reason=HTTPStatus(status).phrase.encode()),
            h11.Data(data=body),
            h11.EndOfMessage(),
        )
        try:
            for part in parts:
                self.transport.write(self.conn.send(part) or b"")
        except h11.LocalProtocolError as error:
            _log.debug("problem_not_sent", status=status, error=str(error))
        self.transport.close()

    def _stop_waiting(self) -> None:
        _cancel(self._reading)
        self.waiting.pop(self, None)


def _count(metrics: Metrics, why: str) -> None:
    metrics.count("connections_ended", reason=why)


def _cancel(timer: asyncio.TimerHandle | None) -> None:
    if timer is not None:
        timer.cancel()


class _Writing(Protocol):
    """A connection that writes."""

    loop: asyncio.AbstractEventLoop
    transport: Any


class Unread:
    """The connections of a server whose client does not read what it was sent. Each has `seconds` for it, and all
    together may hold `limit` bytes; above that the one that has waited longest is cut off."""

    def __init__(self, seconds: float, limit: int, metrics: Metrics) -> None:
        self._seconds, self._limit, self._metrics = seconds, limit, metrics
        self._timers: dict[_Writing, asyncio.TimerHandle] = {}

    def longest(self) -> Any:
        """The one that has waited longest; None if there is none."""
        return next(iter(self._timers), None)

    def add(self, connection: _Writing) -> None:
        """Its client has begun not to read."""
        if connection not in self._timers:
            self._timers[connection] = connection.loop.call_later(self._seconds, self._cut, connection, "unread")
        held = {one: one.transport.get_write_buffer_size() for one in self._timers}
        excess = sum(held.values()) - self._limit
        for one, size in held.items():
            if excess <= 0:
                return
            excess -= size
            self._cut(one, "unread_bytes")

    def forget(self, connection: _Writing) -> None:
        """It has read, or is gone."""
        _cancel(self._timers.pop(connection, None))

    def _cut(self, connection: _Writing, why: str) -> None:
        self.forget(connection)
        _count(self._metrics, why)
        connection.transport.abort()


class _Socket(WSProtocol):
    """A WebSocket (RFC 6455). A reader that takes nothing for as long as an answer may wait is cut off."""

    unread: Unread

    def pause_writing(self) -> None:
        super().pause_writing()
        self.unread.add(self)

    def resume_writing(self) -> None:
        super().resume_writing()
        self.unread.forget(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.unread.forget(self)
        super().connection_lost(exc)


def protocols(limits: ConnectionLimits, metrics: Metrics | None = None) -> tuple[type[H11Protocol], type[WSProtocol]]:
    """The protocols of one server, for `http` and `ws` of `uvicorn.Config`; with them goes
    `h11_max_incomplete_event_size=HEAD_BYTES`. `metrics` count the connections that are ended."""
    told = metrics if metrics is not None else NoMetrics()
    unread = Unread(limits.head_s, UNREAD_BYTES, told)
    shared = {"limits": limits, "metrics": told, "waiting": {}, "unread": unread}
    return type("Connection", (_Connection,), shared), type("Socket", (_Socket,), {"unread": unread})
