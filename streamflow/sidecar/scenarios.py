"""Scenarios: those that authors hand in, and those that were published with a version."""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import Field

from streamflow.definition.catalog import Catalog
from streamflow.definition.lines import Lines
from streamflow.definition.model import Definition
from streamflow.kafka.definitions import Snapshot
from streamflow.operations.callbacks import API_PATH
from streamflow.ops.definitions import resolve
from streamflow.ops.samples import sample_scenarios
from streamflow.ops.scenarios import perform, published_children, read_scenarios
from streamflow.sidecar.bodies import JsonRoute
from streamflow.sidecar.definitions import READ, SUBMIT, Handed, handed_in
from streamflow.sidecar.principal import PrincipalOf, Right, needs, needs_for_name
from streamflow.sidecar.problems import declared
from streamflow.sidecar.state import LogOf, StateOf

router = APIRouter(prefix=f"{API_PATH}/definitions", tags=["definitions"], route_class=JsonRoute)

_KEPT = 100  # performances of published scenarios
_simulations = asyncio.Semaphore(1)  # each takes a processor
_performances: OrderedDict[str, dict[str, Any]] = OrderedDict()


class ToPlay(Handed):
    """The same, and scenarios for it."""

    scenarios: str | dict[str, Any] = Field(description="the scenarios, as in scenarios.yaml")
    only: str | None = Field(default=None, max_length=200, description="only scenarios whose names contain this")


class ToSample(Handed):
    """The same, and a seed."""

    seed: int = Field(default=1, ge=0, le=1_000_000, description="the same seed gives the same events")


@router.post("/samples", responses=declared(*SUBMIT), dependencies=[needs(Right.PUBLISH_DEFINITIONS)])
async def samples(body: ToSample, log: LogOf, state: StateOf, principal: PrincipalOf) -> dict[str, Any]:
    """Makes events from the schemas, with values for both sides of each branch, plays them, and answers with scenarios
    that expect these results. `untaken` are steps and outcomes that none of them reaches; `reason` says why no
    event can be made."""
    found = await handed_in(body, log, state, contradictions=False)
    definition, catalog = found.usable()
    principal.require(Right.PUBLISH_DEFINITIONS, definition.name)
    async with _simulations:
        made = await asyncio.to_thread(sample_scenarios, definition, catalog, body.seed)
    return {"definition": definition.name, "version": definition.version, "seed": body.seed, **made}


@router.post(
    "/simulate",
    responses=declared(*SUBMIT, "scenarios_invalid", "no_scenario"),
    dependencies=[needs(Right.PUBLISH_DEFINITIONS)],
)
async def simulate(body: ToPlay, log: LogOf, state: StateOf, principal: PrincipalOf) -> dict[str, Any]:
    """Plays scenarios, days in milliseconds, and reports where runs went otherwise than expected and which ways none of
    them took. One simulation at a time."""
    found = await handed_in(body, log, state, contradictions=False)
    definition, catalog = found.usable()
    principal.require(Right.PUBLISH_DEFINITIONS, definition.name)
    snapshot = await log.definitions()
    for child, _ in published_children(snapshot, definition):  # the paths show what is in them
        principal.require(Right.READ_DEFINITIONS, child.name)
    async with _simulations:
        return await asyncio.to_thread(_played, body.scenarios, body.only, definition, catalog, snapshot)


@router.get(
    "/{name}/scenarios",
    responses=declared(*READ, "scenarios_invalid"),
    dependencies=[needs_for_name(Right.READ_DEFINITIONS)],
)
async def list_(
    name: str,
    log: LogOf,
    version: Annotated[str | None, Query(description="default: the one that new runs use")] = None,
) -> dict[str, Any]:
    """The scenarios that were published with a version, each played: whether runs went as it expects, and their paths.
    `untaken` are steps and outcomes that none of them reached. No rows: none were published."""
    snapshot = await log.definitions()
    reference = resolve(snapshot, f"{name}@{version or ''}")
    text = snapshot.scenarios.get(reference)
    if text is None:
        return {"definition": name, "version": reference[1], "rows": [], "untaken": [], "next": None}
    known = hashlib.sha256(f"{snapshot.versions[reference].sha} {text}".encode()).hexdigest()
    if known not in _performances:
        async with _simulations:
            definition, catalog = snapshot.read_version(*reference)
            _performances[known] = await asyncio.to_thread(_played, text, None, definition, catalog, snapshot)
            while len(_performances) > _KEPT:
                _performances.popitem(last=False)
    played = _performances[known]
    found = {"rows": played["scenarios"], "untaken": played["untaken"], "next": None}
    return {"definition": name, "version": reference[1], **found}


def _played(
    text: str | dict[str, Any], only: str | None, definition: Definition, catalog: Catalog, snapshot: Snapshot
) -> dict[str, Any]:
    scenarios = read_scenarios(text)
    lines = Lines(text if isinstance(text, str) else "{}")
    children = published_children(snapshot, definition)
    done = perform(scenarios, lines, definition, catalog, children=children, only=only)
    return {"definition": definition.name, "version": definition.version, **done.facts()}
