"""`/operations`: what may be called, who does it, and plugins as they come and go."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Response

from streamflow.errors import OperationError, Rejected
from streamflow.kafka.definitions import Snapshot
from streamflow.kafka.serving import Presence
from streamflow.operations.plugin import Registration, read_record
from streamflow.operations.registry import known_operations
from streamflow.sidecar.state import LogOf

router = APIRouter(prefix="/operations", tags=["operations"])


@router.get("")
async def list_(log: LogOf) -> list[dict[str, Any]]:
    """The operations that this installation knows, by name: their contracts, where they are from, and the task workers that do them."""
    return listed(await log.definitions(), await log.presence())


@router.post("", status_code=201)
async def register(body: Registration, log: LogOf, response: Response) -> dict[str, Any]:
    """Registers a plugin, in the place of an earlier one of its name; task workers have it at once. 200: it was registered already, the same."""
    name = body.spec.name
    if name in {spec.name for spec in known_operations()}:
        raise Rejected("operation_taken", f"expected the name {name} to be free but an installed operation has it; do choose another")
    recorded = await log.register(body)
    response.status_code = 201 if recorded is not None else 200
    return {"name": name, "already": recorded is None}


@router.delete("/{name}", status_code=204)
async def remove(name: str, log: LogOf) -> None:
    """Takes a plugin away."""
    await log.remove(name)


def listed(log: Snapshot, workers: list[Presence]) -> list[dict[str, Any]]:
    """Operations as JSON would have them."""
    found = {spec.name: {"source": "installed", **spec.model_dump(mode="json", by_alias=True)} for spec in known_operations()}
    for name, value in log.operations.items():
        try:
            spec, plugin = read_record(value)
        except OperationError as error:
            found[name] = {"name": name, "source": "plugin", "broken": error.message}
            continue
        if name not in found:
            found[name] = {"source": "plugin", "plugin": plugin.model_dump(mode="json"), **spec.model_dump(mode="json", by_alias=True)}
    for one in found.values():
        one["served_by"] = _served_by(str(one["name"]), workers)
    return [found[name] for name in sorted(found)]


def _served_by(name: str, workers: list[Presence]) -> list[dict[str, Any]]:
    """The workers that announced the operation. `ok` is its health when they did."""
    found = []
    for worker in workers:
        serving = worker.serving
        for one in serving.operations:
            if one.get("name") == name:
                place = {"lane": serving.lane, "instance": serving.instance, "since_ms": serving.since_ms, "present": worker.present}
                found.append(place | {"ok": one.get("ok"), "detail": one.get("detail", "")})
    return found
