"""The web application: its page, at every address that is not of the API, and its assets.

Nothing here discloses anything of an installation, so it needs no token: what the pages show they ask the API for, with
the rights of the user who is signed in. Built by `make ui` into `streamflow/web`.
"""

from __future__ import annotations

import re
import secrets
from functools import cache
from importlib.resources import files
from pathlib import Path

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

ASSETS = "/assets/"
_ROOT = Path(str(files("streamflow"))) / "web"
_NONCE = "__NONCE__"  # as web/vite.config.ts has it
_ASSET = re.compile(r"[A-Za-z0-9_-]{1,120}\.(js|css|svg)")
_TYPES = {"js": "text/javascript; charset=utf-8", "css": "text/css; charset=utf-8", "svg": "image/svg+xml"}
_FOREVER = "public, max-age=31536000, immutable"  # the name of an asset changes with its content
# CodeMirror and Base UI add style elements with the nonce; elements' own styles are set by scripts.
_POLICY = (
    "default-src 'none'; script-src 'self' 'nonce-{nonce}'; style-src 'self' 'nonce-{nonce}'; img-src 'self' data:; "
    "font-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
_SAFE = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}


def is_page(path: str) -> bool:
    """Whether `path` belongs to the application and not to the API."""
    return path != "/api" and not path.startswith("/api/")


@cache
def _index() -> str | None:
    """The page with the mark where its nonce belongs; None: the application is not built."""
    place = _ROOT / "index.html"
    return place.read_text(encoding="utf-8") if place.is_file() else None


def are_built() -> bool:
    """Whether there are pages to serve."""
    return _index() is not None


@cache
def _asset(name: str) -> tuple[bytes, bytes | None] | None:
    """The bytes of an asset, and the same compressed. Few and small: they stay in memory."""
    if _ASSET.fullmatch(name) is None:
        return None
    place = _ROOT / "assets" / name
    if not place.is_file():
        return None
    packed = place.with_name(f"{name}.gz")
    return place.read_bytes(), packed.read_bytes() if packed.is_file() else None


def forget() -> None:
    """Has the files read again, after they were built."""
    _index.cache_clear()
    _asset.cache_clear()


class Pages:
    """ASGI middleware: answers what is asked for outside of the API, and passes everything else on. Without a built
    application it passes on that, too."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        answer = None
        if scope["type"] == "http" and scope["method"] in ("GET", "HEAD") and is_page(scope["path"]):
            answer = _answer(scope["path"], Headers(scope=scope))
        await (answer or self._app)(scope, receive, send)


def _answer(path: str, headers: Headers) -> Response | None:
    if path.startswith(ASSETS):
        return _asset_answer(path.removeprefix(ASSETS), headers)
    text = _index()
    if text is None:
        return None
    nonce = secrets.token_urlsafe(18)
    found = {"Content-Security-Policy": _POLICY.format(nonce=nonce), "Cache-Control": "no-store", **_SAFE}
    return Response(text.replace(_NONCE, nonce), media_type="text/html; charset=utf-8", headers=found)


def _asset_answer(name: str, headers: Headers) -> Response | None:
    found = _asset(name)
    if found is None:
        return None
    body, packed = found
    answer = {"Cache-Control": _FOREVER, "Vary": "Accept-Encoding", **_SAFE}
    if packed is not None and "gzip" in headers.get("accept-encoding", ""):
        body, answer["Content-Encoding"] = packed, "gzip"
    return Response(body, media_type=_TYPES[name.rpartition(".")[2]], headers=answer)
