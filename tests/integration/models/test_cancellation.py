"""A caller that leaves: it goes on at once, the server sees the connection end in the same turns of the loop, and what
came is counted."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import pytest
from yarl import URL

from streamflow.models.anthropic_native import AnthropicNative
from streamflow.models.endpoint import Request
from streamflow.models.openai_compatible import OpenAICompatible
from streamflow.models.protocol import Event, Text, Usage
from tests.scripted_model import Answer, ScriptedModel
from tests.scripted_model.client import (
    APIS,
    ECHO,
    HELLO,
    KEY,
    LIMITS,
    access,
    asked,
    closed_at_once,
    collected,
    settings,
    text_of,
)

pytestmark = pytest.mark.timeout(120)

WORDS = "one two three four"
REGIONS = {"anthropic": None, "bedrock": "eu-central-1"}
# Neither the model's texts nor a limit end an answer before the caller does.
LONG = replace(LIMITS, whole_s=3600, answer_chars=1_000_000_000, max_output_tokens=10_000_000)


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY, "sk-test-0123456789")


@dataclass(frozen=True)
class Moment:
    """When the caller leaves."""

    name: str
    answer: Answer
    text: bool  # after some text came, else when the request has arrived


MOMENTS = (
    Moment("before_the_head", Answer(WORDS, trouble="no_head"), text=False),
    Moment("before_the_first_piece", Answer(WORDS, trouble="silence", pieces_until=0), text=False),
    Moment("before_the_first_text", Answer(WORDS, trouble="silence", pieces_until=1), text=False),
    Moment("in_a_pause", Answer(WORDS, trouble="silence", pieces_until=6), text=True),
    Moment("between_keepalives", Answer(WORDS, trouble="keepalive", pieces_until=6), text=True),
    Moment("while_text_comes", Answer(WORDS, trouble="endless_text", pieces_until=6), text=True),
)


async def begun(events: AsyncGenerator[Event, None], server: ScriptedModel, moment: Moment) -> asyncio.Task[None]:
    """A task that reads `events`, when it has come to `moment`."""
    came = asyncio.Event()

    async def read() -> None:
        async with aclosing(events):
            async for event in events:
                if isinstance(event, Text):
                    came.set()

    task = asyncio.create_task(read())
    async with server.arrived:
        await server.arrived.wait_for(lambda: server.asked)
    if moment.text:
        await came.wait()
    return task


@pytest.mark.parametrize("api", APIS)
@pytest.mark.parametrize("moment", MOMENTS, ids=lambda moment: moment.name)
def test_a_cancelled_answer_closes_its_connection_at_once(api: str, moment: Moment, tmp_path: Path) -> None:
    async def play() -> None:
        async with ScriptedModel([moment.answer, Answer("next")]) as server, access(server, api, tmp_path) as models:
            task = await begun(asked(models, limits=LONG), server, moment)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await closed_at_once(server.asked[0])
            assert text_of(await collected(asked(models))) == "next", "the model can be asked again"

    asyncio.run(play())


@pytest.mark.parametrize("api", APIS)
@pytest.mark.parametrize("moment", [moment for moment in MOMENTS if moment.text], ids=lambda moment: moment.name)
def test_a_caller_that_leaves_closes_the_connection_at_once(api: str, moment: Moment, tmp_path: Path) -> None:
    async def play() -> None:
        async with ScriptedModel([moment.answer]) as server, access(server, api, tmp_path) as models:
            async with aclosing(asked(models, limits=LONG)) as events:
                async for event in events:
                    if isinstance(event, Text):
                        break
            await closed_at_once(server.asked[0])

    asyncio.run(play())


@pytest.mark.parametrize("api", APIS)
def test_no_generator_is_left_to_the_garbage_collector(api: str, tmp_path: Path) -> None:
    """The collector would close connections too, but later, and not in an interpreter without counts of references."""
    left: list[str] = []

    async def play() -> None:
        async with ScriptedModel([Answer(WORDS)]) as server:
            given = settings(server, api, tmp_path).models.available["main"]
            made = OpenAICompatible if api == "openai" else partial(AnthropicNative, region=REGIONS[api])
            endpoint = made(url=URL(str(given.url)), model="m", key=given.key, place="the model")
            request = Request(conversation=HELLO, max_output_tokens=99, temperature=0, connect_s=30)
            hooks = sys.get_asyncgen_hooks()

            assert hooks.finalizer is not None
            usual = hooks.finalizer

            def collected_as_garbage(one: AsyncGenerator[object, None]) -> None:
                left.append(getattr(one, "__qualname__", ""))
                usual(one)

            sys.set_asyncgen_hooks(firstiter=hooks.firstiter, finalizer=collected_as_garbage)
            async with aclosing(endpoint.answer(request)) as parts:
                await anext(parts)
            await endpoint.close()

    asyncio.run(play())
    assert [name for name in left if name.startswith(("OpenAICompatible", "AnthropicNative"))] == []


@pytest.mark.parametrize("api", APIS)
def test_what_came_before_the_caller_left_is_counted(api: str, tmp_path: Path) -> None:
    async def play() -> None:
        spent: list[Usage] = []
        script = [Answer("x" * 400, trouble="silence", pieces_until=90)]
        async with ScriptedModel(script) as server, access(server, api, tmp_path) as models:
            came = 0
            async with aclosing(models.model().stream(HELLO, (), LIMITS, spend=spent.append)) as events:
                async for event in events:
                    came += len(getattr(event, "text", ""))
                    if came >= 300:
                        break
            await closed_at_once(server.asked[0])
            assert len(spent) == 1
            assert spent[0].estimated
            assert spent[0].output_tokens >= 100

    asyncio.run(play())


@pytest.mark.parametrize("api", APIS)
def test_cancelled_while_its_capabilities_are_probed(api: str, tmp_path: Path) -> None:
    async def play() -> None:
        moment = MOMENTS[0]
        async with (
            ScriptedModel([moment.answer]) as server,
            access(server, api, tmp_path, form=None) as models,
        ):
            task = await begun(asked(models, [ECHO], LONG), server, moment)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await closed_at_once(server.asked[0])

    asyncio.run(play())


@pytest.mark.parametrize("api", APIS)
def test_cancelled_while_it_waits_for_the_next_attempt(api: str, tmp_path: Path) -> None:
    async def play() -> None:
        script = [Answer(status=429, headers={"retry-after": "1800"})]
        async with ScriptedModel(script) as server, access(server, api, tmp_path) as models:
            waits = asyncio.create_task(collected(asked(models, limits=LONG)))
            async with server.arrived:
                await server.arrived.wait_for(lambda: server.asked)
            waits.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waits
            assert len(server.asked) == 1

    asyncio.run(play())
