"""Servers that misbehave: each ends in one clear error or a marked end, within its time, and no half call is given."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path

import pytest

from streamflow.errors import OperationError
from streamflow.models.protocol import Event, Stop, StopReason, Text, ToolCall, Usage
from tests.scripted_model import Answer, Call, ScriptedModel, Trouble
from tests.scripted_model.client import APIS, ECHO, KEY, access, asked, calls_of, closed_at_once, collected, text_of

pytestmark = pytest.mark.timeout(120)

WORDS = "one two three four five six"
CALL = Call("echo", '{"text": "a long enough text to be cut within"}')


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY, "sk-test-0123456789")


async def until_it_fails(events: AsyncGenerator[Event, None]) -> tuple[list[Event], OperationError]:
    """What came before the error, and the error."""
    came: list[Event] = []
    try:
        async with aclosing(events):
            async for event in events:
                came.append(event)  # noqa: PERF401 - a comprehension would lose what came
    except OperationError as error:
        return came, error
    pytest.fail(f"expected an error but the answer ended: {came}")


@pytest.mark.parametrize("api", APIS)
@pytest.mark.parametrize("trouble", ["cut", "cut_cleanly"])
def test_an_answer_that_is_cut_in_its_text_breaks_off(api: str, trouble: Trouble, tmp_path: Path) -> None:
    async def play() -> None:
        script = [Answer(WORDS, trouble=trouble, pieces_until=5)]
        async with ScriptedModel(script) as server, access(server, api, tmp_path) as models:
            came, error = await until_it_fails(asked(models))
            assert error.code == "model_broken_off"
            assert error.retryable
            assert WORDS.startswith(text_of(came))
            assert text_of(came)
            assert len(server.asked) == 1, "what was shown is not asked for again"

    asyncio.run(play())


@pytest.mark.parametrize("api", APIS)
@pytest.mark.parametrize("trouble", ["cut", "cut_cleanly"])
@pytest.mark.parametrize("pieces", [3, 6, 9, 12])
def test_no_half_call_is_given(api: str, trouble: Trouble, pieces: int, tmp_path: Path) -> None:
    """Cut in the middle of JSON, at several places, also behind a first complete call: nothing of it is given."""

    async def play() -> None:
        script = [Answer(calls=(Call("echo", '{"text": "a"}'), CALL), trouble=trouble, pieces_until=pieces)]
        async with ScriptedModel(script) as server, access(server, api, tmp_path) as models:
            came, error = await until_it_fails(asked(models, [ECHO], attempts=1))
            assert error.code == "model_broken_off"
            assert came == []

    asyncio.run(play())


@pytest.mark.parametrize("api", APIS)
def test_a_cut_before_anything_came_is_asked_again(api: str, tmp_path: Path) -> None:
    async def play() -> None:
        script = [Answer(WORDS, trouble="cut", pieces_until=1), Answer(WORDS)]
        async with ScriptedModel(script) as server, access(server, api, tmp_path) as models:
            assert text_of(await collected(asked(models))) == WORDS
            assert len(server.asked) == 2

    asyncio.run(play())


@pytest.mark.parametrize("api", APIS)
@pytest.mark.parametrize("trouble", ["silence", "keepalive"])
def test_silence_at_the_beginning_ends_in_time(api: str, trouble: Trouble, tmp_path: Path) -> None:
    async def play() -> None:
        script = [Answer(WORDS, trouble=trouble, pieces_until=1)]
        async with ScriptedModel(script) as server, access(server, api, tmp_path) as models:
            came, error = await until_it_fails(asked(models, first_token_s=0.4, attempts=1))
            assert (came, error.code, error.facts["limit"]) == ([], "model_timeout", "first token")
            await closed_at_once(server.asked[0])

    asyncio.run(play())


@pytest.mark.parametrize("api", APIS)
@pytest.mark.parametrize("trouble", ["silence", "keepalive"])
def test_silence_within_an_answer_ends_in_time(api: str, trouble: Trouble, tmp_path: Path) -> None:
    async def play() -> None:
        script = [Answer(WORDS, trouble=trouble, pieces_until=6)]
        async with ScriptedModel(script) as server, access(server, api, tmp_path) as models:
            came, error = await until_it_fails(asked(models, between_tokens_s=0.4))
            assert (error.code, error.facts["limit"]) == ("model_timeout", "next token")
            assert text_of(came)
            await closed_at_once(server.asked[0])

    asyncio.run(play())


@pytest.mark.parametrize("api", APIS)
def test_an_answer_that_has_ended_is_whole_although_its_connection_stays_open(api: str, tmp_path: Path) -> None:
    async def play() -> None:
        async with (
            ScriptedModel([Answer(WORDS, (CALL,), trouble="open_end")]) as server,
            access(server, api, tmp_path) as models,
        ):
            events = await collected(asked(models, [ECHO]))
            assert text_of(events) == WORDS
            assert [call.problem for call in calls_of(events)] == [None]
            assert events[-1] == Stop(StopReason.TOOLS)

    asyncio.run(play())


@pytest.mark.parametrize("api", APIS)
def test_the_whole_answer_has_a_limit(api: str, tmp_path: Path) -> None:
    async def play() -> None:
        script = [Answer(WORDS, trouble="endless_text", pieces_until=3)]
        async with ScriptedModel(script) as server, access(server, api, tmp_path) as models:
            _, error = await until_it_fails(
                asked(models, whole_s=0.5, max_output_tokens=10_000_000, answer_chars=1_000_000_000)
            )
            assert (error.code, error.facts["limit"]) == ("model_timeout", "whole")

    asyncio.run(play())


@pytest.mark.parametrize("api", APIS)
def test_an_endless_text_ends_at_the_limit_of_characters(api: str, tmp_path: Path) -> None:
    async def play() -> None:
        script = [Answer(WORDS, trouble="endless_text", pieces_until=3)]
        async with ScriptedModel(script) as server, access(server, api, tmp_path) as models:
            events = await collected(asked(models, answer_chars=5000))
            assert events[-1] == Stop(StopReason.LENGTH)
            assert 5000 < len(text_of(events)) < 6000
            await closed_at_once(server.asked[0])

    asyncio.run(play())


@pytest.mark.parametrize("api", APIS)
def test_more_tokens_than_were_asked_for_are_not_read(api: str, tmp_path: Path) -> None:
    async def play() -> None:
        script = [Answer(WORDS, trouble="endless_text", pieces_until=3)]
        async with ScriptedModel(script) as server, access(server, api, tmp_path) as models:
            events = await collected(asked(models, max_output_tokens=50))
            assert events[-1] == Stop(StopReason.LENGTH)
            assert len(text_of(events)) < 1600
            usage = next(event for event in events if isinstance(event, Usage))
            assert usage.output_tokens > 200, "what came is counted, although nobody reported it"

    asyncio.run(play())


@pytest.mark.parametrize("api", APIS)
def test_endless_calls_end_at_their_limit(api: str, tmp_path: Path) -> None:
    async def play() -> None:
        script = [Answer("", (CALL,), trouble="endless_calls", pieces_until=3)]
        async with ScriptedModel(script) as server, access(server, api, tmp_path) as models:
            events = await collected(asked(models, [ECHO], calls=4))
            assert events[-1] == Stop(StopReason.CALLS)
            assert len(calls_of(events)) == 4
            assert all(call.problem for call in calls_of(events)), "none of them was complete"
            usage = next(event for event in events if isinstance(event, Usage))
            assert usage.output_tokens < 1000, "what follows the last call that may be is not read"

    asyncio.run(play())


@pytest.mark.parametrize("api", APIS)
def test_endless_arguments_end_at_the_limit_of_characters(api: str, tmp_path: Path) -> None:
    async def play() -> None:
        script = [Answer("", (CALL,), trouble="endless_arguments", pieces_until=3)]
        async with ScriptedModel(script) as server, access(server, api, tmp_path) as models:
            events = await collected(asked(models, [ECHO]))
            assert events[-1] == Stop(StopReason.LENGTH)
            assert all(call.problem for call in calls_of(events))
            assert [event for event in events if isinstance(event, Text)] == []

    asyncio.run(play())


@pytest.mark.parametrize("api", APIS)
@pytest.mark.parametrize("trouble", ["not_json", "wrong_json"])
def test_nonsense_within_an_answer_is_named(api: str, trouble: Trouble, tmp_path: Path) -> None:
    async def play() -> None:
        script = [Answer(WORDS, trouble=trouble, pieces_until=5)]
        async with ScriptedModel(script) as server, access(server, api, tmp_path) as models:
            _, error = await until_it_fails(asked(models))
            assert (error.code, error.retryable) == ("model_response_invalid", False)
            assert "model main at http://127.0.0.1" in error.message

    asyncio.run(play())


@pytest.mark.parametrize("api", APIS)
@pytest.mark.parametrize("trouble", ["html", "gzip"])
def test_what_is_no_answer_of_the_api_is_named(api: str, trouble: Trouble, tmp_path: Path) -> None:
    async def play() -> None:
        script = [Answer(WORDS, trouble=trouble)]
        async with ScriptedModel(script) as server, access(server, api, tmp_path) as models:
            came, error = await until_it_fails(asked(models))
            assert (came, error.code, error.retryable) == ([], "model_response_invalid", False)

    asyncio.run(play())


@pytest.mark.parametrize("api", ["openai", "anthropic"])
def test_a_line_that_never_ends_does_not_fill_the_memory(
    api: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streamflow.models.transport.MOST_BYTES", 3 << 20)

    async def play() -> None:
        script = [Answer(WORDS, trouble="endless_line")]
        async with ScriptedModel(script) as server, access(server, api, tmp_path) as models:
            _, error = await until_it_fails(asked(models))
            assert error.code == "model_response_invalid"
            assert "more than 3145728 bytes" in error.message

    asyncio.run(play())


@pytest.mark.parametrize("trouble", ["bad_checksum", "endless_line"])
def test_a_damaged_event_stream_is_found(trouble: Trouble, tmp_path: Path) -> None:
    async def play() -> None:
        script = [Answer(WORDS, trouble=trouble, pieces_until=4)]
        async with ScriptedModel(script) as server, access(server, "bedrock", tmp_path) as models:
            _, error = await until_it_fails(asked(models))
            assert error.code == "model_response_invalid"
            assert "checksum" in error.message

    asyncio.run(play())


@pytest.mark.parametrize(
    ("api", "code"),
    [("openai", "model_unavailable"), ("anthropic", "model_unavailable"), ("bedrock", "model_rate_limited")],
)
def test_an_error_within_the_stream_is_the_providers(api: str, code: str, tmp_path: Path) -> None:
    async def play() -> None:
        script = [Answer(WORDS, trouble="error_event", pieces_until=6)]
        async with ScriptedModel(script) as server, access(server, api, tmp_path) as models:
            _, error = await until_it_fails(asked(models))
            assert (error.code, error.retryable) == (code, True)
            assert "overloaded by the script" in error.message

    asyncio.run(play())


@pytest.mark.parametrize("api", APIS)
def test_an_error_within_the_stream_before_anything_came_is_asked_again(api: str, tmp_path: Path) -> None:
    async def play() -> None:
        script = [Answer(WORDS, trouble="error_event", pieces_until=1), Answer(WORDS)]
        async with ScriptedModel(script) as server, access(server, api, tmp_path) as models:
            assert text_of(await collected(asked(models))) == WORDS

    asyncio.run(play())


@pytest.mark.parametrize("api", APIS)
def test_every_call_is_whole_when_one_is_given(api: str, tmp_path: Path) -> None:
    """The control of the tests above: the same calls without trouble are given."""

    async def play() -> None:
        script = [Answer(calls=(Call("echo", '{"text": "a"}'), CALL))]
        async with ScriptedModel(script) as server, access(server, api, tmp_path) as models:
            events = await collected(asked(models, [ECHO]))
            assert [isinstance(event, ToolCall) and event.problem is None for event in events[:2]] == [True, True]

    asyncio.run(play())
