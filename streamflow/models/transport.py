"""The way out to a provider: connects only to addresses of the configured endpoint that the egress policy allows, says
nothing that was not asked for, and never reads more than it may.

Names are resolved here and the connection is made to exactly those addresses, as in `operations.egress`. No proxy, no
redirects, nothing from the environment: client libraries add headers from variables and about the machine, which are
dropped.
"""

from __future__ import annotations

import ipaddress
import ssl
from collections.abc import AsyncIterator
from typing import Any

import httpx2
from yarl import URL

from streamflow.errors import OperationError
from streamflow.operations.address_table import special
from streamflow.operations.egress import Resolve, system_addresses
from streamflow.operations.egress_policy import Policy, check_address, check_url, named_host, parse_url, refused

MOST_BYTES = 32 << 20  # of one answer, before it is understood
_SENT = frozenset(
    {
        *("host", "accept", "content-type", "content-length", "transfer-encoding", "connection"),
        *("authorization", "x-api-key", "api-key", "anthropic-version", "anthropic-beta"),
    }
)


def endpoint_url(text: str, setting: str) -> URL:
    """`text` as the address of an endpoint. Raises OperationError (`url_refused`) that names `setting`."""
    try:
        return parse_url(text)
    except OperationError as error:
        raise OperationError(error.code, f"{setting}: {error.message}", retryable=False) from error


class EndpointTransport(httpx2.AsyncBaseTransport):
    """Requests to one endpoint, which the operator's settings open by name, as a connection does."""

    def __init__(self, url: URL, *, resolve: Resolve = system_addresses) -> None:
        self._url = url
        self._host, self._port = named_host(url), url.port or 0
        shown = f"[{self._host}]" if ":" in self._host else self._host
        self._policy = Policy.of([f"{shown}:{self._port}"])
        self._resolve = resolve
        # Without TLS no certificates are loaded, which takes long; the empty context would trust nobody.
        tls = ssl.create_default_context() if url.scheme == "https" else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._inner = httpx2.AsyncHTTPTransport(verify=tls, trust_env=False, retries=0)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """As httpx2 asks for it. Raises OperationError (`url_refused`), and what httpx2 raises."""
        asked = URL(str(request.url))
        if (named_host(asked), asked.port, asked.scheme) != (self._host, self._port, self._url.scheme):
            raise refused("a request to the endpoint of the settings", f"{asked.host} is asked")
        addresses = await self._addresses()
        headers = [(name, value) for name, value in request.headers.raw if name.decode().lower() in _SENT]
        headers += [(b"user-agent", b"streamflow"), (b"accept-encoding", b"identity")]
        failed: Exception | None = None
        for address in addresses:
            copy = httpx2.Request(
                request.method,
                request.url.copy_with(host=address),
                headers=headers,
                stream=request.stream,
                extensions=request.extensions | {"sni_hostname": self._host},
            )
            try:
                response = await self._inner.handle_async_request(copy)
            except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
                failed = error  # nothing was sent: the next address may answer
                continue
            return _limited(response)
        assert failed is not None
        raise failed

    async def aclose(self) -> None:
        """Closes connections."""
        await self._inner.aclose()

    async def _addresses(self) -> list[str]:
        """The addresses of the endpoint, all of them judged."""
        check_url(self._url, self._policy)
        try:
            found = await self._resolve(self._host, self._port)
        except OSError as error:
            raise httpx2.ConnectError(f"no address of {self._host}: {error}") from error
        for text in found:
            address = ipaddress.ip_address(text)
            check_address(address, self._policy, self._host, self._port)
            if self._url.scheme == "http" and special(address) is None:
                raise refused("https for an endpoint on the internet", f"{self._host} is asked by http")
        if not found:
            raise httpx2.ConnectError(f"no address of {self._host}")
        return found


def client(url: URL, *, resolve: Resolve = system_addresses) -> httpx2.AsyncClient:
    """A client for one endpoint. Its time limits are those of each request."""
    return httpx2.AsyncClient(
        transport=EndpointTransport(url, resolve=resolve), trust_env=False, follow_redirects=False, timeout=None
    )


def _limited(response: httpx2.Response) -> httpx2.Response:
    coding = response.headers.get("content-encoding", "identity").strip().lower()
    if coding not in ("", "identity"):
        raise OperationError(
            "model_response_invalid",
            f"The endpoint compresses its answer as {coding[:40]}, although it was asked not to. Configure it.",
            retryable=False,
        )
    stream = response.stream
    assert isinstance(stream, httpx2.AsyncByteStream)
    return httpx2.Response(
        response.status_code, headers=response.headers, stream=_Limited(stream), extensions=response.extensions
    )


class _Limited(httpx2.AsyncByteStream):
    """A body of at most `MOST_BYTES`."""

    def __init__(self, inner: httpx2.AsyncByteStream) -> None:
        self._inner = inner

    async def __aiter__(self) -> AsyncIterator[bytes]:
        came = 0
        async for chunk in self._inner:
            came += len(chunk)
            if came > MOST_BYTES:
                raise OperationError(
                    "model_response_invalid",
                    f"The answer has more than {MOST_BYTES} bytes. Check the server at the endpoint.",
                    retryable=False,
                )
            yield chunk

    async def aclose(self) -> None:
        await self._inner.aclose()


def timeouts(connect_s: float) -> Any:
    """The time limits of one request: only the connection's. Silence afterwards is judged by what the model says, not
    by bytes, so that a provider's keep-alives do not hide it."""
    return httpx2.Timeout(None, connect=connect_s)
