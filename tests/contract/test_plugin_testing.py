"""The contract test of plugins by their address finds what is against the contract."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from aiohttp import web

from streamflow.errors import Rejected
from streamflow.operations.http import HttpRequest
from streamflow.operations.plugin import Registration
from streamflow.operations.plugin_testing import RegistrationFile, check_plugin
from streamflow.operations.signature import HEADER, verify
from streamflow.operations.testing import Report, Sample, check_operation
from streamflow.settings import Settings, Tasks
from tests.contract.servers import Handler, http_server

SECRET = "plugin secret"
NUMBER = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
SAMPLES = [Sample({"n": 2}, output={"n": 4}), Sample({"n": -1}, error="too_small")]


async def doubling(request: web.Request) -> web.StreamResponse:
    """A good plugin; the ones below are it with one fault each."""
    if request.path == "/health":
        return web.Response()
    body = await request.read()
    try:
        verify(SECRET, request.headers.get(HEADER), body)
    except Rejected as error:
        return web.json_response(
            {"error": {"code": error.code, "message": error.message, "retryable": False}}, status=401
        )
    return answer(json.loads(body))


SETTINGS = Settings(tasks=Tasks(plugin_secrets={"double": "env:DOUBLE_KEY"}))


def answer(call: dict[str, Any]) -> web.StreamResponse:
    input = call.get("input")
    if "cancel" in call:
        return web.json_response({})
    if not isinstance(input, dict) or not isinstance(input.get("n"), int):
        return web.json_response(
            {"error": {"code": "input_invalid", "message": "no n", "retryable": False}}, status=400
        )
    if input["n"] < 0:
        return web.json_response({"error": {"code": "too_small", "message": "below 0", "retryable": False}})
    return web.json_response({"output": {"n": input["n"] * 2}})


def report(handler: Handler, monkeypatch: pytest.MonkeyPatch) -> Report:
    monkeypatch.setenv("DOUBLE_KEY", SECRET)

    async def check() -> Report:
        async with http_server(handler) as host:
            place = {"endpoint": f"http://{host}/", "health": f"http://{host}/health", "secret": "double"}
            spec = {
                "name": "own.double",
                "input": NUMBER,
                "output": NUMBER,
                "errors": [{"id": "too_small", "retryable": False}],
                "timeout": "2s",
            }
            return await check_plugin(Registration.model_validate({"spec": spec, "plugin": place}), SAMPLES, SETTINGS)

    return asyncio.run(check())


def failed(handler: Handler, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    found = report(handler, monkeypatch)
    assert SECRET not in str(found)
    return [str(check) for check in found.checks if not check.ok]


def test_a_good_plugin_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    found = report(doubling, monkeypatch)

    assert found.ok, found


def test_a_plugin_that_checks_no_signature_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    async def handle(request: web.Request) -> web.StreamResponse:
        return web.Response() if request.path == "/health" else answer(await request.json())

    (wrong,) = failed(handle, monkeypatch)
    assert "a wrong signature is refused: expected an error but it was done" in wrong


def test_a_plugin_that_has_a_wrong_signature_tried_again_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    async def handle(request: web.Request) -> web.StreamResponse:
        try:
            verify(SECRET, request.headers.get(HEADER), await request.read())
        except Rejected:
            if request.path != "/health":
                return web.json_response({"error": {"code": "signature_wrong"}}, status=401)
        return await doubling(request)

    (wrong,) = failed(handle, monkeypatch)
    assert "Say retryable: false" in wrong


def test_a_plugin_that_does_something_with_wrong_input_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    async def handle(request: web.Request) -> web.StreamResponse:
        done = await doubling(request)
        return web.json_response({"output": {"n": 0}}) if done.status == 400 else done

    (wrong,) = failed(handle, monkeypatch)
    assert "wrong input is refused by the plugin: expected an error for None but an output" in wrong


def test_a_plugin_that_falls_over_wrong_input_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    async def handle(request: web.Request) -> web.StreamResponse:
        done = await doubling(request)
        return web.Response(status=500) if done.status == 400 else done

    (wrong,) = failed(handle, monkeypatch)
    assert "Answer 400 with an error" in wrong


def test_a_plugin_that_is_not_well_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    async def handle(request: web.Request) -> web.StreamResponse:
        return web.Response(status=503) if request.path == "/health" else await doubling(request)

    (wrong,) = failed(handle, monkeypatch)
    assert "answers 503" in wrong


def test_a_plugin_that_breaks_its_schema_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    async def handle(request: web.Request) -> web.StreamResponse:
        done = await doubling(request)
        return web.json_response({"output": {"n": "two"}}) if done.status == 200 and request.method == "POST" else done

    assert any("its output to fit the schema but /n:" in wrong for wrong in failed(handle, monkeypatch))


def test_a_plugin_that_is_not_there_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    async def handle(request: web.Request) -> web.StreamResponse:
        return web.Response(status=404)

    wrong = failed(handle, monkeypatch)
    assert any("answers 404" in one for one in wrong)
    assert any("plugin_rejected" in one for one in wrong)


def test_a_missing_secret_is_found_and_named(monkeypatch: pytest.MonkeyPatch) -> None:
    async def check() -> Report:
        place = {"endpoint": "http://127.0.0.1:1/", "secret": "not-configured"}
        spec = {"name": "own.double", "input": NUMBER, "output": NUMBER}
        return await check_plugin(Registration.model_validate({"spec": spec, "plugin": place}), SAMPLES, Settings())

    assert "not-configured" in str(asyncio.run(check()))


def test_samples_of_a_registration_file_say_what_they_expect() -> None:
    file = RegistrationFile.model_validate(
        {
            "spec": {"name": "own.double"},
            "plugin": {"endpoint": "http://a.example/", "secret": "a"},
            "samples": [{"input": 1}, {"input": 2, "output": None}, {"input": 3, "error": "odd", "name": "three"}],
        }
    )

    first, second, third = (one.sample() for one in file.samples)
    assert first == Sample(1)
    assert second == Sample(2, output=None)
    assert third == Sample(3, error="odd", name="three")
    assert "samples" not in file.registration().model_dump()


def test_http_request_keeps_the_contract_of_operations() -> None:
    async def handle(request: web.Request) -> web.StreamResponse:
        return web.json_response(
            {"path": request.path}, status=404 if request.path == "/missing" else 200, headers={"Date": "a fixed one"}
        )

    async def check() -> Report:
        async with http_server(handle) as host:
            samples = [
                Sample({"url": f"http://{host}/a"}),
                Sample({"url": f"http://{host}/missing"}, error="http_rejected"),
                Sample({"url": "ftp://a"}, error="url_refused"),
            ]
            return await check_operation(HttpRequest(Settings(tasks=Tasks(allow_hosts=[host]))), samples)

    found = asyncio.run(check())
    assert found.ok, found
