"""Attempts, keys and the way out: what is asked again and when, and what never leaves."""

from __future__ import annotations

import asyncio
import time
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest

from streamflow.errors import OperationError
from streamflow.models.access import ModelAccess
from streamflow.models.protocol import Usage
from tests.scripted_model import Answer, Asked, Call, ScriptedModel
from tests.scripted_model.client import (
    APIS,
    ECHO,
    KEY,
    access,
    asked,
    calls_of,
    collected,
    settings,
    text_of,
)

pytestmark = pytest.mark.timeout(120)

SECRET = "sk-test-0123456789"


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY, SECRET)


async def failure_of(models: ModelAccess, **limits: Any) -> OperationError:
    with pytest.raises(OperationError) as caught:
        await collected(asked(models, **limits))
    return caught.value


@pytest.mark.parametrize(
    ("api", "hint"),
    [
        *((api, {"retry-after-ms": "800"}) for api in APIS),
        ("openai", {"retry-after": "1"}),
        ("openai", {"retry-after": lambda: formatdate(time.time() + 2, usegmt=True)}),
    ],
    ids=[*APIS, "seconds", "date"],
)
def test_a_limited_request_waits_as_long_as_the_provider_says(api: str, hint: dict[str, str], tmp_path: Path) -> None:
    async def play() -> None:
        headers = {name: value() if callable(value) else value for name, value in hint.items()}
        script = [Answer(status=429, headers=headers), Answer("now")]
        async with ScriptedModel(script) as server, access(server, api, tmp_path) as models:
            began = time.monotonic()
            assert text_of(await collected(asked(models))) == "now"
            assert time.monotonic() - began > 0.75, "the usual wait is shorter"

    asyncio.run(play())


@pytest.mark.parametrize("api", APIS)
def test_a_hint_beyond_the_time_of_the_answer_ends_it_at_once(api: str, tmp_path: Path) -> None:
    async def play() -> None:
        script = [Answer(status=429, headers={"retry-after": "60"}, error="slow down")]
        async with ScriptedModel(script) as server, access(server, api, tmp_path) as models:
            error = await failure_of(models)
            assert (error.code, error.retry_after_s, error.retryable) == ("model_rate_limited", 60.0, True)
            assert error.message.endswith("slow down. Try again after 60 s, or raise the limit at the provider.")
            assert len(server.asked) == 1

    asyncio.run(play())


@pytest.mark.parametrize("api", APIS)
@pytest.mark.parametrize("status", [500, 502, 503, 529, 408])
def test_a_server_in_trouble_is_asked_again(api: str, status: int, tmp_path: Path) -> None:
    async def play() -> None:
        script = [Answer(status=status, headers={"retry-after": "0"})] * 2 + [Answer("well again")]
        async with ScriptedModel(script) as server, access(server, api, tmp_path) as models:
            events = await collected(asked(models))
            assert text_of(events) == "well again"
            assert len(server.asked) == 3
            assert next(event for event in events if isinstance(event, Usage)).tokens == 18, "refusals are free"

    asyncio.run(play())


@pytest.mark.parametrize("api", APIS)
@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (Answer(status=401, error=f"Incorrect API key provided: {SECRET}"), "model_key_refused"),
        (Answer(status=403), "model_key_refused"),
        (Answer(status=400, error="prompt is too long"), "model_rejected"),
        (Answer(status=404, error="no such model"), "model_rejected"),
        (Answer(status=413), "model_rejected"),
        (Answer(status=422), "model_rejected"),
        (Answer(status=503, headers={"x-should-retry": "false"}), "model_unavailable"),
        (Answer(trouble="redirect"), "model_rejected"),
    ],
    ids=lambda value: str(getattr(value, "status", value)),
)
def test_a_refusal_is_not_asked_again(api: str, answer: Answer, code: str, tmp_path: Path) -> None:
    async def play() -> None:
        async with ScriptedModel([answer, Answer("too late")]) as server, access(server, api, tmp_path) as models:
            error = await failure_of(models)
            assert (error.code, error.retryable) == (code, False)
            assert len(server.asked) == 1
            assert SECRET not in str(error)

    asyncio.run(play())


@pytest.mark.parametrize("api", APIS)
def test_attempts_are_limited(api: str, tmp_path: Path) -> None:
    async def play() -> None:
        script = [Answer(status=500, headers={"retry-after": "0"})] * 9
        async with ScriptedModel(script) as server, access(server, api, tmp_path) as models:
            assert (await failure_of(models, attempts=4)).code == "model_unavailable"
            assert len(server.asked) == 4

    asyncio.run(play())


@pytest.mark.parametrize("api", APIS)
def test_only_the_settings_choose_endpoint_and_key(api: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Client libraries read addresses, keys, proxies and headers from variables; none of that counts."""
    for name in ("OPENAI", "ANTHROPIC", "ANTHROPIC_BEDROCK"):
        monkeypatch.setenv(f"{name}_BASE_URL", "http://127.0.0.1:1/")
        monkeypatch.setenv(f"{name}_API_KEY", "sk-of-the-environment")
        monkeypatch.setenv(f"{name}_CUSTOM_HEADERS", "X-Of-Environment: 1\nAuthorization: Bearer other")
    monkeypatch.setenv("AWS_BEARER_TOKEN_BEDROCK", "of-the-environment")
    monkeypatch.setenv("ANTHROPIC_AUTH_TOKEN", "of-the-environment")
    monkeypatch.setenv("OPENAI_ORG_ID", "org-of-environment")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "proj-of-environment")
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")

    async def play() -> None:
        async with ScriptedModel([Answer("here")]) as server, access(server, api, tmp_path) as models:
            assert text_of(await collected(asked(models))) == "here"
            headers = server.asked[0].headers
            assert "environment" not in str(headers).lower()
            assert [name for name in headers if name.startswith(("x-stainless", "openai-"))] == []
            assert SECRET in (headers.get("authorization", "") + headers.get("x-api-key", ""))
            assert "other" not in headers.get("authorization", "")

    asyncio.run(play())


@pytest.mark.parametrize("api", APIS)
def test_a_rotated_key_is_used_from_the_next_request_on(api: str, tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("first-key-0123\n")

    async def play() -> None:
        async with (
            ScriptedModel([Answer("a"), Answer("b")]) as server,
            access(server, api, tmp_path, key=f"file:{file}") as models,
        ):
            await collected(asked(models))
            file.write_text("second-key-0123\n")
            await collected(asked(models))
            sent = [str(one.headers) for one in server.asked]
            assert "first-key-0123" in sent[0]
            assert "second-key-0123" in sent[1]

    asyncio.run(play())


@pytest.mark.parametrize("api", APIS)
def test_a_missing_key_is_named_by_its_reference(api: str, tmp_path: Path) -> None:
    async def play() -> None:
        async with ScriptedModel() as server, access(server, api, tmp_path, key="env:NOT_SET_HERE") as models:
            error = await failure_of(models)
            assert error.code == "secret_missing"
            assert "NOT_SET_HERE" in error.message
            assert server.asked == []

    asyncio.run(play())


@pytest.mark.parametrize("api", APIS)
def test_a_server_that_is_not_there_is_named(api: str, tmp_path: Path) -> None:
    async def play() -> None:
        async with ScriptedModel() as server:
            gone = settings(server, api, tmp_path)
        async with ModelAccess(gone) as models:
            error = await failure_of(models, attempts=1)
            assert (error.code, error.retryable) == ("model_unreachable", True)

    asyncio.run(play())


@pytest.mark.parametrize("api", APIS)
@pytest.mark.parametrize(
    ("address", "code"),
    [
        ("169.254.169.254", "url_refused"),  # a cloud's metadata, by a name that the settings open
        ("fd00:ec2::254", "url_refused"),
        ("0.0.0.0", "url_refused"),
        ("8.8.8.8", "url_refused"),  # http to the internet would show the key
    ],
)
def test_a_name_that_leads_elsewhere_is_not_followed(api: str, address: str, code: str, tmp_path: Path) -> None:
    async def resolve(host: str, port: int) -> list[str]:
        return [address]

    async def play() -> None:
        async with ScriptedModel() as server:
            given = settings(server, api, tmp_path, url="http://models.example:8080/v1")
            async with ModelAccess(given, resolve=resolve) as models:
                error = await failure_of(models)
                assert (error.code, error.retryable) == (code, False)

    asyncio.run(play())


def test_a_name_is_connected_to_the_address_that_was_judged(tmp_path: Path) -> None:
    """Asked twice, the name leads elsewhere; the connection is made to the first answer, with the name as Host."""

    async def play() -> None:
        async with ScriptedModel([Answer("here")]) as server:
            port = int(server.url.rpartition(":")[2])
            answers = [["127.0.0.1"], ["169.254.169.254"]]

            async def resolve(host: str, port: int) -> list[str]:
                return answers.pop(0)

            given = settings(server, "openai", tmp_path, url=f"http://models.example:{port}/v1")
            async with ModelAccess(given, resolve=resolve) as models:
                assert text_of(await collected(asked(models))) == "here"
                assert server.asked[0].headers["host"] == f"models.example:{port}"
                assert len(answers) == 1

    asyncio.run(play())


@pytest.mark.parametrize("url", ["ftp://x/v1", "http://user:pw@x/v1", "http://", "nonsense"])
def test_an_address_that_is_none_is_refused_with_its_setting(url: str, tmp_path: Path) -> None:
    async def play() -> None:
        async with ScriptedModel() as server, access(server, "openai", tmp_path, url=url) as models:
            with pytest.raises(OperationError) as caught:
                models.model()
            assert caught.value.code == "url_refused"
            assert "models.available.main.url" in caught.value.message

    asyncio.run(play())


@pytest.mark.parametrize("api", APIS)
def test_a_grammar_that_does_not_take_the_tools_is_given_up(api: str, tmp_path: Path) -> None:
    def script(one: Asked) -> Answer:
        tool = one.body["tools"][0]
        if tool.get("strict") or tool.get("function", {}).get("strict"):
            return Answer(status=400, error="compiled grammar is too large")
        return Answer(calls=(Call("echo", '{"text": "a"}'),))

    async def play() -> None:
        async with ScriptedModel(script) as server, access(server, api, tmp_path, form="strict_tools") as models:
            for expected in (2, 3):  # the second time strict tools are not tried
                events = await collected(asked(models, [ECHO]))
                assert len([event for event in events if not isinstance(event, Usage)]) == 2
                assert len(server.asked) == expected

    asyncio.run(play())


@pytest.mark.parametrize("api", APIS)
def test_a_refused_answer_schema_is_given_up_for_words(api: str, tmp_path: Path) -> None:
    def script(one: Asked) -> Answer:
        if "response_format" in one.body or "output_config" in one.body:
            return Answer(status=400, error="this schema is not supported")
        return Answer('{"text": "", "calls": [{"tool": "echo", "arguments": {"text": "a"}}]}')

    async def play() -> None:
        async with ScriptedModel(script) as server, access(server, api, tmp_path, form="json_schema") as models:
            counts = []
            for _ in range(2):
                events = await collected(asked(models, [ECHO]))
                assert [call.arguments for call in calls_of(events)] == [{"text": "a"}]
                counts.append(len(server.asked))
            tried = 3 if api == "openai" else 2  # OpenAI's form of a schema, llama.cpp's, and words
            assert counts == [tried, tried + 1]

    asyncio.run(play())


def test_a_form_of_schemas_that_a_server_fails_at_is_given_up_for_the_one_it_knows(tmp_path: Path) -> None:
    """As llama-cpp-python answers: 500, with its validation error as the text."""

    def script(one: Asked) -> Answer:
        if one.body["response_format"]["type"] == "json_schema":
            error = "1 validation error: Input should be 'text' or 'json_object', 'input': 'json_schema'"
            return Answer(status=500, error=error)
        return Answer('{"text": "", "calls": [{"tool": "echo", "arguments": {"text": "a"}}]}')

    async def play() -> None:
        async with ScriptedModel(script) as server, access(server, "openai", tmp_path, form="json_schema") as models:
            for expected in (2, 3):
                events = await collected(asked(models, [ECHO]))
                assert [call.arguments for call in calls_of(events)] == [{"text": "a"}]
                assert len(server.asked) == expected

    asyncio.run(play())


def test_a_refusal_for_another_reason_keeps_the_form(tmp_path: Path) -> None:
    async def play() -> None:
        script = [Answer(status=400, error="prompt is too long")] * 2 + [Answer(calls=(Call("echo", '{"text": "a"}'),))]
        async with ScriptedModel(script) as server, access(server, "openai", tmp_path, form="strict_tools") as models:
            with pytest.raises(OperationError):
                await collected(asked(models, [ECHO]))
            await collected(asked(models, [ECHO]))
            strict = [one.body["tools"][0]["function"].get("strict", False) for one in server.asked]
            assert strict == [True, False, True]

    asyncio.run(play())
