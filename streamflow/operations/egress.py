"""The one way out for HTTP: connects only to the address it has judged, follows redirects by judging again, and never
reads more than it may.

Names are resolved here and the connection is made to exactly those addresses, so a name that resolves otherwise a
moment later changes nothing. No proxy, no cookies, nothing from the environment. One `Egress` has one policy, and so
its kept connections are never used under another.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from streamflow.errors import OperationError
from streamflow.operations.content_coding import IDENTITY, INFLATED, Inflater
from streamflow.operations.egress_policy import Policy, check_address, check_url, parse_url, refused

Resolve = Callable[[str, int], Awaitable[list[str]]]

REDIRECTS = 5
_CONNECT_S = 10.0
# Shorter than common servers keep a connection (Node: 5 s), which would otherwise close it under a request.
_KEEP_ALIVE_S = 4.0
_CHUNK_BYTES = 64 << 10
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
# What a request to another host still says.
_CARRIED = frozenset({"accept", "accept-language", "content-type", "user-agent", "traceparent", "tracestate"})


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked: `headers` are sent to the host of `url` only. `redirects` is how many are followed, `limit_bytes`
    what may come back."""

    method: str
    url: URL
    headers: Mapping[str, str]
    body: bytes | None
    timeout_s: float
    limit_bytes: int
    redirects: int = REDIRECTS


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: header names in lower case, the last of several values apart by commas."""

    status: int
    headers: Mapping[str, str]
    body: bytes


async def system_addresses(host: str, port: int) -> list[str]:
    """The addresses that this machine knows for `host`. Raises OSError."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


class _Resolver(AbstractResolver):
    """Names to addresses that the policy allows: all of them or none, so that no order of answers matters."""

    def __init__(self, policy: Policy, resolve: Resolve) -> None:
        self._policy = policy
        self._resolve = resolve

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """As aiohttp asks for it. Raises OperationError (`url_refused`), or OSError when the name is unknown."""
        results: list[ResolveResult] = []
        for text in await self._resolve(host, port):
            address = ipaddress.ip_address(text)
            check_address(address, self._policy, host.lower().rstrip("."), port)
            kind = socket.AF_INET if address.version == 4 else socket.AF_INET6
            flags = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
            results.append(
                {"hostname": host, "host": str(address), "port": port, "family": kind, "proto": 0, "flags": flags}
            )
        if not results:
            raise OSError(f"no address of {host}")
        return results

    async def close(self) -> None:
        """Nothing is held."""


class Egress:
    """HTTP requests under one policy. Belongs to one event loop; makes its connections when they are first needed."""

    def __init__(self, policy: Policy, *, resolve: Resolve = system_addresses) -> None:
        self._policy = policy
        self._resolve = resolve
        self._session: aiohttp.ClientSession | None = None

    async def request(self, request: Request) -> Answer:
        """The answer, whatever its status.

        Raises OperationError: `url_refused`, `http_unreachable`, `http_certificate`, `http_timeout`, `http_broken_off`,
        `http_redirects`, `response_too_large`."""
        check_url(request.url, self._policy)
        try:
            async with asyncio.timeout(request.timeout_s):
                return await self._follow(request)
        except TimeoutError:
            raise OperationError(
                "http_timeout",
                f"expected an answer of {shown(request.url)} within {request.timeout_s:g} s but none came",
            ) from None

    async def close(self) -> None:
        """Closes its connections."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def _follow(self, request: Request) -> Answer:
        method, url, headers, body = request.method, request.url, dict(request.headers), request.body
        for _ in range(request.redirects + 1):
            answer = await self._once(method, url, headers, body, request.limit_bytes)
            place = answer.headers.get("location")
            if request.redirects == 0 or answer.status not in _REDIRECTS or place is None:
                return answer
            target = _target(url, place)
            check_url(target, self._policy)
            if target.origin() != url.origin():
                headers = {name: value for name, value in headers.items() if name.lower() in _CARRIED}
            if answer.status == 303 or (answer.status in (301, 302) and method == "POST"):
                method, body = ("HEAD" if method == "HEAD" else "GET"), None
                headers = {name: value for name, value in headers.items() if name.lower() != "content-type"}
            url = target
        text = (
            f"expected at most {request.redirects} redirects but {shown(request.url)} has more. Use the final address."
        )
        raise OperationError("http_redirects", text, retryable=False)

    async def _once(self, method: str, url: URL, headers: Mapping[str, str], body: bytes | None, limit: int) -> Answer:
        try:
            async with self._opened().request(
                method, url, headers=headers, data=body, allow_redirects=False
            ) as response:
                merged = {name.lower(): _joined(response.headers.getall(name)) for name in response.headers}
                if response.status in _REDIRECTS and "location" in merged:
                    return Answer(response.status, merged, b"")
                return await _whole(response, merged, limit, url)
        except aiohttp.ClientConnectorCertificateError as error:
            text = (
                f"expected a certificate of {shown(url)} that can be trusted but {error.certificate_error}. Check it."
            )
            raise OperationError("http_certificate", text, retryable=False) from error
        except (aiohttp.ClientConnectorError, ssl.SSLError, aiohttp.ConnectionTimeoutError) as error:
            raise OperationError(
                "http_unreachable", f"expected {shown(url)} to accept a connection but {_said(error)}"
            ) from error
        except (aiohttp.InvalidURL, ValueError) as error:
            # Its text may hold the query, or the value of a header.
            raise refused("a request that can be sent", f"it is refused as {type(error).__name__}") from error
        except (aiohttp.ClientError, OSError) as error:
            raise OperationError(
                "http_broken_off", f"expected a whole answer of {shown(url)} but {_said(error)}"
            ) from error

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    resolver=_Resolver(self._policy, self._resolve),
                    use_dns_cache=False,
                    limit=0,
                    keepalive_timeout=_KEEP_ALIVE_S,
                ),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_S),
                cookie_jar=aiohttp.DummyCookieJar(),
                # What is compressed could be a thousand times as large as what came; it is inflated within the limit.
                auto_decompress=False,
                headers={"User-Agent": "streamflow", "Accept-Encoding": "identity"},
                trust_env=False,
            )
        return self._session


def _joined(values: list[str]) -> str:
    """Several values of a header as one text. Bytes that are no UTF-8 are read as Latin-1, as HTTP once meant them
    (RFC 9110, section 5.5): aiohttp gives them as halves of surrogate pairs, which no record can hold."""
    text = ", ".join(values)
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogateescape").decode("latin-1")
    return text


async def _whole(response: aiohttp.ClientResponse, headers: dict[str, str], limit: int, url: URL) -> Answer:
    """The answer with its body of up to `limit` bytes, inflated if need be; what is longer is refused without reading
    on."""
    coding = headers.get("content-encoding", "").strip().lower()
    inflater = Inflater() if coding in INFLATED else None
    if inflater is None and coding not in IDENTITY and response.method != "HEAD":
        raise _unreadable(
            f"The answer of {shown(url)} is compressed as {coding[:100]}, and only gzip and deflate are supported. "
            "Configure the server to respect Accept-Encoding."
        )
    length = response.content_length
    if length is not None and length > limit and response.method != "HEAD":
        raise _too_large(url, limit, f"it announces {length}")
    parts: list[bytes] = []
    size = came = 0
    async for chunk in response.content.iter_chunked(_CHUNK_BYTES):
        came += len(chunk)
        try:
            part = chunk if inflater is None else inflater.take(chunk, limit - size + 1)
        except ValueError as error:
            raise _unreadable(
                f"The answer of {shown(url)} says {coding} but is not ({error}). Correct it there."
            ) from error
        size += len(part)
        if max(size, came) > limit:
            # Leaving with an unfinished answer closes the connection: nothing more is read.
            raise _too_large(url, limit, "more came" if inflater is None else "more came, inflated")
        parts.append(part)
    if inflater is None or not came:
        return Answer(response.status, headers, b"".join(parts))
    if not inflater.is_complete:
        raise _unreadable(f"The answer of {shown(url)} says {coding} but ends too early. Correct it there.")
    left = {name: value for name, value in headers.items() if name not in ("content-encoding", "content-length")}
    return Answer(response.status, left, b"".join(parts))


def _unreadable(text: str) -> OperationError:
    return OperationError("response_invalid", text, retryable=False)


def _too_large(url: URL, limit: int, found: str) -> OperationError:
    return OperationError(
        "response_too_large",
        f"expected at most {limit} bytes of {shown(url)} but {found}. Ask for less.",
        retryable=False,
    )


def _target(url: URL, place: str) -> URL:
    try:
        joined = url.join(URL(place))
    except ValueError as error:
        raise refused("a redirect to a URL", f"{shown(url)} redirects to something else") from error
    target = parse_url(str(joined))
    if url.scheme == "https" and target.scheme != "https":
        raise refused("a redirect that stays with https", f"{shown(url)} redirects to {target.scheme}")
    return target


def shown(url: URL) -> str:
    """`url` as messages name it: without its query, which may hold what is not for everybody."""
    return str(url.with_query(None).with_fragment(None))


def _said(error: BaseException) -> str:
    text = str(error).strip()
    return f"{type(error).__name__}: {text}"[:300] if text else type(error).__name__
