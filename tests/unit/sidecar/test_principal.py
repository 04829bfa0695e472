"""Rights: every route needs one, and a principal without it is refused."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute, APIWebSocketRoute
from fastapi.testclient import TestClient

from streamflow.access.rights import principal_with
from streamflow.operations.callbacks import API_PATH
from streamflow.sidecar import principal
from streamflow.sidecar.app import ROUTES
from streamflow.sidecar.principal import EVERY_RIGHT, Right, needed_by
from tests.unit.sidecar.test_guard import OPEN
from tests.unit.sidecar.test_operations import PLUGIN
from tests.unit.sidecar.test_runs import code

SIGNED_IN = {"/me", "/session"}  # these need a principal and no right; to begin a session needs none
PAGE = Path(__file__).parents[3] / "docs" / "sidecar.md"


def routes() -> dict[tuple[str, str], Right | None]:
    """The right that each route needs, by method and path below that of the API."""
    return {
        (method, route.path_format.removeprefix(API_PATH)): needed_by(route.dependencies)
        for route in ROUTES
        if isinstance(route, APIRoute)
        for method in route.methods or ()
    }


def test_every_route_needs_a_right_but_the_open_ones() -> None:
    found = routes()
    assert len(found) > 12
    assert {path for (_, path), right in found.items() if right is None} == OPEN | SIGNED_IN
    assert {right for right in found.values() if right is not None} <= EVERY_RIGHT


def test_these_are_all_routes_there_are(client: TestClient) -> None:
    """What walks `routes()` misses none: the application has these and nothing else, and only one of them is for
    WebSockets, which asks for the rights of what is subscribed to."""
    app: FastAPI = client.app  # type: ignore[assignment]
    assert app.routes == list(ROUTES)
    others = [route for route in ROUTES if not isinstance(route, APIRoute)]
    assert [(type(route), getattr(route, "path", "")) for route in others] == [(APIWebSocketRoute, f"{API_PATH}/live")]


def test_a_principal_without_the_right_is_refused(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(principal, "LOCAL", principal_with("nobody", ()))
    for (method, path), right in routes().items():
        if right is not None:
            assert code(client.request(method, path, json={})) == (403, "right_missing"), path


def test_replacing_needs_a_right_of_its_own(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    may_register = principal_with("plugin", {Right.REGISTER_OPERATIONS})
    monkeypatch.setattr(principal, "LOCAL", may_register)
    assert client.post("/operations", json=PLUGIN).status_code == 201
    assert code(client.post("/operations?replace=true", json=PLUGIN)) == (403, "right_missing")
    assert code(client.delete("/operations/fraud.score")) == (403, "right_missing")


def test_the_table_on_the_page_has_every_route() -> None:
    told: dict[tuple[str, str], Right] = {}
    for right, cell in re.findall(r"^\| `([a-z-]+:[a-z]+)` \| (.+) \|$", PAGE.read_text(), re.MULTILINE):
        method = base = ""
        for text in re.findall(r"`([^`]+)`", cell):
            word, _, path = text.rpartition(" ")
            if word:
                method, base = word, path.rpartition("/")[0]
            told[method, path if word else base + path] = Right(right)
    told.pop(("POST", "/operations?replace=true"))
    assert told == {route: right for route, right in routes().items() if right is not None}
