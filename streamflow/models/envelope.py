"""Calls of tools by models without tools: one JSON object with the text and the calls. Pure.

Either the provider holds the answer to the schema (`schema_of`), or the model is only asked to keep it; then an answer
that is no such object is taken as text.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import jiter

from streamflow.models.conversation import AssistantMessage, Conversation, Message, ToolResult, UserMessage
from streamflow.models.prompts import prompt
from streamflow.models.tools import Tool

_FENCES = ("```json", "```")
_GROWTH = 50  # a part of what came, after which it is parsed again


def schema_of(tools: Sequence[Tool]) -> dict[str, Any]:
    """The schema of an answer with calls of `tools`, in the form of strict modes as far as each tool has one."""
    calls = [
        {
            "type": "object",
            "properties": {
                "tool": {"type": "string", "enum": [tool.name]},
                "arguments": tool.strict_schema or dict(tool.schema),
            },
            "required": ["tool", "arguments"],
            "additionalProperties": False,
        }
        for tool in tools
    ]
    return {
        "type": "object",
        "properties": {
            "text": {"type": "string"},
            "calls": {"type": "array", "items": calls[0] if len(calls) == 1 else {"anyOf": calls}},
        },
        "required": ["text", "calls"],
        "additionalProperties": False,
    }


def conversation_of(conversation: Conversation, tools: Sequence[Tool]) -> Conversation:
    """`conversation` for a model that has no tools: they are described in the instructions, earlier calls stand in the
    answers, and results in messages of the user."""
    described = "\n".join(
        json.dumps({"tool": tool.name, "description": tool.description, "arguments": dict(tool.schema)}, sort_keys=True)
        for tool in tools
    )
    return Conversation(
        instructions=(*conversation.instructions, f"{prompt('forms').text}\n{described}"),
        materials=conversation.materials,
        messages=tuple(_message(message) for message in conversation.messages),
    )


def _message(message: Message) -> Message:
    if isinstance(message, AssistantMessage):
        calls = [{"tool": call.name, "arguments": call.parsed()} for call in message.calls]
        return AssistantMessage(json.dumps({"text": message.text, "calls": calls}, ensure_ascii=False))
    if isinstance(message, ToolResult):
        return UserMessage(f"{'Failed call' if message.failed else 'Call'} {message.id}:\n{message.content()}")
    return message


class EnvelopeReader:
    """Reads an answer as it comes: text as early as it is sure, calls at the end.

    What came so far is parsed again only after it has grown by some part, so a long answer in small pieces costs no
    more than a short one per character."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._chars = 0
        self._parse_at = 0  # how many characters there are when it is parsed next
        self._is_text = False  # it begins as no object does
        self._shown = ""

    def feed(self, text: str) -> str:
        """The text for the person that `text` adds."""
        self._parts.append(text)
        self._chars += len(text)
        if self._is_text:
            return text
        if self._chars < self._parse_at:
            return ""
        self._parse_at = self._chars + self._chars // _GROWTH
        came = "".join(self._parts)
        start = came.lstrip()
        if not start or any(fence.startswith(start) for fence in _FENCES):
            return ""
        body = _without_fence(start)
        if not body.startswith("{"):
            self._is_text = not start.startswith("`")
            return came if self._is_text else ""
        try:
            found: Any = jiter.from_json(body.encode(), partial_mode="trailing-strings")
        except ValueError:
            return ""
        said = found.get("text") if isinstance(found, dict) else None
        return self._added(said) if isinstance(said, str) else ""

    def finish(self) -> tuple[str, list[tuple[str, str]]]:
        """What of the text was not shown yet, and the calls as names with arguments in JSON."""
        if self._is_text:
            return "", []
        came = "".join(self._parts)
        try:
            found, _ = json.JSONDecoder().raw_decode(_without_fence(came.lstrip()))
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict) or not ({"text", "calls"} & found.keys()):
            # no such object: what came is the answer as it is, unless its text was shown
            return ("" if self._shown else came), []
        said = found.get("text", "")
        calls = found.get("calls", [])
        made = [
            (str(call.get("tool", "")), json.dumps(call.get("arguments", {}), ensure_ascii=False))
            for call in (calls if isinstance(calls, list) else [])
            if isinstance(call, dict)
        ]
        return self._added(said) if isinstance(said, str) else "", made

    def _added(self, text: str) -> str:
        if not text.startswith(self._shown):
            return ""
        added, self._shown = text[len(self._shown) :], text
        return added


def _without_fence(text: str) -> str:
    for fence in _FENCES:
        if text.startswith(fence):
            return text[len(fence) :].lstrip()
    return text
