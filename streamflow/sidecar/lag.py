"""`/lag`, `/lanes`, `/workers`: how far the workers are behind, and who they are."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Query

from streamflow.operations.callbacks import API_PATH
from streamflow.ops.fleet import group_lag_rows, lane_rows, worker_rows
from streamflow.sidecar.principal import Right, needs
from streamflow.sidecar.problems import declared
from streamflow.sidecar.state import LogOf, StateOf

router = APIRouter(prefix=API_PATH, tags=["workers"])

_READ = ("request_invalid", "broker_refused")


@router.get("/lag", responses=declared(*_READ), dependencies=[needs(Right.READ_LAG)])
async def lag(
    log: LogOf, state: StateOf, partitions: Annotated[bool, Query(description="a row for each partition")] = False
) -> dict[str, Any]:
    """How far the engine, ingress and task workers are behind, as `streamflow lag --live` shows it: records; seconds
    since the first of them came, 0 when nothing waits, null when that is not known; seconds until the group has caught
    up, null when that is not known yet, or when it falls behind; and the state of a topic that cannot be read."""
    found = await log.lag()
    return {
        "rows": [asdict(one) for one in found.partitions] if partitions else group_lag_rows(state.settings, found),
        "next": None,
    }


@router.get("/lanes", responses=declared(*_READ), dependencies=[needs(Right.READ_LAG)])
async def lanes(log: LogOf, state: StateOf) -> dict[str, Any]:
    """Every lane: the workers that are there, the operations that they do, and the tasks that wait."""
    workers, _ = await log.workers()
    return {"rows": lane_rows(state.settings, workers, (await log.lag()).partitions), "next": None}


@router.get("/workers", responses=declared(*_READ), dependencies=[needs(Right.READ_LAG)])
async def workers(log: LogOf) -> dict[str, Any]:
    """Every worker: what it does, where, since when, and whether it is there and well."""
    return {"rows": worker_rows(*await log.workers()), "next": None}
