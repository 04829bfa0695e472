"""The same conversation with calls in all forms of the ladder: what the model gets, and what the caller gets."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from streamflow.models.conversation import Conversation, ToolResult, UserMessage
from streamflow.models.protocol import Stop, StopReason, message_of
from tests.scripted_model import Answer, Asked, Call, ScriptedModel
from tests.scripted_model.client import APIS, ECHO, KEY, access, asked, calls_of, collected, text_of

pytestmark = pytest.mark.timeout(120)

FORMS = ("strict_tools", "json_schema", "tools", "plain")
ENVELOPE = {"text": "I look.", "calls": [{"tool": "echo", "arguments": {"text": "a", "times": None}}]}


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY, "sk-test-0123456789")


def answered(one: Asked) -> Answer:
    """First a call, then its end, in the form that was asked for."""
    done = "result of a tool" in json.dumps(one.body["messages"])
    if one.tools:
        return Answer("Done.") if done else Answer("I look.", (Call("echo", '{"text": "a"}', "c1"),))
    text: dict[str, Any] = {"text": "Done.", "calls": []} if done else ENVELOPE
    if "response_format" not in one.body and "output_config" not in one.body:
        text = json.loads(json.dumps(text).replace(', "times": null', ""))
    return Answer(json.dumps(text))


@pytest.mark.parametrize("api", APIS)
@pytest.mark.parametrize("form", FORMS)
def test_a_call_its_result_and_the_end(api: str, form: str, tmp_path: Path) -> None:
    async def play() -> None:
        async with ScriptedModel(answered) as server, access(server, api, tmp_path, form=form) as models:
            begun = Conversation(instructions=("Be brief.",), messages=(UserMessage("Go."),))
            first = await collected(asked(models, [ECHO], conversation=begun))
            (call,) = calls_of(first)
            assert (text_of(first), call.arguments, call.problem) == ("I look.", {"text": "a"}, None)
            assert first[-1] == Stop(StopReason.TOOLS)

            went_on = (*begun.messages, message_of(first), ToolResult(call.id, "a"))
            second = await collected(
                asked(models, [ECHO], conversation=Conversation(instructions=begun.instructions, messages=went_on))
            )
            assert (text_of(second), calls_of(second), second[-1]) == ("Done.", [], Stop(StopReason.END))

            assert [bool(one.tools) for one in server.asked] == [form in ("strict_tools", "tools")] * 2
            held = [("response_format" in one.body) or ("output_config" in one.body) for one in server.asked]
            assert held == [form == "json_schema"] * 2
            assert ('"strict": true' in json.dumps(server.asked[0].body)) == (
                form == "strict_tools" or (form == "json_schema" and api == "openai")
            )

    asyncio.run(play())


@pytest.mark.parametrize("api", APIS)
@pytest.mark.parametrize("form", ["json_schema", "plain"])
def test_text_within_an_object_is_shown_as_it_comes(api: str, form: str, tmp_path: Path) -> None:
    async def play() -> None:
        script = [Answer(json.dumps({"text": "one two three", "calls": []}), piece_chars=3)]
        async with ScriptedModel(script) as server, access(server, api, tmp_path, form=form) as models:
            events = await collected(asked(models, [ECHO]))
            assert text_of(events) == "one two three"
            assert len(events) > 5

    asyncio.run(play())


@pytest.mark.parametrize("form", ["json_schema", "plain"])
@pytest.mark.parametrize(
    "text",
    [
        '{"text": "t", "calls": [{"tool": "publish", "arguments": {}}]}',
        '{"text": "t", "calls": [{"tool": "echo", "arguments": {"secret": 1}}]}',
        '{"text": "t", "calls": [{"tool": "echo", "arguments": "nonsense"}]}',
        '{"text": "t", "calls": [{"arguments": {}}]}',
    ],
)
def test_a_wrong_call_in_an_object_has_its_problem(form: str, text: str, tmp_path: Path) -> None:
    async def play() -> None:
        async with ScriptedModel([Answer(text)]) as server, access(server, "openai", tmp_path, form=form) as models:
            (call,) = calls_of(await collected(asked(models, [ECHO])))
            assert call.problem
            assert call.arguments == {}

    asyncio.run(play())


def test_more_calls_in_an_object_than_may_be_are_not_read(tmp_path: Path) -> None:
    async def play() -> None:
        many = {"text": "", "calls": [{"tool": "echo", "arguments": {"text": str(n)}} for n in range(20)]}
        async with (
            ScriptedModel([Answer(json.dumps(many))]) as server,
            access(server, "openai", tmp_path, form="plain") as models,
        ):
            events = await collected(asked(models, [ECHO], calls=3))
            assert len(calls_of(events)) == 3
            assert events[-1] == Stop(StopReason.CALLS)

    asyncio.run(play())


def test_a_schema_is_given_in_the_form_that_the_server_takes(tmp_path: Path) -> None:
    """llama.cpp's server takes the schema beside the type, not OpenAI's `json_schema`."""

    def script(one: Asked) -> Answer:
        if one.body["response_format"]["type"] == "json_schema":
            return Answer(status=422, error="Input should be 'text' or 'json_object'")
        assert one.body["response_format"]["schema"]["required"] == ["text", "calls"]
        return Answer(json.dumps(ENVELOPE))

    async def play() -> None:
        async with ScriptedModel(script) as server, access(server, "openai", tmp_path, form="json_schema") as models:
            for expected in (2, 3):
                assert len(calls_of(await collected(asked(models, [ECHO])))) == 1
                assert len(server.asked) == expected

    asyncio.run(play())


def test_without_a_set_form_the_best_that_is_found_is_used_and_kept(tmp_path: Path) -> None:
    def script(one: Asked) -> Answer:
        if one.tools:
            return Answer(status=400, error="tools are not supported")
        if "Call the tool" in json.dumps(one.body["messages"]) or "report" in json.dumps(one.body["messages"]).lower():
            return Answer('{"colour": "green"}')
        return Answer(json.dumps({"text": "ready", "calls": []}))

    async def play() -> None:
        async with ScriptedModel(script) as server:
            for expected in (5, 1):  # four questions of the probe, and none of them in the next process
                async with access(server, "openai", tmp_path, form=None) as models:
                    before = len(server.asked)
                    assert text_of(await collected(asked(models, [ECHO]))) == "ready"
                    assert len(server.asked) - before == expected
                    assert (await models.capabilities()).form == "json_schema"
            damaged = next((tmp_path / "models").iterdir())
            damaged.write_text("nonsense")
            async with access(server, "openai", tmp_path, form=None) as models:
                assert (await models.capabilities()).form == "json_schema"

    asyncio.run(play())
