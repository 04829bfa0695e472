"""`/health`: whether this process answers. It discloses nothing else, so that it needs no token."""

from __future__ import annotations

from fastapi import APIRouter

from streamflow.operations.callbacks import API_PATH
from streamflow.sidecar.problems import declared

router = APIRouter(prefix=API_PATH, tags=["health"])


@router.get("/health", responses=declared(open_to_all=True))
async def health() -> dict[str, bool]:
    """Whether this process answers."""
    return {"ok": True}
