"""`/health`: whether this process answers. It tells nothing else, so that it needs no token."""

from __future__ import annotations

from fastapi import APIRouter

router = APIRouter(tags=["health"])


@router.get("/health")
async def health() -> dict[str, bool]:
    """Whether this process answers."""
    return {"ok": True}
