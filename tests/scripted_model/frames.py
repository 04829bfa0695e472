"""The bytes of answers in the three forms: pieces of Chat Completions, events of Messages, and messages of Bedrock.

Written from the providers' references, apart from what the product reads them with.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Iterator
from typing import Any

from tests.scripted_model.script import Answer


def pieces(text: str, size: int) -> list[str]:
    return [text[start : start + size] for start in range(0, len(text), size)]


def sse(data: Any, event: str | None = None) -> bytes:
    head = f"event: {event}\n" if event else ""
    return f"{head}data: {json.dumps(data)}\n\n".encode()


def openai_events(answer: Answer, *, with_usage: bool) -> Iterator[bytes]:
    """The pieces of a streamed chat completion."""

    def chunk(delta: dict[str, Any], finish: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        return sse({"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]})

    yield chunk({"role": "assistant", "content": ""})
    for text in pieces(answer.thinking, answer.piece_chars):
        yield chunk({"reasoning_content": text})
    for text in pieces(answer.text, answer.piece_chars):
        yield chunk({"content": text})
    for number, call in enumerate(answer.calls):
        index = 0 if answer.index_always_zero else number
        head = {"index": index, "id": call.id or f"id{number}", "type": "function"}
        yield chunk({"tool_calls": [head | {"function": {"name": call.name, "arguments": ""}}]})
        for text in pieces(call.arguments, answer.piece_chars):
            yield chunk({"tool_calls": [{"index": index, "function": {"arguments": text}}]})
    yield chunk({}, answer.stop or ("tool_calls" if answer.calls else "stop"))
    if with_usage and answer.usage is not None:
        yield sse(
            {
                "id": "c1",
                "object": "chat.completion.chunk",
                "created": 1,
                "model": "m",
                "choices": [],
                "usage": openai_usage(answer.usage),
            }
        )
    yield b"data: [DONE]\n\n"


def openai_usage(usage: dict[str, int]) -> dict[str, Any]:
    asked = usage["input"] + usage.get("cached", 0)
    return {
        "prompt_tokens": asked,
        "completion_tokens": usage["output"],
        "total_tokens": asked + usage["output"],
        "prompt_tokens_details": {"cached_tokens": usage.get("cached", 0)},
    }


def openai_whole(answer: Answer) -> dict[str, Any]:
    """A chat completion that is not streamed."""
    calls = [
        {
            "id": call.id or f"id{number}",
            "type": "function",
            "function": {"name": call.name, "arguments": call.arguments},
        }
        for number, call in enumerate(answer.calls)
    ]
    message = {"role": "assistant", "content": answer.text or None} | ({"tool_calls": calls} if calls else {})
    finish = answer.stop or ("tool_calls" if calls else "stop")
    return {
        "id": "c1",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [{"index": 0, "message": message, "finish_reason": finish}],
    } | ({"usage": openai_usage(answer.usage)} if answer.usage else {})


def anthropic_events(answer: Answer) -> Iterator[dict[str, Any]]:
    """The events of a streamed message."""
    usage = answer.usage or {"input": 0, "output": 0}
    begun = {
        "input_tokens": usage["input"],
        "output_tokens": 1 if answer.usage else 0,
        "cache_read_input_tokens": usage.get("cached", 0),
        "cache_creation_input_tokens": usage.get("written", 0),
    }
    message = {"id": "m1", "type": "message", "role": "assistant", "model": "m", "content": [], "usage": begun}
    yield {"type": "message_start", "message": message | {"stop_reason": None, "stop_sequence": None}}
    yield {"type": "ping"}
    blocks: list[tuple[dict[str, Any], list[dict[str, Any]]]] = []
    if answer.thinking:
        thinking = [
            {"type": "thinking_delta", "thinking": text} for text in pieces(answer.thinking, answer.piece_chars)
        ]
        blocks.append(({"type": "thinking", "thinking": "", "signature": ""}, thinking))
    if answer.text:
        texts = [{"type": "text_delta", "text": text} for text in pieces(answer.text, answer.piece_chars)]
        blocks.append(({"type": "text", "text": ""}, texts))
    for number, call in enumerate(answer.calls):
        deltas = [
            {"type": "input_json_delta", "partial_json": text} for text in pieces(call.arguments, answer.piece_chars)
        ]
        blocks.append(({"type": "tool_use", "id": call.id or f"id{number}", "name": call.name, "input": {}}, deltas))
    for index, (block, deltas) in enumerate(blocks):
        yield {"type": "content_block_start", "index": index, "content_block": block}
        for delta in deltas:
            yield {"type": "content_block_delta", "index": index, "delta": delta}
        yield {"type": "content_block_stop", "index": index}
    stop = answer.stop or ("tool_use" if answer.calls else "end_turn")
    yield {
        "type": "message_delta",
        "delta": {"stop_reason": stop, "stop_sequence": None},
        "usage": {"output_tokens": usage["output"]},
    }
    yield {"type": "message_stop"}


def anthropic_sse(event: dict[str, Any]) -> bytes:
    return sse(event, event["type"])


def bedrock_chunk(event: dict[str, Any]) -> bytes:
    """One event of Messages as a message of the event stream."""
    data = base64.b64encode(json.dumps(event).encode()).decode()
    headers = {":event-type": "chunk", ":content-type": "application/json", ":message-type": "event"}
    return bedrock_message(headers, json.dumps({"bytes": data}).encode())


def bedrock_exception(kind: str, text: str) -> bytes:
    """An exception within the event stream."""
    headers = {":exception-type": kind, ":content-type": "application/json", ":message-type": "exception"}
    return bedrock_message(headers, json.dumps({"message": text}).encode())


def bedrock_message(headers: dict[str, str], payload: bytes) -> bytes:
    """A message with its lengths and checksums; header values are texts (type 7)."""
    encoded = b""
    for name, value in headers.items():
        data = value.encode()
        encoded += bytes([len(name)]) + name.encode() + b"\x07" + len(data).to_bytes(2, "big") + data
    total = 12 + len(encoded) + len(payload) + 4
    prelude = total.to_bytes(4, "big") + len(encoded).to_bytes(4, "big")
    prelude += zlib.crc32(prelude).to_bytes(4, "big")
    body = prelude + encoded + payload
    return body + zlib.crc32(body).to_bytes(4, "big")
