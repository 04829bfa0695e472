"""The sidecar's routes as its own description tells them, and requests of each: a new route is there by itself."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI

from streamflow.operations.callbacks import API_PATH

_DEPTH = 6  # of a sample; a schema may contain itself
_SIMPLE: dict[str, Any] = {"string": "x", "integer": 1, "number": 1.5, "boolean": False, "null": None}


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One way in."""

    method: str
    path: str
    """Below the path of the API, with the names of parameters in braces."""

    named: tuple[str, ...]
    """Parameters in the path."""

    queries: tuple[str, ...]
    """Parameters behind `?`."""

    body: Any
    """A body that its schema allows; None if it takes none in JSON."""

    needs_someone: bool
    """Whether it is described as one that asks who the caller is."""

    @property
    def label(self) -> str:
        """For messages."""
        return f"{self.method} {self.path}"

    def at(self, **named: str) -> str:
        """The path with values for its parameters."""
        path = self.path
        for name in self.named:
            path = path.replace(f"{{{name}}}", named.get(name, "x"))
        return path


def routes_of(app: FastAPI) -> list[Route]:
    """All of an application."""
    described = app.openapi()
    shapes = described["components"]["schemas"]
    return [
        Route(
            method=method.upper(),
            path=path.removeprefix(API_PATH),
            named=tuple(one["name"] for one in told.get("parameters", ()) if one["in"] == "path"),
            queries=tuple(one["name"] for one in told.get("parameters", ()) if one["in"] == "query"),
            body=_body(told, shapes),
            needs_someone="security" in told,
        )
        for path, methods in described["paths"].items()
        for method, told in methods.items()
    ]


def _body(told: dict[str, Any], shapes: dict[str, Any]) -> Any:
    content = told.get("requestBody", {}).get("content", {}).get("application/json")
    return None if content is None else sample(content["schema"], shapes)


def sample(shape: dict[str, Any], shapes: dict[str, Any], depth: int = 0) -> Any:
    """A value that a schema allows, with every property that it names."""
    if "$ref" in shape:
        return sample(shapes[shape["$ref"].rpartition("/")[2]], shapes, depth)
    if "const" in shape or "enum" in shape:
        return shape["const"] if "const" in shape else shape["enum"][0]
    for several in ("anyOf", "oneOf", "allOf"):
        if several in shape:
            return sample(shape[several][0], shapes, depth)
    kind = shape.get("type", "object" if "properties" in shape else "string")
    if kind == "object":
        properties = shape.get("properties", {}) if depth < _DEPTH else {}
        return {name: sample(one, shapes, depth + 1) for name, one in properties.items()}
    if kind == "array":
        return [sample(shape.get("items", {}), shapes, depth + 1)] if depth < _DEPTH else []
    return _SIMPLE[kind]


def places_in(body: Any) -> Iterator[tuple[Any, ...]]:
    """Where a value can be put into a body: the keys and indices that lead there."""
    yield ()
    for key, value in body.items() if isinstance(body, dict) else enumerate(body) if isinstance(body, list) else ():
        for rest in places_in(value):
            yield key, *rest


def put(body: Any, place: tuple[Any, ...], value: Any) -> Any:
    """The body with another value at a place."""
    if not place:
        return value
    key, *rest = place
    copy = dict(body) if isinstance(body, dict) else list(body)
    copy[key] = put(body[key], tuple(rest), value)
    return copy
