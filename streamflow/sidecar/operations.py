"""`/operations`: what may be called, who does it, and plugins as they come and go."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Response

from streamflow.errors import Rejected
from streamflow.operations.plugin import Registration
from streamflow.operations.registry import known_operations
from streamflow.sidecar.state import LogOf

router = APIRouter(prefix="/operations", tags=["operations"])


@router.get("")
async def list_(log: LogOf) -> list[dict[str, Any]]:
    """The operations, by name: their contracts, where they are from, whether they are well, and the task workers that
    do them."""
    return await log.operations()


@router.post("", status_code=201)
async def register(body: Registration, log: LogOf, response: Response) -> dict[str, Any]:
    """Registers a plugin, in the place of an earlier one of its name; task workers have it at once. 200: it was
    registered already, the same."""
    name = body.spec.name
    if name in {spec.name for spec in known_operations()}:
        raise Rejected(
            "operation_taken",
            f"expected the name {name} to be free but an installed operation has it; do choose another",
        )
    recorded = await log.register(body)
    response.status_code = 201 if recorded is not None else 200
    return {"name": name, "already": recorded is None}


@router.delete("/{name}", status_code=204)
async def remove(name: str, log: LogOf) -> None:
    """Takes a plugin away."""
    await log.remove(name)
