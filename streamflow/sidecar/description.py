"""`/openapi.json` and `/docs`: the description of the API, for generators of clients and for people."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from typing import Any

import msgspec
from fastapi import APIRouter, FastAPI, Request, Response

from streamflow.operations.callbacks import API_PATH
from streamflow.sidecar.principal import Right, needs

router = APIRouter(prefix=API_PATH)

_STYLE = (
    "body{font:14px/1.5 Inter,system-ui,sans-serif;max-width:72rem;margin:2rem auto;padding:0 1rem;color:#1f2937}"
    "h1{font-size:1.5rem;color:#1e3a8a}h2{font-size:1rem;margin-top:2rem;color:#1e3a8a}"
    "details{border:1px solid #d1d5db;border-radius:8px;margin:.4rem 0;padding:.4rem .8rem}"
    "summary{cursor:pointer}code{font-family:ui-monospace,monospace}table{border-collapse:collapse}"
    "td,th{text-align:left;vertical-align:top;padding:.2rem .8rem .2rem 0}"
    "@media(prefers-color-scheme:dark){body{background:#0f172a;color:#e5e7eb}h1,h2{color:#93c5fd}}"
)
_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_HEADERS = {
    "Content-Security-Policy": f"default-src 'none'; style-src 'sha256-{_HASH}'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Description:
    """The bytes of both. Made once: FastAPI would check and write the whole of it for every request."""

    json: bytes
    """OpenAPI 3.1."""

    page: bytes
    """HTML."""


@router.get("/openapi.json", include_in_schema=False, dependencies=[needs(Right.READ_API)])
async def openapi(request: Request) -> Response:
    """The description of every route (OpenAPI 3.1)."""
    return Response(_description(request.app).json, media_type="application/json")


@router.get("/docs", include_in_schema=False, dependencies=[needs(Right.READ_API)])
async def page(request: Request) -> Response:
    """The same for people: one page without scripts, and with nothing from elsewhere."""
    return Response(_description(request.app).page, media_type="text/html", headers=_HEADERS)


def _description(app: FastAPI) -> _Description:
    found: _Description | None = getattr(app.state, "description", None)
    if found is None:
        described = app.openapi()
        found = _Description(json=msgspec.json.encode(described), page=_page(described).encode())
        app.state.description = found
    return found


def _page(described: dict[str, Any]) -> str:
    groups: dict[str, list[str]] = {}
    for path, methods in described["paths"].items():
        for method, route in methods.items():
            groups.setdefault(str((route.get("tags") or ["other"])[0]), []).append(_route(path, method, route))
    body = "".join(f"<h2>{escape(name)}</h2>{''.join(routes)}" for name, routes in groups.items())
    title = escape(described["info"]["title"])
    about = escape(described["info"]["description"])
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f"<style>{_STYLE}</style></head>"
        f'<body><h1>{title}</h1><p>{about}</p><p><a href="openapi.json">openapi.json</a></p>{body}</body></html>'
    )


def _route(path: str, method: str, route: dict[str, Any]) -> str:
    rows = "".join(_rows(route))
    description = escape(str(route.get("description", "")))
    return (
        f"<details><summary><code>{method.upper()} {escape(path)}</code></summary><p>{description}</p>"
        f"<table>{rows}</table></details>"
    )


def _rows(route: dict[str, Any]) -> Iterator[str]:
    for one in route.get("parameters", ()):
        description = escape(str(one.get("description", "")))
        yield f"<tr><th>{escape(one['name'])}</th><td>{escape(one['in'])}</td><td>{description}</td></tr>"
    for status, answer in route.get("responses", {}).items():
        yield f"<tr><th>{escape(str(status))}</th><td></td><td>{escape(str(answer.get('description', '')))}</td></tr>"
