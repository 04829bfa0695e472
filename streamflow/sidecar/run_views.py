"""`/runs/{run}/...`: what people see of one run beside its steps: its state at any transition, its Gantt, why a step
ran or waits, how it differs from another run, and its diagram."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response

from streamflow.definition.mermaid import mermaid
from streamflow.engine.transitions import Transition
from streamflow.operations.callbacks import API_PATH
from streamflow.ops.comparison import compare
from streamflow.ops.definitions import content_of_run
from streamflow.ops.explanations import explain
from streamflow.ops.gantt import gantt
from streamflow.ops.moments import state_at
from streamflow.ops.steps import step_states
from streamflow.sidecar.definitions import picture_of
from streamflow.sidecar.log import Log
from streamflow.sidecar.principal import Principal, PrincipalOf, Right, needs, require_run
from streamflow.sidecar.problems import declared
from streamflow.sidecar.state import LogOf

router = APIRouter(prefix=f"{API_PATH}/runs/{{run}}", tags=["runs"])

_READ = ("request_invalid", "no_run_id", "run_unknown")
_DRAW = (*_READ, "version_unknown", "version_unreadable")


@router.get("/state", responses=declared(*_READ, "seq_unknown"), dependencies=[needs(Right.READ_RUNS)])
async def state(
    run: str,
    log: LogOf,
    principal: PrincipalOf,
    seq: Annotated[int | None, Query(description="a transition; default: the latest")] = None,
) -> dict[str, Any]:
    """A run as it was after one of its transitions: its steps, deadlines and values."""
    return await asyncio.to_thread(state_at, await history_of(log, principal, run), seq)


@router.get("/gantt", responses=declared(*_READ), dependencies=[needs(Right.READ_RUNS)])
async def bars(run: str, log: LogOf, principal: PrincipalOf) -> dict[str, Any]:
    """When each step did what: a row for each step, a list of items too, with its states as bars, and the times in
    which nothing happened."""
    return await asyncio.to_thread(gantt, await history_of(log, principal, run))


@router.get("/why", responses=declared(*_DRAW, "step_unknown"), dependencies=[needs(Right.READ_RUNS)])
async def why(
    run: str, log: LogOf, principal: PrincipalOf, step: Annotated[str, Query(min_length=1, max_length=200)]
) -> dict[str, Any]:
    """Why a step ran, did not run, or waits, in a sentence and as data; of a wait with the events that came near to
    what it waits for."""
    history = await history_of(log, principal, run)
    snapshot = await log.definitions()
    definition, _ = content_of_run(snapshot, history)
    topics = {name: tuple(binding.topics) for name, binding in snapshot.bindings.items()}
    written = next((one for one in definition.steps if one.id == step), None)
    waits = written is not None and written.wait is not None
    missed = await log.unclaimed(history[0].key) if waits else []
    return explain(definition, history, step, unclaimed=missed, topics=topics)


@router.get("/compare", responses=declared(*_READ), dependencies=[needs(Right.READ_RUNS)])
async def difference(
    run: str,
    log: LogOf,
    principal: PrincipalOf,
    other: Annotated[str, Query(alias="with", description="the id of the other run")],
) -> dict[str, Any]:
    """How this run (left) differs from another one (right), step by step, and where the two parted first."""
    left, right = await history_of(log, principal, run), await history_of(log, principal, other)
    return {"run": run, "with": other, **await asyncio.to_thread(compare, left, right)}


@router.get(
    "/diagram.mmd",
    responses={200: {"content": {"text/plain": {}}}, **declared(*_DRAW)},
    response_class=Response,
    dependencies=[needs(Right.READ_RUNS)],
)
async def diagram(run: str, log: LogOf, principal: PrincipalOf) -> Response:
    """What the run follows as the text of a Mermaid flowchart, coloured by how far its steps are."""
    return Response(await _drawn(log, principal, run), media_type="text/plain; charset=utf-8")


@router.get(
    "/diagram.svg",
    responses={200: {"content": {"image/svg+xml": {}}}, **declared(*_DRAW, "diagram_failed")},
    response_class=Response,
    dependencies=[needs(Right.READ_RUNS)],
)
async def picture(run: str, log: LogOf, principal: PrincipalOf) -> Response:
    """The same as a picture."""
    return await picture_of(await _drawn(log, principal, run))


async def history_of(log: Log, principal: Principal, run: str) -> list[Transition]:
    """The transitions of a run, at least one. Raises Rejected (`no_run_id`, `run_unknown`)."""
    return require_run(principal, Right.READ_RUNS, run, await log.history(run))


async def _drawn(log: Log, principal: Principal, run: str) -> str:
    history = await history_of(log, principal, run)
    definition, catalog = content_of_run(await log.definitions(), history)
    return mermaid(definition, catalog, overlay=step_states(history))
