"""`POST /definitions/shadow`: the last runs of a definition, or what came in a time, as another content would have
it."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from fastapi import APIRouter
from pydantic import Field

from streamflow.operations.callbacks import API_PATH
from streamflow.ops.shadow import MOST_RUNS, shadow
from streamflow.ops.shadow_range import shadow_range
from streamflow.sidecar.bodies import JsonRoute
from streamflow.sidecar.definition_approvals import require_children
from streamflow.sidecar.definitions import SUBMIT, Handed, handed_in
from streamflow.sidecar.principal import PrincipalOf, Right, needs
from streamflow.sidecar.problems import declared
from streamflow.sidecar.state import LogOf, StateOf

router = APIRouter(prefix=f"{API_PATH}/definitions", tags=["definitions"], route_class=JsonRoute)

_replaying = asyncio.Semaphore(1)  # each takes a processor


class ToShadow(Handed):
    """The same, and the number of runs or the period."""

    last: int = Field(default=20, ge=1, le=MOST_RUNS, description="number of newest ended runs")
    from_ms: int | None = Field(
        default=None,
        ge=0,
        description="instead of runs, the events from this time on (epoch milliseconds); up to 2000 records",
    )
    to_ms: int | None = Field(default=None, ge=0, description="end of the period, exclusive; default: now")


@router.post(
    "/shadow",
    responses=declared(*SUBMIT, "version_unknown", "range_invalid"),
    dependencies=[needs(Right.READ_RUNS)],
)
async def replay(body: ToShadow, log: LogOf, state: StateOf, principal: PrincipalOf) -> dict[str, Any]:
    """Replays the last runs of a definition by what is handed in, and by the version that starts use, without effects:
    which of them end differently (`different`), the first step that differs, and which cannot be compared, and why.
    With `from_ms` the events of a time are replayed instead: a row is a run that one of both contents starts by them.
    One replay at a time."""
    found = await handed_in(body, log, state, contradictions=False)
    definition, catalog = found.usable()
    principal.require(Right.READ_RUNS, definition.name)
    require_children(principal, definition)
    snapshot = await log.definitions()
    async with _replaying:
        if body.from_ms is not None:
            to_ms = time.time_ns() // 1_000_000 if body.to_ms is None else body.to_ms
            came = await log.recorded_range((definition, catalog), body.from_ms, to_ms)
            found_in = await asyncio.to_thread(shadow_range, snapshot, came, (definition, catalog))
            return found_in.facts() | {"records": len(came.records)}
        recorded = await log.recorded(definition.name, body.last)
        result = await asyncio.to_thread(shadow, snapshot, recorded, (definition, catalog))
    return result.facts()
