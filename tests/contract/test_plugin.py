"""Plugins, well-behaved and not, as a worker sees them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from pydantic import ValidationError

from streamflow.definition.catalog import OperationSpec
from streamflow.errors import OperationError, Rejected
from streamflow.operations.contract import Health, Pending
from streamflow.operations.plugin import PluginOperation, PluginSpec, plugin_egress
from streamflow.operations.signature import HEADER, verify
from streamflow.settings import Settings, Tasks
from tests.contract.servers import Handler, attempt, http_server, raw_server

SPEC = OperationSpec(name="fraud.score", input={"type": "object"}, output={"type": "object"})
SECRET = "the key of the plugin"


@pytest.fixture(autouse=True)
def secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FRAUD_KEY", SECRET)


@asynccontextmanager
async def plugin(host: str, *, pending: str | None = None, health: str | None = None) -> AsyncIterator[PluginOperation]:
    settings = Settings(tasks=Tasks(output_bytes=10_000, plugin_secrets={"fraud": "env:FRAUD_KEY"}))
    egress = plugin_egress(settings)
    place = PluginSpec(
        endpoint=f"http://{host}/score",
        secret="fraud",
        pending=pending,
        health=health and f"http://{host}{health}",
    )
    operation = PluginOperation(SPEC, place, settings, egress)
    try:
        yield operation
    finally:
        await operation.close()
        await egress.close()


def ended(handler: Handler, *, pending: str | None = None) -> Any:
    """What one attempt at a plugin that answers by `handler` gives."""

    async def check() -> Any:
        async with http_server(handler) as host, plugin(host, pending=pending) as operation:
            return await operation.run({"amount": 12}, attempt())

    return asyncio.run(check())


def failing(handler: Handler, *, pending: str | None = None) -> OperationError:
    with pytest.raises(OperationError) as raised:
        ended(handler, pending=pending)
    assert SECRET not in str(raised.value)
    return raised.value


def answering(status: int, body: Any = None, **headers: str) -> Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        return web.Response(
            status=status, body=data, headers={name.replace("_", "-"): value for name, value in headers.items()}
        )

    return handle


def test_a_plugin_is_told_all_about_the_attempt_under_a_signature() -> None:
    seen: dict[str, Any] = {}

    async def handle(request: web.Request) -> web.StreamResponse:
        body = await request.read()
        verify(SECRET, request.headers[HEADER], body)
        seen.update(
            json.loads(body),
            method=request.method,
            header=request.headers["Idempotency-Key"],
            trace=request.headers["traceparent"],
        )
        return web.json_response({"output": {"score": 1}})

    assert ended(handle) == {"score": 1}
    assert seen.pop("deadline_ms") > 1_600_000_000_000
    assert seen.pop("trace") == attempt().trace
    assert seen == {
        "method": "POST",
        "header": "run/step",
        "operation": "fraud.score",
        "id": "run/step/1",
        "idempotency_key": "run/step",
        "input": {"amount": 12},
        "run": "run",
        "step": "step",
        "item": None,
        "attempt": 1,
        "callback_url": None,
    }


def test_a_plugin_may_answer_later_if_it_is_registered_so() -> None:
    seen: list[str] = []

    async def handle(request: web.Request) -> web.StreamResponse:
        seen.append((await request.json())["callback_url"])
        return web.json_response({"for_s": 60}, status=202)

    assert ended(handle, pending="1h") == Pending(60)
    assert seen == ["https://flows.example/callbacks/token-for-3600"]
    assert failing(handle).code == "plugin_answer_invalid"


@pytest.mark.parametrize(("body", "for_s"), [({"for_s": 999_999}, 3600), ({}, 3600), (b"", 3600)])
def test_a_plugin_is_waited_for_no_longer_than_it_is_registered_for(body: Any, for_s: float) -> None:
    assert ended(answering(202, body), pending="1h") == Pending(for_s)


@pytest.mark.parametrize("body", [{"for_s": 0}, {"for_s": -1}, {"for_s": "long"}, b"later", []])
def test_a_plugin_that_will_answer_at_no_time_is_an_error(body: Any) -> None:
    assert failing(answering(202, body), pending="1h").code == "plugin_answer_invalid"


@pytest.mark.parametrize("status", [200, 400, 422, 500])
def test_a_plugin_names_its_error_with_any_status(status: int) -> None:
    error = failing(
        answering(
            status,
            {"error": {"code": "card_unknown", "message": "no such card", "retryable": False, "retry_after_s": 2.5}},
        )
    )

    assert (error.code, error.message, error.retryable, error.retry_after_s) == (
        "card_unknown",
        "no such card",
        False,
        2.5,
    )


@pytest.mark.parametrize(
    ("status", "code", "retryable"),
    [
        (500, "plugin_unavailable", True),
        (503, "plugin_unavailable", True),
        (429, "plugin_unavailable", True),
        (400, "plugin_rejected", False),
        (404, "plugin_rejected", False),
        (200, "plugin_answer_invalid", False),
        (204, "plugin_answer_invalid", False),
    ],
)
def test_a_plugin_that_says_nothing_of_sense_fails_by_its_status(status: int, code: str, retryable: bool) -> None:
    error = failing(answering(status, b"" if status == 204 else b"<html>oops", Retry_After="7"))

    assert (error.code, error.retryable) == (code, retryable)
    assert error.retry_after_s == (7 if retryable else None)
    assert error.message.endswith(" Its answer says: <html>oops") == (status >= 400)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"{",
        [],
        {},
        {"output": 1, "error": {"code": "a"}},
        {"result": 1},
        b"\xff",
        b'{"output":' + b"[" * 9000,
    ],
)
def test_nonsense_is_an_invalid_answer(body: Any) -> None:
    error = failing(answering(200, body))

    assert (error.code, error.retryable) == ("plugin_answer_invalid", False)


def test_an_output_with_a_status_that_is_no_success_is_an_invalid_answer() -> None:
    assert failing(answering(404, {"output": 1})).code == "plugin_answer_invalid"


@pytest.mark.parametrize("place", ["/elsewhere", "http://169.254.169.254/"])
def test_a_plugin_that_redirects_is_not_followed(place: str) -> None:
    asked: list[str] = []

    async def handle(request: web.Request) -> web.StreamResponse:
        asked.append(request.path)
        return web.Response(status=307, headers={"Location": place})

    error = failing(handle)
    assert (error.code, error.retryable) == ("plugin_redirected", False)
    assert asked == ["/score"]


def test_a_plugin_that_answers_fifty_megabytes_is_cut_off() -> None:
    sent = 0

    async def handle(request: web.Request) -> web.StreamResponse:
        nonlocal sent
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b'{"output": "')
        for _ in range(800):
            await response.write(b"x" * 65_536)
            sent += 65_536
        return response

    error = failing(handle)
    assert (error.code, error.retryable) == ("output_too_large", False)
    assert sent < 20_000_000


def test_a_plugin_that_dies_half_way_is_tried_again() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"output"')
        await writer.drain()

    async def check() -> OperationError:
        async with raw_server(talk) as host, plugin(host) as operation:
            with pytest.raises(OperationError) as raised:
                await operation.run({}, attempt())
            return raised.value

    error = asyncio.run(check())
    assert (error.code, error.retryable) == ("http_broken_off", True)


def test_a_plugin_that_is_not_there_is_tried_again_and_not_well() -> None:
    async def check() -> tuple[OperationError, Health]:
        async with http_server(answering(200)) as host:
            pass
        async with plugin(host, health="/health") as operation:
            with pytest.raises(OperationError) as raised:
                await operation.run({}, attempt())
            return raised.value, await operation.health()

    error, health = asyncio.run(check())
    assert (error.code, error.retryable) == ("http_unreachable", True)
    assert not health.ok


async def hang(until: Callable[[], Any]) -> tuple[list[dict[str, Any]], Any]:
    """What a plugin that hangs is told by DELETE when an attempt at it ends by `until`."""
    told: list[dict[str, Any]] = []
    came, cancelled = asyncio.Event(), asyncio.Event()

    async def handle(request: web.Request) -> web.StreamResponse:
        body = await request.read()
        verify(SECRET, request.headers[HEADER], body)
        if request.method == "DELETE":
            told.append(json.loads(body))
            cancelled.set()
            return web.Response(status=204)
        came.set()
        await asyncio.sleep(3600)
        raise AssertionError

    async with http_server(handle) as host, plugin(host) as operation:
        task = asyncio.create_task(operation.run({}, attempt(timeout_s=until() or 5.0)))
        await asyncio.wait_for(came.wait(), 5)
        if not until():
            task.cancel()
        how = (await asyncio.gather(task, return_exceptions=True))[0]
        await asyncio.wait_for(cancelled.wait(), 5)
    return told, how


CANCELLED = {"operation": "fraud.score", "id": "run/step/1", "idempotency_key": "run/step", "cancel": True}


def test_a_cancelled_attempt_is_cancelled_at_the_plugin() -> None:
    told, how = asyncio.run(hang(lambda: None))

    assert isinstance(how, asyncio.CancelledError)
    assert told == [CANCELLED]


def test_a_plugin_that_hangs_is_given_up_and_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streamflow.operations.plugin._GRACE_S", 0.0)

    told, how = asyncio.run(hang(lambda: 0.2))

    assert isinstance(how, OperationError)
    assert (how.code, how.retryable) == ("http_timeout", True)
    assert told == [CANCELLED]


def test_a_secret_that_is_not_there_is_named_and_nothing_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FRAUD_KEY")
    asked: list[bool] = []

    async def handle(request: web.Request) -> web.StreamResponse:
        asked.append(True)
        return web.json_response({"output": 1})

    error = failing(handle)
    assert (error.code, error.retryable) == ("secret_missing", False)
    assert "FRAUD_KEY" not in error.message
    assert "plugin secret fraud" in error.message
    assert asked == []


@pytest.mark.parametrize("place", ["file:/dev/zero", "file:/not/there", "file:/tmp", "env:NOT_SET"])
def test_nothing_of_the_workers_places_is_told_to_who_registers_a_plugin(place: str) -> None:
    async def check(secret: str) -> str:
        settings = Settings(tasks=Tasks(plugin_secrets={"fraud": place}))
        async with plugin("127.0.0.1:1") as operation:
            given = PluginSpec(endpoint="http://127.0.0.1:1/", secret=secret)
            with pytest.raises(OperationError) as raised:
                await PluginOperation(SPEC, given, settings, operation._egress).run({}, attempt())
            assert raised.value.code == "secret_missing"
            return raised.value.message

    assert asyncio.run(check("fraud")) == (
        "The worker cannot read the plugin secret fraud. Its log says why (plugin_secret_unreadable)."
    )
    assert asyncio.run(check("other")).startswith("The worker has no plugin secret other.")


@pytest.mark.parametrize(("status", "ok"), [(200, True), (503, False), (302, False)])
def test_a_plugins_health_is_what_its_address_says(status: int, ok: bool) -> None:
    async def check() -> Health:
        async with http_server(answering(status)) as host, plugin(host, health="/health") as operation:
            return await operation.health()

    assert asyncio.run(check()).ok is ok


@pytest.mark.parametrize(
    "wrong",
    [
        {"endpoint": "ftp://fraud.example/"},
        {"endpoint": "http://169.254.169.254/"},
        {"endpoint": "http://user:password@fraud.example/"},
        {"endpoint": "fraud.example"},
        {"health": "http://[fe80::1]/"},
        {"secret": "the secret itself"},
        {"pending": "long"},
        {"unknown": 1},
    ],
)
def test_a_registration_that_cannot_work_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        PluginSpec(**({"endpoint": "http://fraud.example/", "secret": "fraud"} | wrong))


def test_a_wrong_signature_is_refused_by_the_plugin_and_not_tried_again() -> None:
    async def handle(request: web.Request) -> web.StreamResponse:
        try:
            verify("another secret", request.headers[HEADER], await request.read())
        except Rejected as error:
            return web.json_response(
                {"error": {"code": error.code, "message": error.message, "retryable": False}}, status=401
            )
        raise AssertionError

    error = failing(handle)
    assert (error.code, error.retryable) == ("signature_wrong", False)
