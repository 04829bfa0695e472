"""Calls out of one JSON object: text as early as it is sure, in any pieces, and text that is no object as it is."""

from __future__ import annotations

import json
from typing import Any

import jiter
import jsonschema_rs
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streamflow.models.conversation import AssistantMessage, Conversation, MadeCall, ToolResult, UserMessage
from streamflow.models.envelope import EnvelopeReader, conversation_of, schema_of
from streamflow.models.tools import Tool

TOOL = Tool(
    "echo",
    "Says it again.",
    {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"], "additionalProperties": False},
)
ANSWER = {"text": 'Grüße, "quoted"\n{braces} 😀', "calls": [{"tool": "echo", "arguments": {"text": "a"}}]}


def read(text: str, size: int) -> tuple[list[str], list[tuple[str, str]]]:
    reader = EnvelopeReader()
    shown = [reader.feed(text[start : start + size]) for start in range(0, len(text), size)]
    rest, calls = reader.finish()
    return [*filter(None, shown), *filter(None, [rest])], calls


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
@pytest.mark.parametrize("ascii_only", [True, False])
@pytest.mark.parametrize("frame", ["{}", "\n {}\n", "```json\n{}\n```", "```\n{}\n```\nDone."])
def test_text_and_calls_are_read_in_any_pieces(size: int, ascii_only: bool, frame: str) -> None:
    shown, calls = read(frame.replace("{}", json.dumps(ANSWER, ensure_ascii=ascii_only)), size)

    assert "".join(shown) == ANSWER["text"]
    assert calls == [("echo", '{"text": "a"}')]


def test_text_is_shown_before_the_object_ends() -> None:
    reader = EnvelopeReader()

    assert reader.feed('{"text": "I lo') == "I lo"
    assert reader.feed("ok it up") == "ok it up"


@pytest.mark.parametrize("size", [1, 5, 1000])
@pytest.mark.parametrize(
    "text", ["Just words.", "7", "[1]", "null", '{"other": 1}', '{"text": "cut', "```python\nx\n```", "{", ""]
)
def test_what_is_no_such_object_is_text_and_never_a_call(text: str, size: int) -> None:
    shown, calls = read(text, size)

    assert calls == []
    assert "".join(shown) == ("cut" if text == '{"text": "cut' else text)


def test_a_long_text_in_small_pieces_is_parsed_seldom(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hostile answer must not take the event loop with it."""
    parsed = []
    real = jiter.from_json

    def counted(data: bytes, **how: Any) -> Any:
        parsed.append(len(data))
        return real(data, **how)

    monkeypatch.setattr(jiter, "from_json", counted)
    text = "x" * 40_000
    shown, _ = read(json.dumps({"text": text, "calls": []}), 4)

    assert "".join(shown) == text
    assert sum(parsed) < 100 * len(text)
    assert len(shown) > 100


@pytest.mark.parametrize("calls", ["x", 7, None, [7, "x", None], [{}], [{"tool": 7}]])
def test_calls_of_another_shape_are_no_calls_or_have_no_name(calls: object) -> None:
    _, found = read(json.dumps({"text": "t", "calls": calls}), 9)

    assert all(name in ("", "7") for name, _ in found)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.text(max_size=60), st.integers(1, 9))
def test_any_text_comes_through(text: str, size: int) -> None:
    shown, _ = read(json.dumps({"text": text, "calls": []}), size)

    assert "".join(shown) == text.encode("utf-8", "replace").decode() or "".join(shown) == text


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.text(max_size=60), st.integers(1, 9))
def test_no_text_crashes_the_reader(text: str, size: int) -> None:
    read(text, size)


@pytest.mark.parametrize("count", [1, 2])
def test_the_schema_takes_the_answer_and_no_other_tool(count: int) -> None:
    schema = schema_of([Tool(name, "", TOOL.schema) for name in ("echo", "other")[:count]])

    jsonschema_rs.validate(schema, ANSWER)
    assert not jsonschema_rs.is_valid(schema, {"text": "", "calls": [{"tool": "publish", "arguments": {"text": "a"}}]})
    assert not jsonschema_rs.is_valid(schema, {"text": "", "calls": [{"tool": "echo", "arguments": {"secret": 1}}]})
    assert not jsonschema_rs.is_valid(schema, {"text": ""})


def test_a_conversation_with_calls_is_told_in_messages() -> None:
    given_one = Conversation(
        instructions=("Be brief.",),
        messages=(
            UserMessage("Go."),
            AssistantMessage("I look.", (MadeCall("1", "echo", '{"text": "a"}'), MadeCall("2", "echo", "nonsense"))),
            ToolResult("1", "stranger's text"),
            ToolResult("2", "no JSON", failed=True),
        ),
    )
    made = conversation_of(given_one, [TOOL])

    assert '"tool": "echo"' in made.system()
    assert made.system().startswith("Be brief.")
    assert made.messages[0] == UserMessage("Go.")
    assert isinstance(made.messages[1], AssistantMessage)
    assert [call["arguments"] for call in json.loads(made.messages[1].text)["calls"]] == [{"text": "a"}, {}]
    assert isinstance(made.messages[2], UserMessage)
    assert '<data name="result of a tool"' in made.messages[2].text
    assert "stranger" not in made.system()
