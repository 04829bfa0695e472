"""HTTP connections with deadlines, a bound on their number and on the bytes of a request's head.

uvicorn has a time limit for connections that are idle between two requests, and none for those that never send a whole
one; its limit of connections refuses the newest, so that anyone who holds enough of them shuts everybody out. Here a
connection has a deadline for its request's head (RFC 9112, section 9.5: a server should have one) and for reading its
answer, and above the limit the one that has waited longest for a request is closed.

What is no HTTP is answered with a problem (RFC 9457), and a head that is too large with 431 (RFC 6585).
"""

from __future__ import annotations

import asyncio
import sys
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import h11
import structlog
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.wsproto_impl import WSProtocol

from streamflow.sidecar.problems import problem

_log = structlog.get_logger(__name__)

HEAD_BYTES = 32_768  # request line and headers
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
    """One connection. `limits` and `waiting` belong to the server: `protocol` sets them."""

    limits: ConnectionLimits
    waiting: dict[_Connection, None]
    """Connections without a complete request, that which has waited longest first."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._reading: asyncio.TimerHandle | None = None
        self._writing: asyncio.TimerHandle | None = None
        self._followed: object = None  # what is waited for, and in which request, by the deadline that is set
        super().connection_made(transport)
        if len(self.connections) > self.limits.connections:
            longest = next(iter(self.waiting), self)
            _log.warning("connection_refused", connections=len(self.connections), newest=longest is self)
            longest.transport.abort()
            if longest is self:
                return
        self._follow()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        _cancel(self._writing)
        self._writing = None
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._follow()

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        self._stop_waiting()
        _cancel(self._writing)
        self._writing = None
        super().handle_websocket_upgrade(event)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._follow()

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._writing is None:
            self._writing = self.loop.call_later(self.limits.head_s, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        _cancel(self._writing)
        self._writing = None

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
        if self.conn.their_state is h11.IDLE and self.conn.trailing_data[0]:
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


def _cancel(timer: asyncio.TimerHandle | None) -> None:
    if timer is not None:
        timer.cancel()


def protocol(limits: ConnectionLimits) -> type[H11Protocol]:
    """The protocol of one server, for `uvicorn.Config(http=...)`; with it goes `h11_max_incomplete_event_size=
    HEAD_BYTES`."""
    return type("Connection", (_Connection,), {"limits": limits, "waiting": {}})


class _Socket(WSProtocol):
    """A WebSocket (RFC 6455). A reader that takes nothing for as long as an answer may wait is cut off."""

    limits: ConnectionLimits
    _writing: asyncio.TimerHandle | None = None

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._writing is None:
            self._writing = self.loop.call_later(self.limits.head_s, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        _cancel(self._writing)
        self._writing = None

    def connection_lost(self, exc: Exception | None) -> None:
        _cancel(self._writing)
        self._writing = None
        super().connection_lost(exc)


def socket_protocol(limits: ConnectionLimits) -> type[WSProtocol]:
    """The protocol of WebSockets, for `uvicorn.Config(ws=...)`."""
    return type("Socket", (_Socket,), {"limits": limits})
