"""The scripted server: answers each request with the next answer of its script, and remembers what was asked."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Self

from aiohttp import web

from tests.scripted_model import frames
from tests.scripted_model.script import Answer, Call

_APIS = {"/v1/chat/": "openai", "/v1/messages": "anthropic", "/model/": "bedrock"}

Script = Iterable[Answer] | Callable[["Asked"], Answer]


@dataclass(frozen=True)
class Asked:
    """One request that came."""

    api: str  # openai, anthropic, bedrock
    path: str
    headers: dict[str, str]
    body: dict[str, Any]
    gone: asyncio.Event = field(default_factory=asyncio.Event)  # set when the client has left before the end

    @property
    def tools(self) -> list[str]:
        """The names of the tools that were offered."""
        return [tool.get("name") or tool["function"]["name"] for tool in self.body.get("tools", ())]


class ScriptedModel:
    """A server on loopback. Answers that are left over are no fault; a request beyond the script gets 500."""

    def __init__(self, script: Script = (), *, port: int = 0) -> None:
        self.asked: list[Asked] = []
        self._script = script if callable(script) else None
        self._answers: Iterator[Answer] = iter(()) if callable(script) else iter(script)
        self._port = port
        self._runner: web.AppRunner | None = None
        self.arrived = asyncio.Condition()

    @property
    def url(self) -> str:
        """Its address without a path: the base URL for Anthropic and Bedrock. OpenAI's is `{url}/v1`."""
        return f"http://127.0.0.1:{self._port}"

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=64 << 20)
        app.router.add_post("/v1/chat/completions", self._serve)
        app.router.add_post("/v1/messages", self._serve)
        app.router.add_post("/model/{model}/{verb}", self._serve)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self._port)
        await site.start()
        self._port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._runner is not None
        await self._runner.cleanup()

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        api = next((name for start, name in _APIS.items() if request.path.startswith(start)), "")
        asked = Asked(api, request.path, {name.lower(): value for name, value in request.headers.items()}, body)
        async with self.arrived:
            self.asked.append(asked)
            self.arrived.notify_all()
        try:
            answer = self._script(asked) if self._script else next(self._answers, None)
            if answer is None:
                answer = Answer(status=500, error="beyond the script", headers={"x-should-retry": "false"})
            return await self._answer(request, asked, answer)
        except (asyncio.CancelledError, ConnectionResetError):
            asked.gone.set()
            raise

    async def _answer(self, request: web.Request, asked: Asked, answer: Answer) -> web.StreamResponse:
        if answer.status != 200:
            error = {"type": "scripted", "message": answer.error}
            return web.json_response({"error": error}, status=answer.status, headers=answer.headers)
        match answer.trouble:
            case "html":
                return web.Response(text="<html>login</html>", content_type="text/html")
            case "no_head":
                await asyncio.Event().wait()
            case "redirect":
                raise web.HTTPTemporaryRedirect("http://127.0.0.1:1/v1/chat/completions")
        streamed = asked.body.get("stream") or asked.path.endswith("invoke-with-response-stream")
        if not streamed:
            return web.json_response(answer.raw or frames.openai_whole(answer))
        kind = "application/vnd.amazon.eventstream" if asked.api == "bedrock" else "text/event-stream"
        response = web.StreamResponse(headers={"content-type": kind} | answer.headers)
        if answer.trouble == "gzip":
            response.headers["content-encoding"] = "gzip"
        response.enable_chunked_encoding()
        await response.prepare(request)
        events = list(self._events(asked, answer))
        if answer.trouble == "open_end":
            await response.write(b"".join(events[: -2 if asked.api == "openai" else None]))  # no usage, no [DONE]
            await asyncio.Event().wait()
        for sent, data in enumerate(events):
            if answer.trouble is not None and sent >= answer.pieces_until:
                return await self._go_wrong(request, response, asked, answer, data)
            await response.write(data)
        await response.write_eof()
        return response

    def _events(self, asked: Asked, answer: Answer) -> Iterator[bytes]:
        if asked.api == "openai":
            options = asked.body.get("stream_options") or {}
            yield from frames.openai_events(answer, with_usage=bool(options.get("include_usage")))
            return
        written = frames.anthropic_sse if asked.api == "anthropic" else frames.bedrock_chunk
        for event in frames.anthropic_events(answer):
            yield written(event)

    async def _go_wrong(
        self, request: web.Request, response: web.StreamResponse, asked: Asked, answer: Answer, data: bytes
    ) -> web.StreamResponse:
        wrong = _Wrong(asked.api)
        match answer.trouble:
            case "cut":
                await response.write(data[: len(data) // 2])
                assert request.transport is not None
                request.transport.abort()
            case "cut_cleanly":
                await response.write_eof()
            case "silence":
                await asyncio.Event().wait()
            case "bad_checksum":
                await response.write(data[:-1] + bytes([data[-1] ^ 1]))
                await asyncio.Event().wait()
            case "not_json" | "wrong_json" | "error_event":
                await response.write(getattr(wrong, answer.trouble)())
                await response.write_eof()
            case "endless_line":
                while True:
                    await response.write(b"data: " + b"x" * (1 << 20) if asked.api != "bedrock" else data[:8] * 1000)
            case _:
                number = 0
                while True:
                    number += 1
                    await response.write(wrong.endless(str(answer.trouble), number))
                    await asyncio.sleep(0.02 if answer.trouble == "keepalive" else 0)
        return response


class _Wrong:
    """Pieces that are not as they should be, in each form."""

    def __init__(self, api: str) -> None:
        self._api = api

    def _event(self, event: dict[str, Any]) -> bytes:
        return frames.anthropic_sse(event) if self._api == "anthropic" else frames.bedrock_chunk(event)

    def not_json(self) -> bytes:
        if self._api == "bedrock":
            return frames.bedrock_message(
                {":event-type": "chunk", ":content-type": "application/json", ":message-type": "event"}, b"{nonsense"
            )
        return (
            b"event: content_block_delta\ndata: {nonsense\n\n" if self._api == "anthropic" else b"data: {nonsense\n\n"
        )

    def wrong_json(self) -> bytes:
        if self._api == "openai":
            return frames.sse({"choices": [{"delta": {"tool_calls": [{"index": "one", "function": 7}]}}]})
        return self._event({"type": "content_block_delta", "index": 0, "delta": 7})

    def error_event(self) -> bytes:
        if self._api == "openai":
            return frames.sse({"error": {"type": "server_error", "message": "overloaded by the script"}})
        if self._api == "anthropic":
            error = {"type": "overloaded_error", "message": "overloaded by the script"}
            return frames.sse({"type": "error", "error": error}, "error")
        return frames.bedrock_exception("throttlingException", "overloaded by the script")

    def endless(self, kind: str, number: int) -> bytes:
        if kind == "keepalive":
            return b": ping\n\n" if self._api == "openai" else self._event({"type": "ping"})
        if self._api == "openai":
            delta: dict[str, Any] = {"content": "word " * 100}
            if kind != "endless_text":
                index = number if kind == "endless_calls" else 0
                function = {"name": "echo" if kind == "endless_calls" or number == 1 else "", "arguments": "[" * 100}
                delta = {"tool_calls": [{"index": index, "id": f"e{index}", "function": function}]}
            return frames.sse({"choices": [{"index": 0, "delta": delta, "finish_reason": None}]})
        if kind == "endless_text":
            delta = {"type": "text_delta", "text": "word " * 100}
            return self._event({"type": "content_block_delta", "index": 0, "delta": delta})
        if kind == "endless_calls" or number == 1:
            block = {"type": "tool_use", "id": f"e{number}", "name": "echo", "input": {}}
            return self._event({"type": "content_block_start", "index": number + 1, "content_block": block})
        delta = {"type": "input_json_delta", "partial_json": "[" * 100}
        return self._event({"type": "content_block_delta", "index": 2, "delta": delta})


def capable(asked: Asked) -> Answer:
    """An answer as a model gives it that can do everything: it calls the first tool with the colour green, answers a
    schema with JSON, and else says what it was asked last."""
    if asked.tools:
        return Answer(calls=(Call(asked.tools[0], '{"colour": "green"}'),))
    if "response_format" in asked.body or "output_config" in asked.body:
        return Answer(text=json.dumps({"colour": "green"}))
    said = asked.body["messages"][-1]["content"]
    text = said if isinstance(said, str) else said[-1]["text"]
    return Answer(text=f"You asked: {text}")
