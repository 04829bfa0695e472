"""Who gets in, and with how much: the bearer token, the host that was asked for, and the bytes of a body. Before any
route is looked for."""

from __future__ import annotations

import hmac
import ipaddress
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from streamflow.errors import Rejected
from streamflow.operations.callbacks import API_PATH
from streamflow.sidecar.principal import LOCAL, TOKEN, Principal
from streamflow.sidecar.problems import problem_of

OPEN = (f"{API_PATH}/callbacks/", f"{API_PATH}/health")  # these carry a token of their own, or tell nothing


class TooLarge(Rejected):
    """A body of more bytes than are taken."""

    def __init__(self, limit: int) -> None:
        super().__init__(
            "body_too_large",
            f"expected a body of at most {limit} bytes but it has more; do send less, or a reference to it",
        )


def is_loopback(host: str) -> bool:
    """Whether `host`, a name or an address, is this machine itself."""
    try:
        return host == "localhost" or ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


class Guard:
    """ASGI middleware. With a `token` every request but those of OPEN carries it. Without one only people of this
    machine may ask, and no web page on their behalf: a page that was loaded from elsewhere names its origin, or (by a
    name of its own for this address) another host."""

    def __init__(self, app: ASGIApp, *, token: str | None, body_bytes: int) -> None:
        self._app = app
        self._token = token.encode() if token is not None else None
        self._body_bytes = body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        try:
            if not scope["path"].startswith(OPEN):
                scope["principal"] = self._principal(headers)
            if int(headers.get("content-length") or 0) > self._body_bytes:
                raise TooLarge(self._body_bytes)
            await self._app(scope, _limited(receive, self._body_bytes), send)
        except Rejected as error:
            # Only from here: what routes raise is answered by the handlers of the app, but a body may grow too large
            # while it is read.
            await problem_of(error)(scope, receive, send)

    def _principal(self, headers: Headers) -> Principal:
        """Who asks. Raises Rejected."""
        if self._token is None:
            _require_local(headers)
            return LOCAL
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not given:
            raise Rejected(
                "token_missing",
                "expected the header `Authorization: Bearer TOKEN` but it is not there; do send the sidecar's token",
            )
        if not hmac.compare_digest(given.strip().encode(), self._token):
            raise Rejected("token_wrong", "expected the sidecar's token but found another; do send the right one")
        return TOKEN


def _require_local(headers: Headers) -> None:
    host = headers.get("host", "")
    if not is_loopback(urlsplit(f"//{host}").hostname or ""):
        raise Rejected(
            "host_unknown",
            f"expected to be asked as localhost but found {host[:100]!r}; do set a token to be reached under other "
            "names",
        )
    origin = headers.get("origin")
    if origin is not None and urlsplit(origin).netloc != host:
        raise Rejected(
            "host_unknown",
            f"expected no web page of another place to ask but found {origin[:100]!r}; do set a token, and send it",
        )


def _limited(receive: Receive, limit: int) -> Receive:
    """`receive`, which raises TooLarge when a body goes beyond `limit` although its length was not said."""
    read = 0

    async def limited() -> Message:
        nonlocal read
        message = await receive()
        read += len(message.get("body", b""))
        if read > limit:
            raise TooLarge(limit)
        return message

    return limited
