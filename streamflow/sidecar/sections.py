"""Which routes a request is compared with: those whose path begins with the same segment, a few of more than a hundred.

FastAPI compares a request with one route after the other, which takes longer than most answers do."""

from __future__ import annotations

from collections.abc import Sequence

from fastapi import APIRouter
from fastapi.routing import iter_route_contexts
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Scope, Send


class Sections:
    """ASGI middleware of a router: requests below `prefix` go to the routers that have routes in their section, in the
    same order; everything else to the router itself."""

    def __init__(self, app: ASGIApp, *, routes: Sequence[BaseRoute], prefix: str) -> None:
        self._app = app
        self._prefix = f"{prefix}/"
        sections: dict[str, APIRouter] = {}
        for route in routes:
            paths = [str(found.path) for found in iter_route_contexts([route])]
            for name in dict.fromkeys(path.removeprefix(self._prefix).partition("/")[0] for path in paths):
                if name.startswith("{"):
                    raise ValueError(f"expected paths that begin with a name but one of {paths} begins with {name}")
                sections.setdefault(name, APIRouter()).routes.append(route)
        self._sections = sections

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "")
        app = self._app
        if path.startswith(self._prefix):
            app = self._sections.get(path[len(self._prefix) :].partition("/")[0], app)
        await app(scope, receive, send)
