"""Bodies: of requests, read by the one reader of JSON, and of answers that are asked for often."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

import msgspec
from fastapi import Request, Response
from fastapi.routing import APIRoute

from streamflow.errors import Rejected
from streamflow.wire.codec import DecodeError
from streamflow.wire.json_text import read_json


class _JsonRequest(Request):
    """A request whose body is JSON as `read_json` has it; FastAPI's own reader takes NaN and lone surrogates."""

    async def json(self) -> Any:
        if not hasattr(self, "_value"):
            self._value = read_json(await self.body())
        return self._value


class JsonAnswer(Response):
    """An answer that msgspec writes, of structs too. FastAPI would check it first, and write it from Python's objects,
    which takes longer than small answers do."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        """Its bytes."""
        return msgspec.json.encode(content)


class JsonRoute(APIRoute):
    """The class of routes that take a body. A body that is not JSON is refused with the reader's code."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """As FastAPI asks for it."""
        handle = super().get_route_handler()
        if self.body_field is None:
            return handle

        async def read_and_handle(request: Request) -> Response:
            read = _JsonRequest(request.scope, request.receive)
            if await read.body():
                try:
                    await read.json()
                except DecodeError as error:
                    raise Rejected(error.code, error.message) from error
            return await handle(read)

        return read_and_handle
