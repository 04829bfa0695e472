"""Requests by `http.request` to servers of the tests' own, which it is allowed to reach."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import jsonschema_rs
import pytest
from aiohttp import web

from streamflow.errors import OperationError
from streamflow.operations.http import HttpRequest
from streamflow.settings import Settings, Tasks
from tests.contract.servers import Handler, attempt, http_server, raw_server


def told(answer: Any) -> Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        return web.json_response(answer)

    return handle


async def mirror(request: web.Request) -> web.StreamResponse:
    """Answers with what it was asked."""
    body = await request.text()
    return web.json_response(
        {"method": request.method, "path": str(request.rel_url), "headers": dict(request.headers), "body": body}
    )


@asynccontextmanager
async def opened(*hosts: str, **changes: Any) -> AsyncIterator[HttpRequest]:
    operation = HttpRequest(Settings(tasks=Tasks(allow_hosts=list(hosts), **changes)))
    try:
        yield operation
    finally:
        await operation.close()


async def ask(host: str, input: dict[str, Any], **changes: Any) -> Any:
    """The output, checked against the schema, of one request to an allowed host."""
    async with opened(host) as operation:
        assert jsonschema_rs.validator_for(operation.spec.input).is_valid(input)
        output = await operation.run(input, attempt(**changes))
        assert jsonschema_rs.validator_for(operation.spec.output).is_valid(output)
        return output


def giving(handler: Handler, *, output_bytes: int = 100_000, **input: Any) -> Any:
    """The output of one request to `handler`, of up to `output_bytes`."""

    async def check() -> Any:
        async with http_server(handler) as host, opened(host, output_bytes=output_bytes) as operation:
            return await operation.run({"url": f"http://{host}/"} | input, attempt())

    return asyncio.run(check())


def failing(handler: Handler, path: str = "/", **input: Any) -> OperationError:
    """The error that one request to `handler` ends with; its code is a declared one, its message keeps the query to
    itself."""

    async def check() -> OperationError:
        async with http_server(handler) as host:
            with pytest.raises(OperationError) as raised:
                await ask(host, {"url": f"http://{host}{path}"} | input)
            return raised.value

    error = asyncio.run(check())
    assert error.code in {declared.id for declared in HttpRequest.spec.errors}
    return error


def raw_failing(talk: Any, timeout_s: float = 5.0, **input: Any) -> OperationError:
    async def check() -> OperationError:
        async with raw_server(talk) as host:
            with pytest.raises(OperationError) as raised:
                await ask(host, {"url": f"http://{host}/"} | input, timeout_s=timeout_s)
            return raised.value

    error = asyncio.run(check())
    assert error.code in {declared.id for declared in HttpRequest.spec.errors}
    return error
