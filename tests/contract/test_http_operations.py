"""`http.request` and `http.callback` against real servers, well-behaved and not."""

from __future__ import annotations

import asyncio
import socket
import time
import tracemalloc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import jsonschema_rs
import pytest
from aiohttp import web

from streamflow.errors import OperationError
from streamflow.operations.address import Policy, parse_url
from streamflow.operations.callback import HttpCallback
from streamflow.operations.contract import Pending
from streamflow.operations.egress import Egress, Request
from streamflow.operations.http import HttpRequest, retry_after_s
from streamflow.settings import Connection, Settings, Tasks
from tests.contract.servers import Handler, attempt, http_server, raw_server


def told(answer: Any) -> Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        return web.json_response(answer)

    return handle


async def mirror(request: web.Request) -> web.StreamResponse:
    """Answers with what it was asked."""
    body = await request.text()
    return web.json_response({"method": request.method, "path": str(request.rel_url), "headers": dict(request.headers), "body": body})


@asynccontextmanager
async def opened(*hosts: str, **changes: Any) -> AsyncIterator[HttpRequest]:
    operation = HttpRequest(Settings(tasks=Tasks(allow_hosts=list(hosts), **changes)))
    try:
        yield operation
    finally:
        await operation.close()


async def ask(host: str, input: dict[str, Any], **changes: Any) -> Any:
    """The output, checked against the schema, of one request to an allowed host."""
    async with opened(host) as operation:
        assert jsonschema_rs.validator_for(operation.spec.input).is_valid(input)
        output = await operation.run(input, attempt(**changes))
        assert jsonschema_rs.validator_for(operation.spec.output).is_valid(output)
        return output


def failing(handler: Handler, path: str = "/", **input: Any) -> OperationError:
    """The error that one request to `handler` ends with; its code is a declared one, its message keeps the query to itself."""

    async def check() -> OperationError:
        async with http_server(handler) as host:
            with pytest.raises(OperationError) as raised:
                await ask(host, {"url": f"http://{host}{path}"} | input)
            return raised.value

    error = asyncio.run(check())
    assert error.code in {declared.id for declared in HttpRequest.spec.errors}
    return error


def test_a_request_carries_key_trace_query_headers_and_body() -> None:
    async def check() -> None:
        async with http_server(mirror) as host:
            url = f"http://{host}/orders?a=1"
            output = await ask(host, {"url": url, "query": {"b": [1, True], "c": "ä&="}, "headers": {"X-Own": "1"}, "json": {"total": 12}})

        assert output["status"] == 200
        seen = output["body"]
        assert (seen["method"], seen["path"], seen["body"]) == ("POST", "/orders?a=1&b=1&b=true&c=%C3%A4%26%3D", '{"total":12}')
        assert seen["headers"]["Idempotency-Key"] == "run/step"
        assert seen["headers"]["traceparent"].startswith("00-0af7")
        assert seen["headers"]["X-Own"] == "1"
        assert seen["headers"]["Content-Type"] == "application/json"

    asyncio.run(check())


def test_text_is_sent_and_read_as_text() -> None:
    async def handle(request: web.Request) -> web.StreamResponse:
        return web.Response(body=f"<{await request.text()}>".encode("latin-1"), headers={"Content-Type": "text/plain; charset=latin-1"})

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
        return web.Response(status=status, text="private words")

    error = failing(handle, "/path?token=private")

    assert (error.code, error.retryable) == (code, retryable)
    assert str(status) in error.message
    assert "private" not in error.message


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
        return web.Response(status=status, headers={"Retry-After": format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True)})

    assert failing(seconds).retry_after_s == 17
    assert 55 < (failing(date).retry_after_s or 0) <= 60


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


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:{port}/",
        "http://localhost:{port}/",
        "http://[::1]:{port}/",
        "http://127.1:{port}/",
        "http://user:password@127.0.0.1:{port}/",
        "ftp://127.0.0.1:{port}/",
        "http://169.254.169.254/latest/meta-data/",
    ],
)
def test_a_server_that_is_not_allowed_is_never_connected_to(url: str) -> None:
    connected: list[bool] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connected.append(True)

    async def check() -> OperationError:
        async with raw_server(talk) as host, opened() as operation:
            with pytest.raises(OperationError) as raised:
                await operation.run({"url": url.format(port=host.rpartition(":")[2])}, attempt())
            return raised.value

    error = asyncio.run(check())
    assert (error.code, error.retryable) == ("url_refused", False)
    assert connected == []


def test_localhost_on_a_usual_port_is_refused_when_its_name_is_resolved() -> None:
    async def check() -> OperationError:
        async with opened() as operation:
            with pytest.raises(OperationError) as raised:
                await operation.run({"url": "http://localhost:8080/"}, attempt())
            return raised.value

    error = asyncio.run(check())
    assert error.code == "url_refused"
    assert "loopback" in error.message


def test_a_name_is_resolved_once_and_connected_to_what_was_judged() -> None:
    """DNS rebinding: whatever the name would resolve to a moment later, the connection is made to the judged address."""
    asked: list[str] = []

    async def check() -> None:
        async with http_server(told({"here": True})) as host:
            port = int(host.rpartition(":")[2])

            async def resolve(name: str, at: int) -> list[str]:
                asked.append(name)
                return ["127.0.0.1"] if len(asked) == 1 else ["127.0.0.2"]

            way = Egress(Policy.of([f"rebound.example:{port}"]), resolve=resolve)
            answer = await way.request(Request("GET", parse_url(f"http://rebound.example:{port}/"), {}, None, 5, 1000))
            await way.close()
            assert answer.status == 200

    asyncio.run(check())
    assert asked == ["rebound.example"]


@pytest.mark.parametrize("addresses", [["10.0.0.1"], ["93.184.216.34", "127.0.0.1"], ["::ffff:127.0.0.1"], ["64:ff9b::7f00:1"], ["fe80::1%lo"]])
def test_a_public_name_with_any_address_that_is_not_is_refused(addresses: list[str]) -> None:
    async def resolve(name: str, port: int) -> list[str]:
        return addresses

    async def check() -> None:
        operation = HttpRequest(Settings(), resolve=resolve)
        with pytest.raises(OperationError) as raised:
            await operation.run({"url": "http://innocent.example/"}, attempt())
        await operation.close()
        assert (raised.value.code, raised.value.retryable) == ("url_refused", False)

    asyncio.run(check())


def test_a_name_that_nobody_knows_is_tried_again() -> None:
    async def resolve(name: str, port: int) -> list[str]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    async def check() -> None:
        operation = HttpRequest(Settings(), resolve=resolve)
        with pytest.raises(OperationError) as raised:
            await operation.run({"url": "http://nowhere.example/"}, attempt())
        await operation.close()
        assert (raised.value.code, raised.value.retryable) == ("http_unreachable", True)

    asyncio.run(check())


@pytest.mark.parametrize(
    "place",
    ["http://127.0.0.1:1/", "http://169.254.169.254/", "http://localhost:8080/x", "ftp://some.example/", "http://u@some.example/", "//[::1]/", "http://["],
)
def test_a_redirect_is_judged_as_a_request_is(place: str) -> None:
    async def handle(request: web.Request) -> web.StreamResponse:
        return web.Response(status=302, headers={"Location": place})

    error = failing(handle)

    assert (error.code, error.retryable) == ("url_refused", False)


def test_redirects_are_followed_as_far_as_the_limit() -> None:
    async def handle(request: web.Request) -> web.StreamResponse:
        left = int(request.path.strip("/"))
        return web.Response(status=302, headers={"Location": f"/{left - 1}"}) if left else await mirror(request)

    async def check() -> None:
        async with http_server(handle) as host:
            assert (await ask(host, {"url": f"http://{host}/5"}))["body"]["path"] == "/0"
            with pytest.raises(OperationError) as raised:
                await ask(host, {"url": f"http://{host}/6"})
            assert raised.value.code == "http_redirects"
            with pytest.raises(OperationError) as raised:
                await ask(host, {"url": f"http://{host}/1", "redirects": 0})
            assert raised.value.code == "http_unexpected"

    asyncio.run(check())


def test_a_redirected_post_becomes_a_get_unless_it_is_to_be_kept() -> None:
    async def handle(request: web.Request) -> web.StreamResponse:
        if request.path == "/end":
            return await mirror(request)
        return web.Response(status=int(request.path.strip("/")), headers={"Location": "/end"})

    async def check() -> None:
        async with http_server(handle) as host:
            for status, method, body in ((302, "GET", ""), (303, "GET", ""), (307, "POST", "{}"), (308, "POST", "{}")):
                seen = (await ask(host, {"url": f"http://{host}/{status}", "json": {}}))["body"]
                assert (seen["method"], seen["body"]) == (method, body)

    asyncio.run(check())


def test_credentials_are_not_carried_to_another_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PARTNER_TOKEN", "Bearer secret")

    async def check() -> None:
        async with http_server(mirror) as second:

            async def handle(request: web.Request) -> web.StreamResponse:
                if request.path == "/api/here":
                    return web.Response(status=307, headers={"Location": "/api/end"})
                return await mirror(request) if request.path == "/api/end" else web.Response(status=307, headers={"Location": f"http://{second}/end"})

            async with http_server(handle) as first, opened(second) as operation:
                partner = Connection(kind="http", url=f"http://{first}/api", headers={"Authorization": "env:PARTNER_TOKEN"})

                def connection(name: str) -> Connection:
                    return partner

                headers = {"X-Api-Key": "mine", "Accept": "application/json"}
                given = attempt(connection=connection)
                here = await operation.run({"url": "/here", "connection": "partner", "headers": headers}, given)
                there = await operation.run({"url": "/there", "connection": "partner", "headers": headers}, given)

        assert here["body"]["headers"]["Authorization"] == "Bearer secret"
        assert here["body"]["headers"]["X-Api-Key"] == "mine"
        sent = there["body"]["headers"]
        assert sent["Accept"] == "application/json"
        assert not {"Authorization", "X-Api-Key", "Idempotency-Key"} & sent.keys()

    asyncio.run(check())


def test_a_connection_opens_its_own_place_and_gives_its_headers_to_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PARTNER_TOKEN", "Bearer secret")

    async def check() -> None:
        async with http_server(mirror) as host, opened() as operation:
            partner = Connection(kind="http", url=f"http://{host}/api/", headers={"Authorization": "env:PARTNER_TOKEN"})

            def connection(name: str) -> Connection:
                return partner

            given = attempt(connection=connection)
            output = await operation.run({"url": "orders?x=1", "connection": "partner", "headers": {"authorization": "mine"}}, given)
            assert output["body"]["path"] == "/api/orders?x=1"
            assert {name: value for name, value in output["body"]["headers"].items() if name.lower() == "authorization"} == {"Authorization": "Bearer secret"}
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


def test_fifty_megabytes_are_cut_off_while_they_come() -> None:
    sent = 0

    async def handle(request: web.Request) -> web.StreamResponse:
        nonlocal sent
        response = web.StreamResponse()
        response.enable_chunked_encoding()
        await response.prepare(request)
        for _ in range(800):
            await response.write(b"x" * 65_536)
            sent += 65_536
        return response

    tracemalloc.start()
    try:
        error = failing(handle)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (error.code, error.retryable) == ("response_too_large", False)
    assert sent < 20_000_000
    assert peak < 20_000_000


def test_an_announced_size_over_the_limit_is_not_read_at_all() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 52428800\r\n\r\n")
        await writer.drain()
        await reader.read()  # until it hangs up

    assert raw_failing(talk).code == "response_too_large"


def raw_failing(talk: Any, timeout_s: float = 5.0, **input: Any) -> OperationError:
    async def check() -> OperationError:
        async with raw_server(talk) as host:
            with pytest.raises(OperationError) as raised:
                await ask(host, {"url": f"http://{host}/"} | input, timeout_s=timeout_s)
            return raised.value

    error = asyncio.run(check())
    assert error.code in {declared.id for declared in HttpRequest.spec.errors}
    return error


def test_what_is_compressed_is_refused_rather_than_unpacked() -> None:
    async def handle(request: web.Request) -> web.StreamResponse:
        assert request.headers["Accept-Encoding"] == "identity"
        return web.Response(body=b"\x1f\x8b not really", headers={"Content-Encoding": "gzip"})

    assert failing(handle).code == "response_invalid"


@pytest.mark.parametrize(
    ("kind", "body"),
    [("application/json", b"{nonsense"), ("application/json", b"[" * 100_000), ("text/plain", b"\xff\xfe"), ("text/plain; charset=klingon", b"a")],
)
def test_an_answer_that_is_not_what_it_says_is_an_error(kind: str, body: bytes) -> None:
    async def handle(request: web.Request) -> web.StreamResponse:
        return web.Response(body=body, headers={"Content-Type": kind})

    assert failing(handle).code == "response_invalid"


def test_an_answer_that_breaks_off_is_tried_again() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
        await writer.drain()

    error = raw_failing(talk)
    assert (error.code, error.retryable) == ("http_broken_off", True)


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"SSH-2.0-OpenSSH\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        b"\x00" * 1000,
        b"HTTP/1.1 200 OK\r\nX: " + b"a" * 100_000,
    ],
)
def test_what_is_no_http_is_tried_again(said: bytes) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(said)
        await writer.drain()

    error = raw_failing(talk, method="POST")
    assert (error.code, error.retryable) == ("http_broken_off", True)


def test_a_refused_connection_is_tried_again() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        host = f"127.0.0.1:{taken.getsockname()[1]}"

        async def check() -> OperationError:
            with pytest.raises(OperationError) as raised:
                await ask(host, {"url": f"http://{host}/"})
            return raised.value

        error = asyncio.run(check())
    assert (error.code, error.retryable) == ("http_unreachable", True)


def test_tls_with_a_server_that_speaks_none_is_an_error() -> None:
    async def check() -> OperationError:
        async with http_server(told({})) as host:
            with pytest.raises(OperationError) as raised:
                await ask(host, {"url": f"https://{host}/"})
            return raised.value

    assert asyncio.run(check()).code == "http_unreachable"


def test_a_server_that_never_ends_its_answer_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streamflow.operations.http._GRACE_S", 0.0)

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            writer.write(b"1\r\nx\r\n")
            await writer.drain()
            await asyncio.sleep(0.01)

    began = time.monotonic()
    error = raw_failing(talk, timeout_s=0.2)
    assert (error.code, error.retryable) == ("http_timeout", True)
    assert time.monotonic() - began < 3


def test_a_cancelled_request_ends_at_once_and_hangs_up() -> None:
    async def check() -> None:
        came, left = asyncio.Event(), asyncio.Event()

        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            came.set()
            await reader.read()
            left.set()

        async with raw_server(talk) as host:
            task = asyncio.create_task(ask(host, {"url": f"http://{host}/"}))
            await asyncio.wait_for(came.wait(), 5)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await asyncio.wait_for(left.wait(), 5)

    asyncio.run(check())


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
