"""Servers of the tests' own, on this machine, and attempts as a worker makes them."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

from streamflow.errors import OperationError
from streamflow.operations.contract import Attempt
from streamflow.secrets import read_secret
from streamflow.settings import Connection

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def http_server(handler: Handler, tls: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    """A server that answers everything by `handler`; yields `host:port`."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
        await site.start()
        yield f"127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def raw_server(
    talk: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
) -> AsyncIterator[str]:
    """A server that says what `talk` writes, HTTP or not; yields `host:port`."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await talk(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the client has gone: that is what some of these tests are about
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"


def attempt(number: int = 1, **changes: Any) -> Attempt:
    """An attempt as a worker makes it."""

    def callback_url(for_s: float) -> str:
        return f"https://flows.example/callbacks/token-for-{for_s:g}"

    def connection(name: str) -> Connection:
        raise OperationError("connection_unknown", f"no connection {name}", retryable=False)

    values: dict[str, Any] = {
        "id": f"run/step/{number}",
        "idempotency_key": "run/step",
        "run": "run",
        "definition": "orders",
        "version": "1",
        "key": "K",
        "step": "step",
        "attempt": number,
        "item": None,
        "timeout_s": 5.0,
        "trace": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "callback_url": callback_url,
        "secret": read_secret,
        "connection": connection,
    }
    return Attempt(**(values | changes))
