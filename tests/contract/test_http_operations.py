"""`http.request` and `http.callback`: what they send, and what becomes of an answer."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import jsonschema_rs
import pytest
from aiohttp import web

from streamflow.errors import OperationError
from streamflow.operations.callback import HttpCallback
from streamflow.operations.contract import Pending
from streamflow.operations.http import HttpRequest, retry_after_s
from streamflow.settings import Connection, Settings, Tasks
from tests.contract.http_requests import ask, failing, mirror, opened, told
from tests.contract.servers import attempt, http_server


def test_a_request_carries_key_trace_query_headers_and_body() -> None:
    async def check() -> None:
        async with http_server(mirror) as host:
            url = f"http://{host}/orders?a=1"
            output = await ask(
                host,
                {"url": url, "query": {"b": [1, True], "c": "ä&="}, "headers": {"X-Own": "1"}, "json": {"total": 12}},
            )

        assert output["status"] == 200
        seen = output["body"]
        assert (seen["method"], seen["path"], seen["body"]) == (
            "POST",
            "/orders?a=1&b=1&b=true&c=%C3%A4%26%3D",
            '{"total":12}',
        )
        assert seen["headers"]["Idempotency-Key"] == "run/step"
        assert seen["headers"]["traceparent"].startswith("00-0af7")
        assert seen["headers"]["X-Own"] == "1"
        assert seen["headers"]["Content-Type"] == "application/json"

    asyncio.run(check())


def test_text_is_sent_and_read_as_text() -> None:
    async def handle(request: web.Request) -> web.StreamResponse:
        return web.Response(
            body=f"<{await request.text()}>".encode("latin-1"), headers={"Content-Type": "text/plain; charset=latin-1"}
        )

    async def check() -> None:
        async with http_server(handle) as host:
            output = await ask(host, {"url": f"http://{host}/", "method": "PUT", "text": "Käse"})

        assert output["body"] == "<Käse>"

    asyncio.run(check())


def test_an_empty_answer_has_no_body() -> None:
    async def handle(request: web.Request) -> web.StreamResponse:
        return web.Response(status=204)

    async def check() -> None:
        async with http_server(handle) as host:
            assert (await ask(host, {"url": f"http://{host}/"}))["body"] is None
            assert (await ask(host, {"url": f"http://{host}/", "method": "HEAD"}))["status"] == 204

    asyncio.run(check())


def test_cookies_are_neither_kept_nor_told() -> None:
    seen: list[str | None] = []

    async def handle(request: web.Request) -> web.StreamResponse:
        seen.append(request.headers.get("Cookie"))
        return web.json_response({}, headers={"Set-Cookie": "session=secret"})

    async def check() -> None:
        async with http_server(handle) as host, opened(host) as operation:
            for _ in range(2):
                output = await operation.run({"url": f"http://{host}/"}, attempt())
                assert "secret" not in str(output)

    asyncio.run(check())
    assert seen == [None, None]


@pytest.mark.parametrize(
    ("status", "code", "retryable"),
    [
        (400, "http_rejected", False),
        (401, "http_rejected", False),
        (404, "http_rejected", False),
        (408, "http_unavailable", True),
        (409, "http_rejected", False),
        (425, "http_unavailable", True),
        (429, "http_rate_limited", True),
        (500, "http_unavailable", True),
        (502, "http_unavailable", True),
        (503, "http_unavailable", True),
        (304, "http_unexpected", False),
    ],
)
def test_every_other_status_is_an_error_of_its_kind(status: int, code: str, retryable: bool) -> None:
    async def handle(request: web.Request) -> web.StreamResponse:
        return web.Response(status=status, text="" if status == 304 else "the amount is missing")

    error = failing(handle, "/path?token=private")

    assert (error.code, error.retryable) == (code, retryable)
    assert str(status) in error.message
    assert "private" not in error.message
    assert error.message.endswith(" Its answer says: the amount is missing") == (status != 304)


def test_an_expected_status_is_a_success_and_others_are_not() -> None:
    async def handle(request: web.Request) -> web.StreamResponse:
        return web.json_response({"found": False}, status=404)

    async def check() -> None:
        async with http_server(handle) as host:
            assert (await ask(host, {"url": f"http://{host}/", "expect": [200, 404]}))["status"] == 404

    asyncio.run(check())
    assert failing(told({}), expect=[201]).code == "http_unexpected"


@pytest.mark.parametrize("status", [429, 503])
def test_a_server_says_in_seconds_or_by_a_date_when_to_come_back(status: int) -> None:
    async def seconds(request: web.Request) -> web.StreamResponse:
        return web.Response(status=status, headers={"Retry-After": "17"})

    async def date(request: web.Request) -> web.StreamResponse:
        return web.Response(
            status=status,
            headers={"Retry-After": format_datetime(datetime.now(UTC) + timedelta(seconds=600), usegmt=True)},
        )

    assert failing(seconds).retry_after_s == 17
    assert 540 < (failing(date).retry_after_s or 0) <= 600


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        (None, None),
        ("0", 0),
        (" 5 ", 5),
        ("99999999999999999999", 86_400),
        ("-5", None),
        ("1.5", None),
        ("soon", None),
        ("", None),
        ("Thu, 01 Jan 1970 00:01:40 GMT", 90),
        ("Thu, 01 Jan 1970 00:00:01 GMT", 0),
        ("Thu, 01 Jan 2970 00:00:01 GMT", 86_400),
        ("Thu, 99 Jan 1970 00:00:01 GMT", None),
    ],
)
def test_a_hint_is_a_number_of_seconds_up_to_a_day_or_nothing(text: str | None, seconds: float | None) -> None:
    assert retry_after_s(text, now_s=10.0) == seconds


def test_a_connection_opens_its_own_place_and_gives_its_headers_to_nothing_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PARTNER_TOKEN", "Bearer secret")

    async def check() -> None:
        async with http_server(mirror) as host, opened() as operation:
            partner = Connection(kind="http", url=f"http://{host}/api/", headers={"Authorization": "env:PARTNER_TOKEN"})

            def connection(name: str) -> Connection:
                return partner

            given = attempt(connection=connection)
            output = await operation.run(
                {"url": "orders?x=1", "connection": "partner", "headers": {"authorization": "mine"}}, given
            )
            assert output["body"]["path"] == "/api/orders?x=1"
            assert {
                name: value for name, value in output["body"]["headers"].items() if name.lower() == "authorization"
            } == {"Authorization": "Bearer secret"}
            output = await operation.run({"url": "http://other.example/", "connection": "partner"}, given)
            assert output["body"]["path"].startswith("/api/")
            for outside in ("../admin", "a/../../admin", "%2e%2e/admin", "/../apix"):
                with pytest.raises(OperationError) as raised:
                    await operation.run({"url": outside, "connection": "partner"}, given)
                assert raised.value.code == "url_refused"
            with pytest.raises(OperationError) as raised:
                await operation.run({"url": f"http://{host}/api/orders"}, given)
            assert raised.value.code == "url_refused"

    asyncio.run(check())


def test_a_secret_that_is_not_there_is_named_by_its_reference() -> None:
    partner = Connection(kind="http", url="http://partner.example", headers={"Authorization": "env:NOT_SET_ANYWHERE"})

    def connection(name: str) -> Connection:
        return partner

    async def check() -> OperationError:
        async with opened() as operation:
            with pytest.raises(OperationError) as raised:
                await operation.run({"url": "/", "connection": "partner"}, attempt(connection=connection))
            return raised.value

    error = asyncio.run(check())
    assert (error.code, error.retryable) == ("secret_missing", False)
    assert "NOT_SET_ANYWHERE" in error.message


def test_a_secret_of_several_lines_is_refused_and_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PARTNER_TOKEN", "Bearer\r\nsecret: 1")

    def connection(name: str) -> Connection:
        return Connection(kind="http", url="http://partner.example", headers={"Authorization": "env:PARTNER_TOKEN"})

    async def check() -> OperationError:
        async with opened() as operation:
            with pytest.raises(OperationError) as raised:
                await operation.run({"url": "/", "connection": "partner"}, attempt(connection=connection))
            return raised.value

    error = asyncio.run(check())
    assert error.code == "secret_missing"
    assert "secret: 1" not in str(error)


def test_a_connection_of_another_kind_cannot_be_asked() -> None:
    def connection(name: str) -> Connection:
        return Connection(kind="postgres", url="postgresql://db")

    async def check() -> OperationError:
        async with opened() as operation:
            with pytest.raises(OperationError) as raised:
                await operation.run({"url": "/", "connection": "db"}, attempt(connection=connection))
            return raised.value

    assert asyncio.run(check()).code == "connection_unknown"


@pytest.mark.parametrize("name", ["Host", "content-length", "Transfer-Encoding", "Connection"])
def test_headers_of_the_connection_itself_are_not_the_authors(name: str) -> None:
    assert failing(told({}), headers={name: "x"}).code == "url_refused"


@pytest.mark.parametrize(
    "input",
    [
        {},
        {"url": "http://a.example", "json": 1, "text": "a"},
        {"url": "http://a.example", "headers": {"X": "a\r\nY: b"}},
        {"url": "http://a.example", "headers": {"X Y": "a"}},
        {"url": "http://a.example", "headers": {"": "a"}},
        {"url": "http://a.example", "method": "TRACE"},
        {"url": "http://a.example", "redirects": 100},
        {"url": "http://a.example", "urll": "b"},
    ],
)
def test_the_schema_refuses_what_cannot_be_sent(input: dict[str, Any]) -> None:
    assert not jsonschema_rs.validator_for(HttpRequest.spec.input).is_valid(input)


def test_a_callback_is_asked_for_and_waited_for() -> None:
    seen: list[Any] = []

    async def handle(request: web.Request) -> web.StreamResponse:
        seen.append(await request.json())
        return web.Response(status=202, text="later")

    async def check() -> Any:
        async with http_server(handle) as host:
            operation = HttpCallback(Settings(tasks=Tasks(allow_hosts=[host])))
            input = {"url": f"http://{host}/jobs", "json": {"order": 7}, "within": "2h"}
            assert jsonschema_rs.validator_for(operation.spec.input).is_valid(input)
            ended = await operation.run(input, attempt())
            await operation.close()
            return ended

    assert asyncio.run(check()) == Pending(7200.0)
    assert seen == [{"order": 7, "callback_url": "https://flows.example/callbacks/token-for-7200"}]


def test_a_refused_callback_request_is_an_error_and_not_pending() -> None:
    async def handle(request: web.Request) -> web.StreamResponse:
        return web.Response(status=302, headers={"Location": "/elsewhere"})

    async def check() -> str:
        async with http_server(handle) as host:
            operation = HttpCallback(Settings(tasks=Tasks(allow_hosts=[host])))
            with pytest.raises(OperationError) as raised:
                await operation.run({"url": f"http://{host}/"}, attempt())
            await operation.close()
            return raised.value.code

    assert asyncio.run(check()) == "http_unexpected"


def test_no_callback_is_promised_when_none_can_come() -> None:
    asked: list[bool] = []

    async def handle(request: web.Request) -> web.StreamResponse:
        asked.append(True)
        return web.Response()

    def callback_url(for_s: float) -> str:
        raise OperationError("callbacks_off", "none", retryable=False)

    async def check() -> str:
        async with http_server(handle) as host:
            operation = HttpCallback(Settings(tasks=Tasks(allow_hosts=[host])))
            with pytest.raises(OperationError) as raised:
                await operation.run({"url": f"http://{host}/"}, attempt(callback_url=callback_url))
            await operation.close()
            return raised.value.code

    assert asyncio.run(check()) == "callbacks_off"
    assert asked == []
