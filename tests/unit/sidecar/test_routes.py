"""What every request pays before its route runs."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from fastapi.testclient import TestClient

from streamflow.operations.callbacks import API_PATH
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


def test_a_request_is_compared_with_the_routes_of_its_section_in_their_order(client: TestClient) -> None:
    app = client.app
    assert isinstance(app, FastAPI)
    made = app.router.middleware_stack
    assert isinstance(made, Sections)
    compared: set[int] = set()
    for name, router in made._sections.items():
        places = [app.routes.index(route) for route in router.routes]
        assert places == sorted(places)
        mine = [
            place
            for place, route in enumerate(app.routes)
            if any(
                str(one.path).removeprefix(f"{API_PATH}/").split("/")[0] == name for one in iter_route_contexts([route])
            )
        ]
        assert places == mine
        compared.update(places)
    assert compared == set(range(len(app.routes)))
    assert len(made._sections["health"].routes) == 1


def test_what_is_in_no_section_is_not_found(client: TestClient) -> None:
    assert client.get("/nowhere").status_code == 404
    assert client.delete("/health").status_code == 405
