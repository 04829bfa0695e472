"""What every request pays before its route runs."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

from fastapi import FastAPI, Request
from fastapi.routing import APIRoute, iter_route_contexts
from fastapi.testclient import TestClient
from starlette.responses import PlainTextResponse

from streamflow.operations.callbacks import API_PATH
from streamflow.sidecar.app import ROUTES
from streamflow.sidecar.sections import Sections


def called(dependant: Any) -> Iterator[Any]:
    """What is called for a route, without the route itself."""
    for one in dependant.dependencies:
        yield one.call
        yield from called(one)


def is_coroutine(call: Any) -> bool:
    return inspect.iscoroutinefunction(call) or inspect.iscoroutinefunction(type(call).__call__)


def test_nothing_that_a_route_stands_on_takes_a_thread(client: TestClient) -> None:
    app = client.app
    assert isinstance(app, FastAPI)
    dependants = [one.dependant for one in iter_route_contexts(app.routes) if getattr(one, "dependant", None)]
    assert len(dependants) > 100
    assert {str(call) for dependant in dependants for call in called(dependant) if not is_coroutine(call)} == set()


def segments(path: str) -> list[str]:
    return path.removeprefix(f"{API_PATH}/").split("/")


def test_a_request_is_compared_with_the_routes_of_its_section_in_their_order(client: TestClient) -> None:
    app = client.app
    assert isinstance(app, FastAPI)
    made = app.router.middleware_stack
    assert isinstance(made, Sections)
    paths = [route.path for route in ROUTES]
    assert app.routes == list(ROUTES)
    compared: set[int] = set()
    for (name, slashes), router in made._sections.items():
        places = [app.routes.index(route) for route in router.routes]
        mine = [
            place
            for place, path in enumerate(paths)
            if segments(path)[0] == name
            and (len(segments(path)) == slashes + 1 or ("path}" in path and len(segments(path)) <= slashes + 1))
        ]
        assert places == mine == sorted(places)
        compared.update(places)
    assert compared == set(range(len(app.routes)))
    assert max(len(router.routes) for router in made._sections.values()) < 20


def test_sections_leave_no_path_out() -> None:
    """Each way of writing a path leads to the answer that all routes together give."""

    async def plain(_request: Request) -> PlainTextResponse:
        return PlainTextResponse(_request.url.path)

    routes = [
        APIRoute("/api/v1/runs", plain),
        APIRoute("/api/v1/runs/{run}", plain),
        APIRoute("/api/v1/runs/{run}/steps", plain, methods=["POST"]),
        APIRoute("/api/v1/events/{event:path}", plain),
        APIRoute("/api/v1/deep/a/b/c/d/e/f/g/h/i/j/k/l/m", plain),
    ]
    whole, parted = FastAPI(openapi_url=None), FastAPI(openapi_url=None)
    for app in (whole, parted):
        app.router.routes.extend(routes)
    parted.router.middleware_stack = Sections(parted.router.middleware_stack, routes=routes, prefix="/api/v1")
    paths = ["", "/", "/runs", "/runs/", "/runs//", "/runs/1", "/runs/1/", "/runs/1/steps", "/runs/1/steps/", "/RUNS"]
    paths += ["/events", "/events/", "/events/a", "/events/a/b/c", f"/events/{'x/' * 30}", "/deep", "/other/1"]
    paths += ["/deep/a/b/c/d/e/f/g/h/i/j/k/l/m", "/deep/a/b/c/d/e/f/g/h/i/j/k/l/m/n", "/runs/a%2Fb", "//runs"]
    for path in paths:
        for method in ("GET", "POST"):
            told = [
                TestClient(app).request(method, f"/api/v1{path}", follow_redirects=False) for app in (whole, parted)
            ]
            assert len({(one.status_code, one.text, one.headers.get("location")) for one in told}) == 1, path


def test_what_is_in_no_section_is_not_found(client: TestClient) -> None:
    assert client.get("/nowhere").status_code == 404
    assert client.delete("/health").status_code == 405
