"""Adapter to Anthropic's Messages API by the package `anthropic`: at Anthropic, or at Amazon Bedrock with an API key of
Bedrock.

The prefix that stays the same is marked to be cached: tools, instructions, materials, and the conversation so far.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, cast

import anthropic
from anthropic import AsyncAnthropic, AsyncAnthropicBedrock
from yarl import URL

from streamflow.models.conversation import AssistantMessage, Conversation, ToolResult
from streamflow.models.endpoint import CallPart, Finished, Part, Reported, Request, TextPart, Thinking
from streamflow.models.event_stream import EventStreamDecoder
from streamflow.models.failures import failure, invalid
from streamflow.models.protocol import StopReason, Usage
from streamflow.models.tools import Tool
from streamflow.models.transport import client, timeouts
from streamflow.operations.egress import Resolve, system_addresses
from streamflow.secrets import read_secret

_CACHED = {"cache_control": {"type": "ephemeral"}}
_REASONS = {
    "end_turn": StopReason.END,
    "stop_sequence": StopReason.END,
    "pause_turn": StopReason.END,
    "tool_use": StopReason.TOOLS,
    "max_tokens": StopReason.LENGTH,
    "model_context_window_exceeded": StopReason.LENGTH,
    "refusal": StopReason.REFUSED,
}
_STREAMS = ("text/event-stream", "application/vnd.amazon.eventstream")


class _Bedrock(AsyncAnthropicBedrock):
    """With a decoder that needs no botocore."""

    def _make_sse_decoder(self) -> Any:
        return EventStreamDecoder()


class AnthropicNative:
    """One model of one endpoint. `key` is a reference to the API key; it is read for each request. With `region` the
    endpoint is Bedrock's in that region."""

    def __init__(
        self,
        *,
        url: URL,
        model: str,
        key: str | None,
        place: str,
        region: str | None = None,
        resolve: Resolve = system_addresses,
    ) -> None:
        self._model, self._key, self._place = model, key, place
        http = client(url, resolve=resolve)
        self._client: AsyncAnthropic | _Bedrock
        if region is None:
            self._client = AsyncAnthropic(
                base_url=str(url), api_key="unset", max_retries=0, http_client=http, open_telemetry=False
            )
        else:
            self._client = _Bedrock(
                base_url=str(url),
                api_key="unset",
                aws_region=region,
                max_retries=0,
                http_client=http,
                open_telemetry=False,
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
        stream = cast(Any, await self._client.messages.create(**await self._body(request), stream=True))
        try:
            kind = stream.response.headers.get("content-type", "").partition(";")[0].strip().lower()
            if kind not in _STREAMS:
                raise invalid(self._place, f"it answers with {kind or 'no content type'} instead of a stream of events")
            reader = _Events()
            async for event in stream:
                for part in reader.parts(event):
                    yield part
        finally:
            await stream.close()

    async def _whole(self, request: Request) -> AsyncGenerator[Part, None]:

        answer = cast(Any, await self._client.messages.create(**await self._body(request), stream=False))
        for place, block in enumerate(answer.content):
            if block.type == "text" and block.text:
                yield TextPart(block.text)
            elif block.type == "tool_use":
                yield CallPart(place, block.id, block.name, json.dumps(block.input))
        yield Reported(_usage(answer.usage, None))
        yield Finished(_REASONS.get(answer.stop_reason or "", StopReason.END))

    async def _body(self, request: Request) -> dict[str, Any]:
        key = None if self._key is None else (await read_secret(self._key)).strip()
        if isinstance(self._client, _Bedrock):
            self._client.api_key = key
        # Said for each request, over what the client takes from the environment.
        authorization: Any = anthropic.Omit() if key is None else f"Bearer {key}"
        conversation = request.conversation
        body: dict[str, Any] = {
            "model": self._model,
            "max_tokens": request.max_output_tokens,
            "messages": messages(conversation),
            "extra_headers": {"Authorization": authorization},
            "timeout": timeouts(request.connect_s),
        }
        if system := conversation.system():
            body["system"] = [{"type": "text", "text": system} | _CACHED]
        if request.tools:
            tools = [_tool(tool, request.strict) for tool in request.tools]
            body["tools"] = [*tools[:-1], tools[-1] | _CACHED]
        if request.schema is not None:
            body["output_config"] = {"format": {"type": "json_schema", "schema": dict(request.schema)}}
        if request.temperature is not None:
            body["extra_body"] = {"temperature": request.temperature}
        return body


def messages(conversation: Conversation) -> list[dict[str, Any]]:
    """The messages of the Messages API for `conversation`. Results of tools stand together in the user's message that
    follows the calls, as the API wants it; the end of materials and of the last message are marked to be cached."""
    made: list[dict[str, Any]] = []
    if material := conversation.material():
        made.append({"role": "user", "content": [{"type": "text", "text": material} | _CACHED]})
    for message in conversation.messages:
        if isinstance(message, AssistantMessage):
            role, blocks = "assistant", _answered(message)
        elif isinstance(message, ToolResult):
            result = {"type": "tool_result", "tool_use_id": message.id, "content": message.content()}
            role, blocks = "user", [result | ({"is_error": True} if message.failed else {})]
        else:
            role, blocks = "user", [{"type": "text", "text": message.content()}]
        if not blocks:
            continue
        if made and made[-1]["role"] == role:
            made[-1]["content"].extend(blocks)
        else:
            made.append({"role": role, "content": blocks})
    if made and made[-1]["role"] == "user":
        made[-1]["content"][-1] |= _CACHED
    return made


def _answered(message: AssistantMessage) -> list[dict[str, Any]]:

    blocks: list[dict[str, Any]] = [{"type": "text", "text": message.text}] if message.text.strip() else []
    blocks += [{"type": "tool_use", "id": call.id, "name": call.name, "input": call.parsed()} for call in message.calls]
    return blocks


def _tool(tool: Tool, strict: bool) -> dict[str, Any]:
    closed = tool.strict_schema if strict else None
    made: dict[str, Any] = {"name": tool.name, "description": tool.description}
    return made | ({"input_schema": dict(tool.schema)} if closed is None else {"input_schema": closed, "strict": True})


class _Events:
    """Reads the events of one answer; it is whole when `message_stop` came."""

    def __init__(self) -> None:
        self._usage: Usage | None = None
        self._reason = StopReason.END

    def parts(self, event: Any) -> list[Part]:
        match getattr(event, "type", None):
            case "message_start":
                self._usage = _usage(event.message.usage, None)
                return [Reported(self._usage)]
            case "content_block_start" if event.content_block.type == "tool_use":
                return [CallPart(event.index, event.content_block.id, event.content_block.name)]
            case "content_block_start" if event.content_block.type == "text" and event.content_block.text:
                return [TextPart(event.content_block.text)]
            case "content_block_delta":
                return _delta(event)
            case "message_delta":
                self._usage = _usage(event.usage, self._usage)
                self._reason = _REASONS.get(event.delta.stop_reason or "", StopReason.END)
                return [Reported(self._usage)]
            case "message_stop":
                return [Finished(self._reason)]
        return []


def _delta(event: Any) -> list[Part]:
    delta = event.delta
    match delta.type:
        case "text_delta" if delta.text:
            return [TextPart(delta.text)]
        case "input_json_delta":
            return [CallPart(event.index, arguments=delta.partial_json)]
        case "thinking_delta":
            return [Thinking(len(delta.thinking))]
    return []


def _usage(usage: Any, before: Usage | None) -> Usage:
    """Counts are cumulative; what a later event leaves out stays as it was."""

    def count(name: str, old: int) -> int:
        value = getattr(usage, name, None)
        return value if isinstance(value, int) and value >= 0 else old

    old = before or Usage(input_tokens=0)
    return Usage(
        input_tokens=count("input_tokens", old.input_tokens),
        cached_input_tokens=count("cache_read_input_tokens", old.cached_input_tokens),
        cache_write_tokens=count("cache_creation_input_tokens", old.cache_write_tokens),
        output_tokens=count("output_tokens", old.output_tokens),
    )
