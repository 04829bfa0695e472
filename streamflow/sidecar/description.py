"""`/openapi.json`: the description of the API, for generators of clients."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request

from streamflow.sidecar.principal import Right, needs

router = APIRouter()


@router.get("/openapi.json", include_in_schema=False, dependencies=[needs(Right.READ_API)])
async def openapi(request: Request) -> dict[str, Any]:
    """The description of every route (OpenAPI 3.1)."""
    found: dict[str, Any] = request.app.openapi()
    return found
