"""Which servers `http.request` reaches, by address, by name and by redirect."""

from __future__ import annotations

import asyncio
import socket

import pytest
from aiohttp import web

from streamflow.errors import OperationError
from streamflow.operations.egress import Egress, Request
from streamflow.operations.egress_policy import Policy, parse_url
from streamflow.operations.http import HttpRequest
from streamflow.settings import Connection, Settings
from tests.contract.http_requests import ask, failing, mirror, opened, told
from tests.contract.servers import attempt, http_server, raw_server


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
    """DNS rebinding: whatever the name would resolve to a moment later, the connection is made to the judged
    address."""
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


@pytest.mark.parametrize(
    "addresses",
    [["10.0.0.1"], ["93.184.216.34", "127.0.0.1"], ["::ffff:127.0.0.1"], ["64:ff9b::7f00:1"], ["fe80::1%lo"]],
)
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
    [
        "http://127.0.0.1:1/",
        "http://169.254.169.254/",
        "http://localhost:8080/x",
        "ftp://some.example/",
        "http://u@some.example/",
        "//[::1]/",
        "http://[",
    ],
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
                return (
                    await mirror(request)
                    if request.path == "/api/end"
                    else web.Response(status=307, headers={"Location": f"http://{second}/end"})
                )

            async with http_server(handle) as first, opened(second) as operation:
                partner = Connection(
                    kind="http", url=f"http://{first}/api", headers={"Authorization": "env:PARTNER_TOKEN"}
                )

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
