"""The product's models against a scripted server, for tests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Any

# Imported here and not when they are first needed: the first test would pay seconds for it.
import streamflow.models.anthropic_native
import streamflow.models.openai_compatible  # noqa: F401
from streamflow.models.access import ModelAccess
from streamflow.models.conversation import Conversation, UserMessage
from streamflow.models.protocol import Event, Limits, Text, ToolCall
from streamflow.models.tools import Tool
from streamflow.settings import Settings
from tests.scripted_model.server import Asked, ScriptedModel

APIS = ("openai", "anthropic", "bedrock")
KEY = "MODEL_KEY_OF_TESTS"
HELLO = Conversation(instructions=("Be brief.",), messages=(UserMessage("hello"),))
ECHO = Tool(
    "echo",
    "Says a text again.",
    {
        "type": "object",
        "properties": {"text": {"type": "string"}, "times": {"type": "integer", "minimum": 1}},
        "required": ["text"],
        "additionalProperties": False,
    },
)
# Times that only a hang reaches, also on a busy machine; a test of a limit sets its own.
LIMITS = Limits(
    connect_s=30,
    first_token_s=30,
    between_tokens_s=30,
    whole_s=60,
    max_output_tokens=1000,
    answer_chars=10_000,
    calls=5,
)
_TURNS = 20


def settings(server: ScriptedModel, api: str, folder: Path, **model: Any) -> Settings:
    """Settings with one model, `main`, at `server`; its form is `tools` unless said otherwise."""
    own = {"provider": api, "model": "tiny-1", "url": f"{server.url}/v1" if api == "openai" else server.url}
    own |= {"key": f"env:{KEY}", "region": "eu-central-1", "form": "tools"} | model
    return Settings.model_validate({"models": {"available": {"main": own}}, "state_dir": folder})


def access(server: ScriptedModel, api: str, folder: Path, **model: Any) -> ModelAccess:
    return ModelAccess(settings(server, api, folder, **model))


def asked(
    models: ModelAccess,
    tools: Iterable[Tool] = (),
    limits: Limits = LIMITS,
    conversation: Conversation = HELLO,
    **own: Any,
) -> AsyncGenerator[Event, None]:
    return models.model().stream(conversation, tuple(tools), replace(limits, **own))


async def collected(events: AsyncGenerator[Event, None]) -> list[Event]:
    async with aclosing(events):
        return [event async for event in events]


async def closed_at_once(one: Asked) -> None:
    """Returns when the server has seen the connection of `one` end. It may take turns of the loop, which bytes need to
    go through, but no time: a connection that is closed later, by a limit or by the garbage collector, is an error."""
    for _ in range(_TURNS):
        if one.gone.is_set():
            return
        await asyncio.sleep(0)
    raise AssertionError("the connection is still open")


def text_of(events: Iterable[Event]) -> str:
    return "".join(event.text for event in events if isinstance(event, Text))


def calls_of(events: Iterable[Event]) -> list[ToolCall]:
    return [event for event in events if isinstance(event, ToolCall)]
