"""Who gets in: the token, this machine, and no page of somebody else's."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from fastapi.testclient import TestClient
from starlette.types import Receive, Scope, Send

from streamflow.errors import OperationError, Rejected
from streamflow.history.reader import HistoryReader
from streamflow.operations.callbacks import API_PATH
from streamflow.settings import Settings, Sidecar
from streamflow.sidecar.app import create_app, serve, server_config
from streamflow.sidecar.connections import ConnectionLimits
from tests.access import MemoryAccess
from tests.sidecar_log import MemoryLog
from tests.unit.sidecar.test_runs import code

OPEN = {
    "/callbacks/{token}",
    "/health",
    "/session/methods",
    "/session/refresh",
    "/session/oidc",
    "/session/oidc/callback",
    "/session/oidc/end",
    "/session/oidc/backchannel",
    "/shared/{token}",
}


def paths(client: TestClient) -> list[tuple[str, str]]:
    """Every way in, as the app itself tells, below the path of the API."""
    described: dict[str, Any] = client.app.openapi()  # type: ignore[attr-defined]
    assert all(path.startswith(API_PATH) for path in described["paths"])
    return [
        (method, path.removeprefix(API_PATH)) for path, methods in described["paths"].items() for method in methods
    ] + [
        ("get", "/openapi.json"),
        ("get", "/nowhere"),
    ]


def test_every_request_but_callbacks_health_and_log_ins_needs_the_token(guarded: TestClient) -> None:
    asked = paths(guarded)

    assert len(asked) > 12
    for method, path in asked:
        if path not in OPEN and (method, path) != ("post", "/session"):
            assert code(guarded.request(method, path, content=b"{")) == (401, "token_missing"), path
    assert guarded.get("/health").json() == {"ok": True}
    assert code(guarded.post("/callbacks/x")) == (403, "callback_forged")


@pytest.mark.parametrize(
    "given",
    [
        "Bearer wrong",
        "Bearer swordfisH",
        "Bearer swordfis",
        "Bearer swordfishes",
        "Bearer sword fish",
        "Bearer swordfish,swordfish",
        "Basic swordfish",
        "Bearer",
        "Bearer \xe9",
    ],
    ids=ascii,
)
def test_another_token_is_refused(guarded: TestClient, given: str) -> None:
    answer = guarded.get("/approvals", headers={b"Authorization": given.encode("latin-1")})

    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"


BEARER = {"Authorization": "Bearer swordfish"}
STRANGE_HOSTS = [
    "[127.0.0.1]",
    "[::1",
    "[::1%25lo]",
    "::1",
    "[]",
    "",
    ".",
    "localhost:",
    "localhost:http",
    "localhost:123456",
    "local host",
    "localhost/path",
    "user@localhost",
    "localhost\\x",
    "localhost,localhost",
    "[" * 300,
    "a" * 30_000,
    "\xe9",
]


@pytest.mark.parametrize(
    "host", ["flow.example.org", "FLOW.example.org.:8443", "127.0.0.1:80", "10.1.2.3", "[fd00::1]:8484"]
)
def test_the_token_lets_in_under_known_names_and_any_address(guarded: TestClient, host: str) -> None:
    assert guarded.get("/approvals", headers=BEARER | {"Host": host}).json() == []


@pytest.mark.parametrize("path", ["/approvals", "/health", "/callbacks/x", "/openapi.json"])
def test_a_token_does_not_help_a_page_that_rebinds_its_name(guarded: TestClient, path: str) -> None:
    for host in ("rebound.example.org", "flow.example.org.evil.example", "2130706433", "0x7f.1"):
        assert code(guarded.get(path, headers=BEARER | {"Host": host})) == (403, "host_unknown")


def test_a_token_does_not_help_a_page_of_another_place(guarded: TestClient) -> None:
    for origin in ("https://elsewhere.example", "null", "file://", "https://flow.example.org.evil.example", "//x", ""):
        assert code(guarded.post("/runs", headers=BEARER | {"Origin": origin})) == (403, "host_unknown"), origin
    for origin in ("https://flow.example.org", "http://flow.example.org:3000"):
        assert guarded.get("/approvals", headers=BEARER | {"Origin": origin}).status_code == 200, origin


@pytest.mark.parametrize("host", STRANGE_HOSTS, ids=lambda host: ascii(host[:20]))
def test_a_strange_host_is_refused_with_and_without_a_token(client: TestClient, guarded: TestClient, host: str) -> None:
    for asked, headers in ((client, {}), (guarded, BEARER)):
        pairs: Any = [*headers.items(), (b"Host", host.encode("latin-1"))]
        answer = asked.get("/approvals", headers=pairs)
        assert code(answer) == (400, "host_invalid")


def test_two_hosts_are_none(client: TestClient) -> None:
    assert code(client.get("/health", headers=[("Host", "localhost"), ("Host", "localhost")])) == (400, "host_invalid")


def test_the_host_of_the_callback_address_is_known(settings: Settings, log: MemoryLog) -> None:
    tasks = settings.tasks.model_copy(update={"callback_url": "https://calls.example.org/x"})
    app = create_app(settings.model_copy(update={"tasks": tasks}), log, MemoryAccess(), HistoryReader(settings))
    asked = TestClient(app, base_url="http://calls.example.org/api/v1")
    assert code(asked.post("/callbacks/x")) == (403, "callback_forged")


@pytest.mark.parametrize("length", ["-1", "1e3", "x", "9" * 30, "²"])
def test_a_strange_length_is_no_fault_of_ours(client: TestClient, length: str) -> None:
    pairs: Any = [(b"Content-Length", length.encode())]
    answer = client.post("/runs", headers=pairs)
    assert answer.status_code in (400, 413)


def test_a_body_of_unsaid_length_ends_at_the_limit(client: TestClient) -> None:
    def parts() -> Iterator[bytes]:
        yield b"{"
        for _ in range(100):
            yield b" " * 10_000

    for path in ("/runs", "/operations", "/runs/x/cancel"):
        assert code(client.post(path, content=parts())) == (413, "body_too_large"), path


def test_without_a_token_only_this_machine_is_answered(client: TestClient) -> None:
    for host in ("localhost:8484", "127.0.0.1", "[::1]:8484"):
        assert client.get("/approvals", headers={"Host": host}).status_code == 200
    assert code(client.get("/approvals", headers={"Host": "rebound.example.org"})) == (403, "host_unknown")


def test_without_a_token_no_page_of_another_place_may_ask(client: TestClient) -> None:
    assert code(client.post("/runs/x/cancel", headers={"Origin": "https://elsewhere.example"})) == (403, "host_unknown")
    assert client.get("/approvals", headers={"Origin": "http://localhost"}).status_code == 200


def test_a_form_of_a_page_is_no_request(client: TestClient) -> None:
    body = json.dumps({"definition": "refund", "key": "k", "input": {"amount": 5}})

    assert code(client.post("/runs", content=body, headers={"Content-Type": "text/plain"})) == (422, "request_invalid")


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "flow.example.org"])
def test_it_does_not_listen_to_others_without_a_token(settings: Settings, host: str) -> None:
    open_to_all = settings.model_copy(update={"sidecar": Sidecar(host=host, port=0)})
    with pytest.raises(Rejected) as caught:
        asyncio.run(serve(open_to_all, asyncio.Event()))

    assert caught.value.code == "token_needed"


@pytest.mark.parametrize(
    "header", [b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host", b"x-real-ip", b"forwarded"]
)
def test_no_header_says_where_a_request_is_from(header: bytes) -> None:
    seen: list[Scope] = []

    async def app(scope: Scope, _receive: Receive, _send: Send) -> None:
        seen.append(scope)

    async def nothing(*_: object) -> Any:
        return None

    config = server_config(app, ConnectionLimits(connections=1, head_s=1, body_s=1))
    config.load()
    scope = {"type": "http", "client": ("127.0.0.1", 7), "scheme": "http", "headers": [(header, b"https")]}
    asyncio.run(config.loaded_app(dict(scope), nothing, nothing))
    assert [(one["client"], one["scheme"]) for one in seen] == [(("127.0.0.1", 7), "http")]


def test_a_port_that_is_taken_is_named(settings: Settings) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(OperationError) as caught:
        asyncio.run(
            serve(settings.model_copy(update={"sidecar": Sidecar(port=taken.getsockname()[1])}), asyncio.Event())
        )

    assert caught.value.code == "port_taken"


def test_a_fault_of_ours_tells_nothing_of_itself(
    client: TestClient, log: MemoryLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken() -> list[Any]:
        raise ZeroDivisionError("a detail that is nobody's business")

    monkeypatch.setattr(log, "approvals", broken)
    with structlog.testing.capture_logs() as logged:
        answer = client.get("/approvals")

    assert [line["event"] for line in logged] == ["request_failed"]
    assert code(answer) == (500, "internal_error")
    assert "detail that" not in answer.text


def test_a_broker_that_is_away_is_said_to_be(
    client: TestClient, log: MemoryLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away() -> list[Any]:
        raise OperationError("broker_unreachable", "expected the broker to answer but it does not. Check it.")

    monkeypatch.setattr(log, "approvals", away)
    answer = client.get("/approvals")

    assert code(answer) == (503, "broker_unreachable")
    assert answer.headers["retry-after"] == "1"


def test_closing_ends_what_runs_in_the_background(settings: Settings, log: MemoryLog) -> None:
    with TestClient(create_app(settings, log, MemoryAccess(), HistoryReader(settings))):
        assert not log.closed
    assert log.closed


def test_every_way_in_is_described(client: TestClient) -> None:
    described: dict[str, Any] = client.app.openapi()  # type: ignore[attr-defined]
    told = {
        f"{method} {path}": one.get("description")
        for path, methods in described["paths"].items()
        for method, one in methods.items()
    }

    assert len(told) > 10
    assert [place for place, text in told.items() if not text] == []
