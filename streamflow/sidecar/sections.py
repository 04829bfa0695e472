"""Which routes a request is compared with: those whose path begins with the same segment and has as many, a few of more
than a hundred.

FastAPI compares a request with one route after the other, which takes longer than most answers do."""

from __future__ import annotations

from collections.abc import Sequence

from fastapi import APIRouter
from fastapi.routing import APIRoute, APIWebSocketRoute
from starlette.types import ASGIApp, Receive, Scope, Send

_MOST = 12  # segments; a path that takes any number is compared with all longer ones


class Sections:
    """ASGI middleware of a router: requests below `prefix` go to the routers that have routes in their section, in the
    same order; everything else to the router itself."""

    def __init__(self, app: ASGIApp, *, routes: Sequence[APIRoute | APIWebSocketRoute], prefix: str) -> None:
        self._app = app
        self._prefix = f"{prefix}/"
        self._sections: dict[tuple[str, int], APIRouter] = {}
        for route in routes:
            for place in self._places(route.path):
                self._sections.setdefault(place, APIRouter()).routes.append(route)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "")
        app = self._app
        if path.startswith(self._prefix):
            app = self._sections.get(self._place(path), app)
        await app(scope, receive, send)

    def _place(self, path: str) -> tuple[str, int]:
        """The first segment of a path, and how many there are; a slash at the end is none."""
        below = path[len(self._prefix) :]
        return below.partition("/")[0], min(below.rstrip("/").count("/"), _MOST)

    def _places(self, path: str) -> list[tuple[str, int]]:
        """Where requests for a route with this path may be."""
        name, count = self._place(path)
        if name.startswith("{"):
            raise ValueError(f"expected paths that begin with a name but {path} begins with {name}")
        return [(name, more) for more in range(count, _MOST + 1)] if ":path}" in path else [(name, count)]
