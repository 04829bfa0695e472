"""Who gets in, and with how much: the host that was asked for, the origin of a page, who asks, the bytes of a
body and the time for it, and the requests at the same time. Before any route is looked for."""

from __future__ import annotations

import asyncio
import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from streamflow.core.metrics import Metrics, NoMetrics
from streamflow.errors import OperationError, Rejected, StreamflowError
from streamflow.operations.callbacks import API_PATH
from streamflow.sidecar.identity import Identity
from streamflow.sidecar.pages import is_page
from streamflow.sidecar.problems import problem_of

_HEALTH = f"{API_PATH}/health"
# These carry their own token, disclose nothing, or are for the log-in.
_OPEN = (f"{API_PATH}/callbacks/", _HEALTH, f"{API_PATH}/session/", f"{API_PATH}/shared/")
_BODILESS = frozenset({"GET", "HEAD", "OPTIONS"})
_LOG_IN = f"{API_PATH}/session"
_HOST = re.compile(r"(?P<name>\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9._-]{1,253})(:[0-9]{1,5})?")
_HOST_LENGTH = 300
_POLICY, _AGAIN_LATER = 1008, 1013  # RFC 6455, section 7.4.1, and the registry of close codes


class TooLarge(Rejected):
    """A body of more bytes than are taken."""

    def __init__(self, limit: int) -> None:
        super().__init__(
            "body_too_large",
            f"The body has more than {limit} bytes, which is the limit. Send less, or a reference to the data.",
        )


class TooSlow(Rejected):
    """A body that does not come to its end."""

    def __init__(self, seconds: float) -> None:
        super().__init__("request_timeout", f"The body was not complete within {seconds:g} s. Send the request again.")


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardLimits:
    """What one request, and all of them, may take."""

    body_bytes: int
    """Bytes of a body."""

    body_s: float
    """Seconds until it is complete."""

    requests: int
    """How many requests are served at the same time. One counts from the end of its body to the head of its answer, so
    that incomplete requests, slow readers and streams block no others. `/health` never counts."""


def is_loopback(host: str) -> bool:
    """Whether `host`, a name or an address, is this machine itself."""
    address = _address(host)
    return address.is_loopback if address is not None else host == "localhost"


def is_open(method: str, path: str) -> bool:
    """Whether a request needs no principal."""
    return path.startswith(_OPEN) or (method == "POST" and path == _LOG_IN)


class Guard:
    """ASGI middleware.

    Every request but the open ones and those of pages has a principal, which `identity` finds. The `Host` of a request
    is one of `hosts` or of this machine, or where people must say who they are any address: a page that reaches this
    address under another name (DNS rebinding) names that. A page that was loaded from elsewhere names its origin,
    which is the same host, or one of `hosts`. What is not admitted is answered with a problem."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        identity: Identity,
        hosts: frozenset[str],
        limits: GuardLimits,
        metrics: Metrics | None = None,
    ) -> None:
        self._app = app
        self._identity = identity
        self._hosts = frozenset(host.lower().strip("[]") for host in hosts)
        self._limits = limits
        self._metrics = metrics if metrics is not None else NoMetrics()
        self._serving = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await self._connect(scope, receive, send)
            return
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        send = _unsniffed(send)
        counted = scope["path"] != _HEALTH
        body = _Body(receive, send, self._limits, _Slot(self._serve, self._served) if counted else _Slot())
        try:
            headers = Headers(scope=scope)
            await self._admit(scope, headers)
            if not _has_body(scope["method"], headers):
                body.slot.enter()
        except StreamflowError as error:
            await self._refuse(error, scope, receive, send)
            return
        try:
            await self._app(scope, body.receive, body.send)
        except Exception:
            if body.fault is None:
                raise
        finally:
            body.slot.leave()
        if body.fault is not None and not body.answered:
            await self._refuse(body.fault, scope, receive, send)

    async def _refuse(self, error: StreamflowError, scope: Scope, receive: Receive, send: Send) -> None:
        self._metrics.count("requests_refused", code=error.code)
        await refuse(error, scope, receive, send)

    def _serve(self) -> None:
        """One more request is complete. Raises OperationError if that is too many."""
        if self._serving >= self._limits.requests:
            raise OperationError(
                "too_busy",
                f"{self._serving} requests are being served, which is the limit. Send the request again in a second.",
            )
        self._serving += 1

    def _served(self) -> None:
        self._serving -= 1

    async def _connect(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Admits a WebSocket. A browser sends cookies with one to any site's page, and the page's origin too."""
        headers = Headers(scope=scope)
        try:
            self._require_host(headers)
            if "authorization" not in headers and "origin" not in headers:
                raise Rejected("csrf_refused", "A WebSocket without a token must name its page. Send an Origin.")
            scope["principal"] = await self._identity.principal(headers, "GET")
        except StreamflowError as error:
            await self._refuse(error, scope, receive, send)
            return
        await self._app(scope, receive, send)

    async def _admit(self, scope: Scope, headers: Headers) -> None:
        """Raises Rejected, OperationError unless the request may be looked at."""
        self._require_host(headers)
        if not is_page(scope["path"]) and not is_open(scope["method"], scope["path"]):
            scope["principal"] = await self._identity.principal(headers, scope["method"])
        length = headers.get("content-length", "0")
        if not (length.isascii() and length.isdigit()):
            raise Rejected("bad_request", "The header Content-Length is not a whole number. Send the size of the body.")
        if len(length) > 18 or int(length) > self._limits.body_bytes:
            raise TooLarge(self._limits.body_bytes)

    def _require_host(self, headers: Headers) -> None:
        """Raises Rejected: `host_invalid`, `host_unknown`."""
        host = headers.get("host", "")
        name = _host_name(host)
        if name is None or len(headers.getlist("host")) > 1:
            raise Rejected(
                "host_invalid",
                f"The header Host is {host[:100]!a}, which is not a name or address. Send the host of the URL.",
            )
        if not self._is_known(name):
            raise Rejected(
                "host_unknown",
                f"The header Host is {host[:100]!a}, under which this sidecar is not known. Use its address, or add "
                "the host to sidecar.hosts.",
            )
        origin = headers.get("origin")
        if origin is not None and not self._may_ask(origin, host):
            raise Rejected(
                "host_unknown",
                f"A page of {origin[:100]!a} sent the request, and only pages of this host may. Add its host to "
                "sidecar.hosts if it should be allowed.",
            )

    def _is_known(self, name: str) -> bool:
        if name in self._hosts or is_loopback(name):
            return True
        return _address(name) is not None and not self._identity.is_open()

    def _may_ask(self, origin: str, host: str) -> bool:
        scheme, _, place = origin.partition("://")
        if scheme not in ("http", "https"):
            return False
        return place.lower() == host.lower() or _host_name(place) in self._hosts


def _host_name(host: str) -> str | None:
    """The name or address in a `Host` (RFC 9110, section 7.2), in small letters; None if it is neither."""
    found = _HOST.fullmatch(host) if len(host) <= _HOST_LENGTH else None
    if found is None:
        return None
    name = found["name"].lower()
    if name.startswith("["):
        address = _address(name)
        return name.strip("[]") if address is not None and address.version == 6 else None
    return name.rstrip(".") or None


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return None


async def refuse(error: StreamflowError, scope: Scope, receive: Receive, send: Send) -> None:
    """Answers with the problem that `error` is. Where a server cannot answer the handshake of a WebSocket so, it is
    closed with the code of the error as reason."""
    if scope["type"] == "websocket" and "websocket.http.response" not in scope.get("extensions", {}):
        code = _AGAIN_LATER if isinstance(error, OperationError) else _POLICY
        await send({"type": "websocket.close", "code": code, "reason": error.code})
        return
    await problem_of(error)(scope, receive, send)


def _unsniffed(send: Send) -> Send:
    """Has browsers take no answer for another kind than it says: most of them show what strangers wrote."""

    async def answered(message: Message) -> None:
        if message["type"] == "http.response.start":
            MutableHeaders(scope=message).setdefault("x-content-type-options", "nosniff")
        await send(message)

    return answered


def _has_body(method: str, headers: Headers) -> bool:
    """Whether the application will read a body before it works. It reads none of a method that has no use for one."""
    if method in _BODILESS:
        return False
    return "transfer-encoding" in headers or int(headers.get("content-length", "0")) > 0


class _Slot:
    """The place of one request among those that are served. Without functions it does not count."""

    def __init__(self, serve: Callable[[], None] | None = None, served: Callable[[], None] | None = None) -> None:
        self._serve, self._served = serve, served
        self._taken = False

    def enter(self) -> None:
        """Takes it, once. Raises OperationError when there is none."""
        if self._serve is not None and not self._taken:
            self._serve()
            self._taken = True
            self._serve = None

    def leave(self) -> None:
        """Gives it up, for good."""
        self._serve = None
        if self._taken and self._served is not None:
            self._served()
            self._taken = False


class _Body:
    """What a request's body may take. Once it takes more, `fault` says so, and the application's own answer, which
    knows only of a body that broke off, is not sent."""

    def __init__(self, receive: Receive, send: Send, limits: GuardLimits, slot: _Slot) -> None:
        self.fault: StreamflowError | None = None
        self.slot = slot
        self.answered = False  # an answer has begun
        self._receive = receive
        self._send = send
        self._limits = limits
        self._ends: float | None = None
        self._read = 0
        self._complete = False

    async def receive(self) -> Message:
        """The next part. Raises Rejected, OperationError."""
        if self._complete:
            return await self._receive()  # the end of the connection
        if self._ends is None:
            self._ends = asyncio.get_running_loop().time() + self._limits.body_s
        try:
            async with asyncio.timeout_at(self._ends):
                message = await self._receive()
        except TimeoutError:
            self.fault = TooSlow(self._limits.body_s)
            raise self.fault from None
        if message["type"] != "http.request":
            self.fault = Rejected("bad_request", "The connection ended within the body. Send the request again.")
            raise self.fault
        self._read += len(message.get("body", b""))
        if self._read > self._limits.body_bytes:
            self.fault = TooLarge(self._limits.body_bytes)
            raise self.fault
        self._complete = not message.get("more_body", False)
        if self._complete:
            try:
                self.slot.enter()
            except StreamflowError as error:
                self.fault = error
                raise
        return message

    async def send(self, message: Message) -> None:
        """Passes the application's answer on, unless the body has a fault."""
        if self.fault is None or self.answered:
            self.answered = True
            self.slot.leave()  # the work is done; its reader may take as long as the connection's limits allow
            await self._send(message)
