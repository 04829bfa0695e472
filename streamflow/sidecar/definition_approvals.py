"""`/definitions/.../approvals`: who approved which content, with the report that they saw.

Approving signs exactly one content for this environment; `POST /definitions/publish` takes the approval. A user
approves in their own name. Anyone who has the sidecar's token, or is on the machine of one that has no users, may say
for whom."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter
from pydantic import Field, StringConstraints

from streamflow.approvals.approval import Source
from streamflow.approvals.report import Approved, Report, ShadowSummary
from streamflow.definition.catalog import Catalog
from streamflow.definition.content import child_names
from streamflow.definition.model import Definition
from streamflow.kafka.definitions import Snapshot
from streamflow.operations.callbacks import API_PATH
from streamflow.ops.definition_approvals import approval_of, approvals_of, report_on
from streamflow.ops.definitions import resolve
from streamflow.ops.shadow import MOST_RUNS, shadow
from streamflow.ops.submissions import Submission
from streamflow.sidecar.bodies import JsonRoute
from streamflow.sidecar.definitions import READ, SUBMIT, Body, Handed, acting, handed_in, require_hash, scenarios_text
from streamflow.sidecar.log import Log
from streamflow.sidecar.principal import Principal, PrincipalOf, Right, actor, needs, needs_for_name
from streamflow.sidecar.problems import BODY_FAULTS, declared
from streamflow.sidecar.state import LogOf, State, StateOf, audited

router = APIRouter(prefix=f"{API_PATH}/definitions", tags=["definitions"], route_class=JsonRoute)

Name = Annotated[str, StringConstraints(min_length=1, max_length=200)]
APPROVE = (
    "hash_mismatch",
    "report_failed",
    "approval_own_work",
    "approval_key_missing",
    "approval_key_invalid",
    "secret_missing",
    "not_allowed",
    "scenarios_invalid",
    "version_unreadable",
)
_playing = asyncio.Semaphore(1)  # a report takes a processor


class Approving(Body):
    """What a person approves."""

    hash: str = Field(pattern=r"^[0-9a-f]{64}$", description="the sha256 of the content that was reviewed")
    by: Name | None = Field(
        default=None, description="who approves; default, and the only name allowed, for a user: their own"
    )
    note: str = Field(default="", max_length=2000, description="kept with the approval")
    shadow: int = Field(default=0, ge=0, le=MOST_RUNS, description="number of newest runs to replay for the report")


class Authored(Approving):
    """The same, for a definition that was not written in a conversation."""

    authors: list[Name] = Field(default_factory=list, max_length=100, description="who wrote it")


class ToApprove(Handed, Authored):
    """The same, for a definition in the request."""

    scenarios: str | dict[str, Any] | None = Field(
        default=None, description="scenarios that are played for the report, and published with the version"
    )


@router.post(
    "/approvals",
    status_code=201,
    responses=declared(*SUBMIT, *APPROVE),
    dependencies=[needs(Right.APPROVE_DEFINITIONS)],
)
async def approve(body: ToApprove, log: LogOf, state: StateOf, principal: PrincipalOf) -> dict[str, Any]:
    """Checks a definition, plays its scenarios, and signs an approval of exactly this content and report. The approval
    is kept; publishing takes it from there, or from `approval`."""
    found = await handed_in(body, log, state, contradictions=True)
    text = scenarios_text(body.scenarios)
    report = await reported(body, found, text, log, principal)
    return await approved(body, report, log, state, principal, authors=body.authors)


@router.post(
    "/{name}/versions/{version}/approvals",
    status_code=201,
    responses=declared(*READ, *BODY_FAULTS, *APPROVE),
    dependencies=[needs_for_name(Right.APPROVE_DEFINITIONS)],
)
async def approve_version(
    name: str, version: str, body: Authored, log: LogOf, state: StateOf, principal: PrincipalOf
) -> dict[str, Any]:
    """Approves a version that is published. It counts as approved once it is published again with the approval."""
    snapshot = await log.definitions(fresh=True)
    reference = resolve(snapshot, f"{name}@{version}")
    definition, catalog = snapshot.read_version(*reference)
    require_children(principal, definition)
    scenarios = snapshot.scenarios.get(reference)
    async with _playing:
        found = await _shadowed(body.shadow, (definition, catalog), snapshot, log)
        report = await asyncio.to_thread(report_on, snapshot, definition, catalog, scenarios=scenarios, shadow=found)
    return await approved(body, report, log, state, principal, authors=body.authors)


@router.get(
    "/{name}/approvals",
    responses=declared("request_invalid"),
    dependencies=[needs_for_name(Right.READ_DEFINITIONS)],
)
async def list_(name: str, log: LogOf) -> dict[str, Any]:
    """The approvals of a definition's contents, the newest first, each with its report. `state` is `published`, or
    `open`: no version is published with it."""
    rows = await asyncio.to_thread(approvals_of, await log.definitions(), name)
    return {"definition": name, "rows": rows, "next": None}


def require_children(principal: Principal, definition: Definition) -> None:
    """Raises Rejected (`right_missing`) unless the principal may read what a definition starts: the paths of its runs
    show what is in that."""
    for child, _ in child_names(definition):
        principal.require(Right.READ_DEFINITIONS, child)


async def _shadowed(last: int, pair: tuple[Definition, Catalog], snapshot: Snapshot, log: Log) -> ShadowSummary | None:
    if not last:
        return None
    recorded = await log.recorded(pair[0].name, last)
    return (await asyncio.to_thread(shadow, snapshot, recorded, pair)).summary()


async def reported(body: Approving, found: Submission, scenarios: str | None, log: Log, principal: Principal) -> Report:
    """The report on what was handed in, by those who may approve it. Raises DefinitionError, and Rejected
    (`right_missing`)."""
    definition, catalog = found.usable()
    principal.require(Right.APPROVE_DEFINITIONS, definition.name)
    require_children(principal, definition)
    warnings = [str(one.problem) for one in found.problems]
    snapshot = await log.definitions()
    async with _playing:
        summary = await _shadowed(body.shadow, (definition, catalog), snapshot, log)
        return await asyncio.to_thread(
            report_on, snapshot, definition, catalog, warnings=warnings, scenarios=scenarios, shadow=summary
        )


async def approved(
    body: Approving,
    report: Report,
    log: Log,
    state: State,
    principal: Principal,
    *,
    authors: Sequence[str],
    source: Source | None = None,
) -> dict[str, Any]:
    """Signs the approval of a report, and keeps it: both as JSON has them. Raises Rejected (`hash_mismatch`,
    `report_failed`, `approval_own_work`), and OperationError."""
    require_hash(body.hash, report.sha256)
    by, environment = acting(principal, body.by), (await log.definitions()).environment
    approval = await asyncio.to_thread(
        approval_of, state.settings, environment, report, authors=authors, by=by, note=body.note, source=source
    )
    after: dict[str, Any] = {"sha": report.sha256, "report": approval.report, "by": by}
    after["authors"] = list(approval.authors)
    if source is not None:
        after |= {"conversation": source.conversation, "revision": source.revision}
    target = f"{report.name}@{report.version}"
    await audited(state.identity, actor(principal), "definition.approve", target, after=after)
    made = Approved(approval=approval, report=report)
    await log.approve(made)
    facts: dict[str, Any] = msgspec.to_builtins(made)
    return facts
