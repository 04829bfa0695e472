"""Answers of the three APIs over real connections: text, calls, usage, the end, and what was asked."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from streamflow.models.conversation import (
    AssistantMessage,
    Conversation,
    MadeCall,
    Material,
    ToolResult,
    UserMessage,
)
from streamflow.models.protocol import Stop, StopReason, ToolCall, Usage
from streamflow.models.tools import Tool
from tests.scripted_model import Answer, Call, ScriptedModel
from tests.scripted_model.client import APIS, ECHO, KEY, access, asked, calls_of, collected, text_of

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY, "sk-test-0123456789")


@pytest.mark.parametrize("api", APIS)
def test_text_comes_in_pieces_with_its_usage_and_end(api: str, tmp_path: Path) -> None:
    async def play() -> None:
        usage = {"input": 20, "output": 9, "cached": 5, "written": 3}
        async with (
            ScriptedModel([Answer("It is ready.", usage=usage)]) as server,
            access(server, api, tmp_path) as models,
        ):
            events = await collected(asked(models))
            assert text_of(events) == "It is ready."
            assert len(events) > 4
            written = 0 if api == "openai" else 3  # its API does not report it
            assert events[-2:] == [
                Usage(input_tokens=20, cached_input_tokens=5, cache_write_tokens=written, output_tokens=9),
                Stop(StopReason.END),
            ]

    asyncio.run(play())


@pytest.mark.parametrize("api", APIS)
def test_calls_are_complete_and_fit_their_schema(api: str, tmp_path: Path) -> None:
    async def play() -> None:
        calls = (Call("echo", '{"text": "a"}', "x1"), Call("echo", '{"text": "ü", "times": 2}', "x2"))
        async with (
            ScriptedModel([Answer("Two calls.", calls, thinking="hm hm hm")]) as server,
            access(server, api, tmp_path) as models,
        ):
            events = await collected(asked(models, [ECHO]))
            assert text_of(events) == "Two calls."
            assert calls_of(events) == [
                ToolCall(id="x1", name="echo", arguments={"text": "a"}, raw=calls[0].arguments),
                ToolCall(id="x2", name="echo", arguments={"text": "ü", "times": 2}, raw=calls[1].arguments),
            ]
            assert events[-1] == Stop(StopReason.TOOLS)
            assert server.asked[0].tools == ["echo"]

    asyncio.run(play())


@pytest.mark.parametrize("api", APIS)
@pytest.mark.parametrize(
    ("call", "problem"),
    [
        (Call("ehco", "{}"), "There is no tool 'ehco'. Call one of echo. Did you mean echo?"),
        (Call("publish", "{}"), "There is no tool 'publish'. Call one of echo."),
        (Call("echo", "not json"), "is not JSON"),
        (Call("echo", '{"text": "a'), "ends too early"),
        (Call("echo", "[1]"), "are a list. Send one JSON object."),
        (Call("echo", '{"text": 7}'), '7 is not of type "string"'),
        (Call("echo", '{"text": "a", "secret": 1}'), "secret"),
        (Call("echo", '{"text": "a", "times": 0}'), "/times"),
        (Call("echo", "{}"), "text"),
    ],
    ids=str,
)
def test_a_wrong_call_has_its_problem_and_no_arguments(api: str, call: Call, problem: str, tmp_path: Path) -> None:
    async def play() -> None:
        async with ScriptedModel([Answer(calls=(call,))]) as server, access(server, api, tmp_path) as models:
            (made,) = calls_of(await collected(asked(models, [ECHO])))
            assert problem in (made.problem or "")
            assert (made.arguments, made.raw, made.name) == ({}, call.arguments, call.name)

    asyncio.run(play())


@pytest.mark.parametrize(
    ("api", "stop", "reason"),
    [
        ("openai", "length", StopReason.LENGTH),
        ("openai", "content_filter", StopReason.REFUSED),
        ("openai", "a new reason", StopReason.END),
        ("anthropic", "max_tokens", StopReason.LENGTH),
        ("anthropic", "refusal", StopReason.REFUSED),
        ("anthropic", "model_context_window_exceeded", StopReason.LENGTH),
        ("bedrock", "max_tokens", StopReason.LENGTH),
        ("bedrock", "a new reason", StopReason.END),
    ],
)
def test_the_reason_of_the_end_is_the_providers(api: str, stop: str, reason: StopReason, tmp_path: Path) -> None:
    async def play() -> None:
        async with ScriptedModel([Answer("Half", stop=stop)]) as server, access(server, api, tmp_path) as models:
            assert (await collected(asked(models)))[-1] == Stop(reason)

    asyncio.run(play())


@pytest.mark.parametrize("api", APIS)
def test_usage_is_estimated_where_none_is_reported(api: str, tmp_path: Path) -> None:
    async def play() -> None:
        async with ScriptedModel([Answer("x" * 300, usage=None)]) as server, access(server, api, tmp_path) as models:
            usage = (await collected(asked(models)))[-2]
            assert isinstance(usage, Usage)
            assert usage.estimated
            assert usage.output_tokens == 100
            assert usage.input_tokens > 0

    asyncio.run(play())


def test_calls_that_are_all_numbered_zero_are_told_apart_by_their_ids(tmp_path: Path) -> None:
    async def play() -> None:
        calls = tuple(Call("echo", json.dumps({"text": text})) for text in "abc")
        async with (
            ScriptedModel([Answer(calls=calls, index_always_zero=True)]) as server,
            access(server, "openai", tmp_path) as models,
        ):
            made = calls_of(await collected(asked(models, [ECHO])))
            assert [call.arguments for call in made] == [{"text": "a"}, {"text": "b"}, {"text": "c"}]

    asyncio.run(play())


def test_calls_with_the_same_id_get_ids_of_their_own(tmp_path: Path) -> None:
    async def play() -> None:
        calls = (Call("echo", '{"text": "a"}', "same"), Call("echo", '{"text": "b"}', "same"))
        async with ScriptedModel([Answer(calls=calls)]) as server, access(server, "openai", tmp_path) as models:
            assert [call.id for call in calls_of(await collected(asked(models, [ECHO])))] == ["same", "call_2"]

    asyncio.run(play())


def test_an_empty_stream_is_asked_once_more_as_a_whole(tmp_path: Path) -> None:
    """Some servers lose calls when they stream."""

    async def play() -> None:
        script = [Answer(""), Answer(calls=(Call("echo", '{"text": "a"}'),))]
        async with ScriptedModel(script) as server, access(server, "openai", tmp_path) as models:
            events = await collected(asked(models, [ECHO]))
            assert [call.arguments for call in calls_of(events)] == [{"text": "a"}]
            assert [one.body["stream"] for one in server.asked] == [True, False]
            assert events[-2] == Usage(input_tokens=22, output_tokens=14)

    asyncio.run(play())


@pytest.mark.parametrize("api", APIS)
def test_a_long_conversation_is_sent_in_the_providers_form(api: str, tmp_path: Path) -> None:
    conversation = Conversation(
        instructions=("Be brief.", "", "Speak plainly."),
        materials=(Material("catalog", "event order.placed"),),
        messages=(
            UserMessage("Draft it."),
            AssistantMessage("I look.", (MadeCall("x1", "echo", '{"text": "a"}'), MadeCall("x2", "echo", "nonsense"))),
            ToolResult("x1", "a"),
            ToolResult("x2", "not JSON", failed=True),
            UserMessage("Go on.", (Material("sample", "{}"),)),
        ),
    )

    async def play() -> None:
        async with ScriptedModel([Answer("Done.")]) as server, access(server, api, tmp_path) as models:
            await collected(asked(models, [ECHO], conversation=conversation))
            body = server.asked[0].body
            roles = [message["role"] for message in body["messages"]]
            if api == "openai":
                assert roles == ["system", "user", "user", "assistant", "tool", "tool", "user"]
                assert body["messages"][0]["content"] == "Be brief.\n\nSpeak plainly."
                assert [call["id"] for call in body["messages"][3]["tool_calls"]] == ["x1", "x2"]
                assert body["max_tokens"] == 1000
            else:
                assert roles == ["user", "assistant", "user"]
                assert body["system"][0]["text"] == "Be brief.\n\nSpeak plainly."
                assert [block["type"] for block in body["messages"][1]["content"]] == ["text", "tool_use", "tool_use"]
                assert [block["type"] for block in body["messages"][2]["content"]] == [
                    *("tool_result", "tool_result", "text"),
                ]
                assert body["messages"][2]["content"][1]["is_error"] is True
                assert body["max_tokens"] == 1000
            # what strangers wrote is never in the system's role
            assert "order.placed" not in json.dumps(body.get("system", body["messages"][0]))
            assert "order.placed" in json.dumps(body["messages"])

    asyncio.run(play())


@pytest.mark.parametrize("api", ["anthropic", "bedrock"])
def test_the_prefix_that_stays_the_same_is_marked_to_be_cached(api: str, tmp_path: Path) -> None:
    conversation = Conversation(
        instructions=("Be brief.",), materials=(Material("catalog", "events"),), messages=(UserMessage("hello"),)
    )
    tools = [Tool(name, "A tool.", ECHO.schema) for name in ("second", "first")]

    async def play() -> None:
        async with ScriptedModel([Answer("Yes."), Answer("Yes.")]) as server, access(server, api, tmp_path) as models:
            await collected(asked(models, tools, conversation=conversation))
            await collected(asked(models, tools[::-1], conversation=conversation))
            first, second = (one.body for one in server.asked)
            assert first == second, "the same content in another order is the same request"
            assert [("cache_control" in tool) for tool in first["tools"]] == [False, True]
            assert "cache_control" in first["system"][0]
            assert ["cache_control" in block for block in first["messages"][0]["content"]] == [True, True]

    asyncio.run(play())


@pytest.mark.parametrize("api", APIS)
def test_the_temperature_is_sent_only_if_it_is_set(api: str, tmp_path: Path) -> None:
    async def play() -> None:
        async with ScriptedModel([Answer("a"), Answer("b")]) as server, access(server, api, tmp_path) as models:
            await collected(asked(models))
            await collected(asked(models, temperature=0.25))
            assert [one.body.get("temperature") for one in server.asked] == [None, 0.25]

    asyncio.run(play())
