"""HTTP connections with deadlines, a bound on their number and on the bytes of a request's head.

uvicorn has a time limit for connections that are idle between two requests, and none for those that never send a whole
one; its limit of connections refuses the newest, so that anyone who holds enough of them shuts everybody out. Here a
connection has a deadline for its request's head (RFC 9112, section 9.5: a server should have one) and for reading what
it was sent. Above the limit the one that has waited longest, for a request or for its reader, is closed. What readers
have not taken is bounded in bytes, over all connections. Every connection that is ended so is counted.

What is no HTTP is answered with a problem (RFC 9457), and a head that is too large with 431 (RFC 6585).

httptools parses: a request takes 80 us of a core less than with h11, which was a third of the smallest answer.
"""

from __future__ import annotations

import asyncio
import sys
from collections import deque
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

import httptools
import structlog
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.protocols.websockets.wsproto_impl import WSProtocol

from streamflow.core.metrics import Metrics, NoMetrics
from streamflow.sidecar.problems import not_http, whole_answer
from streamflow.sidecar.unread import UNREAD_BYTES, BoundedReader, Unread, cancel
from streamflow.sidecar.websockets import Socket

_log = structlog.get_logger(__name__)

HEAD_BYTES = 32_768  # request line and headers
_CLOSE_GRACE_S = 1.0  # beyond the deadline of a body, for the answer that says so
_PIPELINED = 100  # requests that wait for the answer before theirs: one read may bring thousands
_PIPELINED_BYTES = 8 * HEAD_BYTES  # of them, after which no other begins


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


class _HeadTooLarge(Exception):
    """A head, the size of a chunk or a trailer of more than `HEAD_BYTES`."""


class _Awaited(Enum):
    """What a connection waits for."""

    HEAD = auto()
    BODY = auto()
    END = auto()  # of the connection: it is closed once its client has read everything


class _Connection(BoundedReader, HttpToolsProtocol):
    """One connection. `limits`, `metrics`, `waiting` and `unread` belong to the server: `protocols` sets them."""

    limits: ConnectionLimits
    waiting: dict[_Connection, None]
    """Connections without a complete request, that which has waited longest first."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._reading: asyncio.TimerHandle | None = None
        self._followed: object = None  # what is waited for, and in which request, by the deadline that is set
        self._serving: RequestResponseCycle | None = None  # uvicorn knows the request that came last
        self._in_head = self._in_body = False
        self._head_bytes = 0  # of this head, or of a trailer
        self._unparsed = 0  # bytes since something of the request was complete
        self._received = b""  # last
        self._again: bytes | None = None  # what is to be parsed a second time
        self._piled: deque[int] = deque()  # bytes of each request in `pipeline`
        self._left = False  # the connection has ended, or is a WebSocket
        super().connection_made(transport)
        if len(self.connections) > self.limits.connections:
            longest = next(iter(self.waiting), None) or self.unread.longest() or self
            _log.warning("connection_refused", connections=len(self.connections), newest=longest is self)
            longest.end("newest" if longest is self else "longest")
            if longest is self:
                return
            self.waiting.pop(longest, None)  # connection_lost comes later: others may connect before it
            self.unread.forget(longest)
        self._follow()

    def connection_lost(self, exc: Exception | None) -> None:
        self._leave()
        self._notify_end()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():  # what comes after a request that cannot be one
            return
        self._unparsed += len(data)
        received: bytes | None = data
        while received is not None:
            self._received, self._again = received, None
            super().data_received(received)
            received = self._again
        self._received = b""
        if self._unparsed > HEAD_BYTES and not self.transport.is_closing():
            self._refuse_head()
        self._follow()

    def handle_websocket_upgrade(self) -> None:
        self._leave()
        super().handle_websocket_upgrade()

    def _unsupported_upgrade_warning(self) -> None:
        """Called while the parser's exception is handled, which says where the head ends. A request that asks for what
        is not known is an ordinary one (RFC 9110, section 7.8), but the parser would take no body of it."""
        error = sys.exc_info()[1]
        assert error is not None
        lines = [self._request_line, *(b"%s: %s" % one for one in self.headers if one[0] != b"upgrade"), b"\r\n"]
        self._again = b"\r\n".join(lines) + self._received[error.args[0] :]
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn does

    # -- what the parser finds

    def on_message_begin(self) -> None:
        if self.pipeline and (len(self.pipeline) >= _PIPELINED or sum(self._piled) > _PIPELINED_BYTES):
            raise ValueError(
                f"more than {_PIPELINED} requests, or {_PIPELINED_BYTES} bytes, wait for the answers before theirs"
            )
        super().on_message_begin()
        self._in_head, self._head_bytes = True, 0

    def on_url(self, url: bytes) -> None:
        self._weigh(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._weigh(len(name) + len(value) + 4)
        if len(name) == 17 and name.lower() == b"transfer-encoding" and value.lower().strip() != b"chunked":
            raise ValueError("the transfer encoding is not `chunked`")
        if self._in_head:  # a trailer (RFC 9110, section 6.5.1) must not become a header of the request
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._in_head, self._in_body, self._unparsed = False, True, 0
        version = self.parser.get_http_version()
        if version != "1.1":
            if version != "1.0":
                raise ValueError(f"HTTP/{version} is not spoken here")
            self.expect_100_continue = False  # RFC 9110, section 10.1.1
        if self.parser.should_upgrade():
            method = self.parser.get_method()
            if method == b"CONNECT":
                raise ValueError("CONNECT is for proxies")
            if not self._should_upgrade():
                self._request_line = b"%s %s HTTP/%s" % (method, self.url, version.encode())
                return
            if self._serving is not None and not self._serving.response_complete:
                raise ValueError("a WebSocket was asked for before the answer to the last request")
        super().on_headers_complete()
        if self.pipeline:
            self._piled.append(self._head_bytes)

    def on_chunk_header(self) -> None:
        """The size of a chunk is complete."""
        self._unparsed = self._head_bytes = 0

    def on_body(self, body: bytes) -> None:
        self._unparsed = 0
        if self._piled:
            self._piled[-1] += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._in_body, self._unparsed = False, 0
        if not self.parser.should_upgrade():  # else it is no message yet
            super().on_message_complete()

    def _weigh(self, size: int) -> None:
        self._head_bytes += size
        if self._head_bytes > HEAD_BYTES:
            raise _HeadTooLarge

    # -- answers

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._serving = cycle
        if self._piled:
            self._piled.popleft()
        super()._start_asgi_task(cycle, app if cycle.scope["http_version"] == "1.1" else _unchunked(cycle, app))

    def timeout_keep_alive_handler(self) -> None:
        super().timeout_keep_alive_handler()
        self._follow()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._follow()

    def send_400_response(self, msg: str) -> None:
        """Called while what httptools raised is handled."""
        error = sys.exc_info()[1]
        cause = error.__context__ if error is not None else None
        if isinstance(cause, _HeadTooLarge):
            self._refuse_head()
        else:
            self._answer(400, "bad_request", not_http(cause or error))

    def _refuse_head(self) -> None:
        said = f"The request line and headers have more than {HEAD_BYTES} bytes. Send less."
        self._answer(431, "head_too_large", said)

    def _awaited(self) -> _Awaited | None:
        """What the client is to send or to do now. None: its request is complete, or it has sent more than one."""
        if self.transport.is_closing():
            return _Awaited.END
        if self.pipeline:
            return None
        if self._in_body:
            return _Awaited.BODY
        return _Awaited.HEAD if self._serving is None or self._serving.response_complete else None

    def _follow(self) -> None:
        """Sets the deadline of what is waited for now: a head, the rest of a body, the end, or nothing."""
        awaited = self._awaited()
        answered = self._serving is not None and self._serving.response_complete
        if self._left or (awaited, self._serving, answered) == self._followed:
            return
        self._stop_waiting()
        self._followed = awaited, self._serving, answered
        if awaited is not None:
            seconds = self.limits.head_s
            if awaited is _Awaited.BODY:  # after its answer there is only time to read that
                seconds = _CLOSE_GRACE_S if answered else self.limits.body_s + _CLOSE_GRACE_S
            self.waiting[self] = None
            self._reading = self.loop.call_later(seconds, self._expire)

    def _expire(self) -> None:
        self._reading = None
        if self.transport.is_closing():
            self.end("unread")
            return
        if self._in_head:
            self.count_end("head")
            said = f"The request's head was not complete within {self.limits.head_s:g} s. Send it again."
            self._answer(408, "request_timeout", said)
            self._follow()
        else:
            self.end("body" if self._in_body else "idle")

    def _answer(self, status: int, code: str, detail: str) -> None:
        """Answers what cannot be a request, and closes."""
        serving = self._serving
        if serving is not None and not serving.response_complete:
            self._notify_end()
            if serving.response_started:
                self.transport.close()
                return
        self.transport.write(whole_answer(status, code, detail))
        self.transport.close()

    def _notify_end(self) -> None:
        """Notifies the request that is being served that what it still says has no reader."""
        if self._serving is not None and not self._serving.response_complete:
            self._serving.disconnected = True
            self._serving.message_event.set()

    def _leave(self) -> None:
        self._left = True
        self._stop_waiting()
        self.unread.forget(self)

    def _stop_waiting(self) -> None:
        cancel(self._reading)
        self.waiting.pop(self, None)


def _unchunked(cycle: RequestResponseCycle, app: Any) -> Any:
    """`app` for a client of HTTP/1.0, which knows no chunks (RFC 9112, section 6.1): an answer without a length ends
    with the connection."""

    async def served(scope: Any, receive: Any, send: Any) -> None:
        ends = False

        async def sent(message: Any) -> None:
            nonlocal ends
            if message["type"] == "http.response.start":
                ends = all(name.lower() != b"content-length" for name, _ in message.get("headers", ()))
                if ends:
                    cycle.chunked_encoding = False
            elif ends:
                cycle.expected_content_length = len(message.get("body", b""))
            await send(message)

        await app(scope, receive, sent)

    return served


def protocols(
    limits: ConnectionLimits, metrics: Metrics | None = None
) -> tuple[type[HttpToolsProtocol], type[WSProtocol]]:
    """The protocols of one server, for `http` and `ws` of `uvicorn.Config`. `metrics` count the connections that are
    ended."""
    counters = metrics if metrics is not None else NoMetrics()
    shared = {"metrics": counters, "unread": Unread(limits.head_s, UNREAD_BYTES)}
    connection = type("Connection", (_Connection,), {"limits": limits, "waiting": {}, **shared})
    return connection, type("Socket", (Socket,), shared)
