"""Adapter to every endpoint that speaks OpenAI's Chat Completions (vLLM, Ollama, llama.cpp, LiteLLM, OpenAI itself),
by the package `openai`. Never the Responses API: most compatible endpoints do not have it."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any

import openai
from yarl import URL

from streamflow.models.conversation import AssistantMessage, Conversation, ToolResult
from streamflow.models.endpoint import CallPart, Finished, Part, Reported, Request, TextPart, Thinking
from streamflow.models.failures import failure, invalid
from streamflow.models.protocol import StopReason, Usage
from streamflow.models.transport import client, timeouts
from streamflow.operations.egress import Resolve, system_addresses
from streamflow.secrets import read_secret

_NEWER_LIMIT = frozenset({"api.openai.com"})  # its newer models refuse `max_tokens`, which most other servers expect
_REASONS = {
    "stop": StopReason.END,
    "length": StopReason.LENGTH,
    "tool_calls": StopReason.TOOLS,
    "function_call": StopReason.TOOLS,
    "content_filter": StopReason.REFUSED,
}
_NO_STREAM = ("text/html", "application/json")


class OpenAICompatible:
    """One model of one endpoint. `key` is a reference to the API key, None where none is asked for; it is read for each
    request."""

    def __init__(
        self, *, url: URL, model: str, key: str | None, place: str, resolve: Resolve = system_addresses
    ) -> None:
        self._model, self._key, self._place = model, key, place
        self._limit = "max_completion_tokens" if url.host in _NEWER_LIMIT else "max_tokens"
        self._schema_form = "json_schema"
        self._client = openai.AsyncOpenAI(
            base_url=str(url),
            api_key="unset",
            organization="",
            project="",
            max_retries=0,
            http_client=client(url, resolve=resolve),
        )

    async def answer(self, request: Request) -> AsyncGenerator[Part, None]:
        """As `Endpoint.answer`."""
        begun = False
        try:
            async with aclosing(self._streamed(request) if request.streamed else self._whole(request)) as parts:
                async for part in parts:
                    begun = True
                    yield part
        except Exception as error:
            raise failure(error, self._place, begun=begun) from error

    async def close(self) -> None:
        """Closes connections."""
        await self._client.close()

    async def _streamed(self, request: Request) -> AsyncGenerator[Part, None]:
        stream = await self._created(request, stream=True, stream_options={"include_usage": True})
        try:
            kind = stream.response.headers.get("content-type", "").partition(";")[0].strip().lower()
            if kind in _NO_STREAM:
                raise invalid(self._place, f"it answers with {kind} instead of a stream of events")
            places = _Places()
            async for chunk in stream:
                for part in _parts(chunk, places):
                    yield part
        finally:
            await stream.close()

    async def _whole(self, request: Request) -> AsyncGenerator[Part, None]:
        answer = await self._created(request, stream=False)
        choice = answer.choices[0]
        if text := choice.message.content:
            yield TextPart(text)
        for place, call in enumerate(choice.message.tool_calls or ()):
            function = getattr(call, "function", None)
            if function is not None:
                yield CallPart(place, call.id or "", function.name, function.arguments)
        if answer.usage is not None:
            yield Reported(_usage(answer.usage))
        yield Finished(_REASONS.get(choice.finish_reason, StopReason.END))

    async def _created(self, request: Request, **how: Any) -> Any:
        """The answer. Where a schema is refused in OpenAI's form it is tried in that of llama.cpp, once and for all."""
        create = self._client.chat.completions.create
        try:
            return await create(**await self._body(request, self._schema_form), **how)
        except (openai.BadRequestError, openai.UnprocessableEntityError, openai.InternalServerError) as refused:
            if request.schema is None or self._schema_form == "json_object":
                raise
            # llama-cpp-python answers 500 to the form that it does not know, and names it.
            if isinstance(refused, openai.InternalServerError) and "json_schema" not in str(refused):
                raise
            try:
                answer = await create(**await self._body(request, "json_object"), **how)
            except openai.APIStatusError:
                raise refused from None
            self._schema_form = "json_object"
            return answer

    async def _body(self, request: Request, schema_form: str) -> dict[str, Any]:
        key = None if self._key is None else await read_secret(self._key)
        authorization: Any = openai.Omit() if key is None else f"Bearer {key.strip()}"
        body: dict[str, Any] = {
            "model": self._model,
            "messages": messages(request.conversation),
            self._limit: request.max_output_tokens,
            "extra_headers": {"Authorization": authorization},
            "timeout": timeouts(request.connect_s),
        }
        if request.temperature is not None:
            body["temperature"] = request.temperature
        if request.tools:
            body["tools"] = [
                _tool(tool.name, tool.description, *_schema(tool, request.strict)) for tool in request.tools
            ]
        if request.schema is not None:
            schema = dict(request.schema)
            body["response_format"] = (
                {"type": "json_object", "schema": schema}
                if schema_form == "json_object"
                else {"type": "json_schema", "json_schema": {"name": "answer", "strict": True, "schema": schema}}
            )
        return body


def messages(conversation: Conversation) -> list[dict[str, Any]]:
    """The messages of Chat Completions for `conversation`: the system's, materials, and the rest in order."""
    made: list[dict[str, Any]] = []
    if system := conversation.system():
        made.append({"role": "system", "content": system})
    if material := conversation.material():
        made.append({"role": "user", "content": material})
    for message in conversation.messages:
        if isinstance(message, AssistantMessage):
            one: dict[str, Any] = {"role": "assistant", "content": message.text or (None if message.calls else "")}
            if message.calls:
                one["tool_calls"] = [
                    {
                        "id": call.id,
                        "type": "function",
                        "function": {"name": call.name, "arguments": json.dumps(call.parsed(), ensure_ascii=False)},
                    }
                    for call in message.calls
                ]
            made.append(one)
        elif isinstance(message, ToolResult):
            made.append({"role": "tool", "tool_call_id": message.id, "content": message.content()})
        else:
            made.append({"role": "user", "content": message.content()})
    return made


def _schema(tool: Any, strict: bool) -> tuple[Mapping[str, Any], bool]:
    closed = tool.strict_schema if strict else None
    return (tool.schema, False) if closed is None else (closed, True)


def _tool(name: str, description: str, schema: Mapping[str, Any], strict: bool) -> dict[str, Any]:
    function: dict[str, Any] = {"name": name, "description": description, "parameters": dict(schema)}
    return {"type": "function", "function": function | ({"strict": True} if strict else {})}


class _Places:
    """Which call a piece belongs to: by its index, unless another id begins there, as some servers have it, which
    number every call 0."""

    def __init__(self) -> None:
        self._now: dict[int, tuple[int, str]] = {}
        self._next = 0

    def of(self, index: int, id: str) -> int:
        place, known = self._now.get(index, (-1, ""))
        if place < 0 or (id and known and id != known):
            place, self._next = self._next, self._next + 1
        self._now[index] = (place, id or known)
        return place


def _parts(chunk: Any, places: _Places) -> list[Part]:
    """The parts of one chunk. The client does not check what servers send, so fields are looked at before use."""
    found: list[Part] = []
    for choice in list(getattr(chunk, "choices", None) or ())[:1]:
        delta = choice.delta
        if delta is not None:
            hidden = getattr(delta, "reasoning_content", None) or getattr(delta, "reasoning", None)
            if isinstance(hidden, str) and hidden:
                found.append(Thinking(len(hidden)))
            said = (delta.content, getattr(delta, "refusal", None))
            found += [TextPart(text) for text in said if isinstance(text, str) and text]
            for call in delta.tool_calls or ():
                index = call.index if isinstance(call.index, int) else 0
                function = call.function
                name, arguments = (function.name, function.arguments) if function is not None else ("", "")
                found.append(CallPart(places.of(index, call.id or ""), call.id or "", name or "", arguments or ""))
        if choice.finish_reason is not None:
            found.append(Finished(_REASONS.get(choice.finish_reason, StopReason.END)))
    if (usage := getattr(chunk, "usage", None)) is not None:
        found.append(Reported(_usage(usage)))
    return found


def _usage(usage: Any) -> Usage:
    details = getattr(usage, "prompt_tokens_details", None)
    cached = _count(getattr(details, "cached_tokens", 0))
    asked = _count(getattr(usage, "prompt_tokens", 0))
    return Usage(
        input_tokens=max(0, asked - cached),
        cached_input_tokens=min(cached, asked),
        output_tokens=_count(getattr(usage, "completion_tokens", 0)),
    )


def _count(value: Any) -> int:
    return value if isinstance(value, int) and value > 0 else 0
