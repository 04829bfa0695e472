"""The access to language models against a real one: its protocol, streaming, cancellation, usage, and an answer that is
held to a schema. What the model says is not looked at: it is too small to make sense."""

from __future__ import annotations

import asyncio
import json
import os
import time
from contextlib import aclosing
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from streamflow.models.access import ModelAccess
from streamflow.models.conversation import Conversation, UserMessage
from streamflow.models.endpoint import Finished, Request, TextPart
from streamflow.models.openai_compatible import OpenAICompatible
from streamflow.models.protocol import Limits, Stop, StopReason, Text, Usage
from streamflow.models.transport import endpoint_url
from streamflow.settings import Settings
from tests.real_model import VARIABLE
from tests.scripted_model.client import ECHO, collected

URL = os.environ.get(VARIABLE, "")

pytestmark = [
    pytest.mark.skipif(not URL, reason="a small real model is not running: make model-test starts one"),
    pytest.mark.timeout(600),
]

STORY = Conversation(instructions=("You tell stories.",), messages=(UserMessage("Tell a long story about a fox."),))
LIMITS = Limits(max_output_tokens=40, first_token_s=200, between_tokens_s=100, whole_s=500)


def access(folder: Path, **model: Any) -> ModelAccess:
    own = {"provider": "openai", "url": URL, "model": "gemma", "price": {"input": 0, "output": 0}} | model
    return ModelAccess(Settings.model_validate({"models": {"available": {"real": own}}, "state_dir": folder}))


def test_text_streams_with_its_usage_and_end(tmp_path: Path) -> None:
    async def play() -> None:
        async with access(tmp_path) as models:
            began = time.monotonic()
            events = await collected(models.model().stream(STORY, (), LIMITS))
            texts = [event for event in events if isinstance(event, Text)]
            usage = next(event for event in events if isinstance(event, Usage))
            print(f"\n{len(texts)} parts, {usage}, {time.monotonic() - began:.1f} s")
            assert isinstance(events[-1], Stop)
            assert events[-1].reason in (StopReason.END, StopReason.LENGTH)
            assert len(texts) > 1 or events[-1].reason is StopReason.END
            assert usage.input_tokens > 0

    asyncio.run(play())


def test_an_answer_is_cancelled_within_a_second(tmp_path: Path) -> None:
    async def play() -> None:
        async with access(tmp_path) as models:
            long = Limits(max_output_tokens=2000, first_token_s=200, between_tokens_s=100, whole_s=500)
            spent: list[Usage] = []
            async with aclosing(models.model().stream(STORY, (), long, spend=spent.append)) as events:
                async for _ in events:
                    break
                left = time.monotonic()
            took = time.monotonic() - left
            print(f"\nleft in {took * 1000:.0f} ms, counted {spent}")
            assert took < 1
            assert spent[0].tokens > 0
            # the server is free again
            assert (await collected(models.model().stream(STORY, (), LIMITS)))[-1]

    asyncio.run(play())


def test_an_answer_is_held_to_a_schema() -> None:
    schema = {
        "type": "object",
        "properties": {"colour": {"type": "string", "enum": ["red", "green"]}, "count": {"type": "integer"}},
        "required": ["colour", "count"],
        "additionalProperties": False,
    }

    async def play() -> None:
        endpoint = OpenAICompatible(url=endpoint_url(URL, "url"), model="gemma", key=None, place="the model")
        request = Request(
            conversation=Conversation(instructions=("Answer in JSON.",), messages=(UserMessage("Two green apples."),)),
            schema=schema,
            max_output_tokens=120,
            temperature=0,
            connect_s=10,
        )
        try:
            parts = [part async for part in endpoint.answer(request)]
        finally:
            await endpoint.close()
        text = "".join(part.text for part in parts if isinstance(part, TextPart))
        print(f"\n{text!r}")
        assert Finished(StopReason.END) in parts
        jsonschema_rs.validate(schema, json.loads(text))

    asyncio.run(play())


def test_its_capabilities_are_found_and_tools_are_given_in_the_best_form(tmp_path: Path) -> None:
    async def play() -> None:
        async with access(tmp_path) as models:
            found = await models.capabilities()
            print(f"\n{found}")
            events = await collected(models.model().stream(STORY, [ECHO], LIMITS))
            assert isinstance(events[-1], Stop)

    asyncio.run(play())
