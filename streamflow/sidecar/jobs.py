"""`/jobs`: one action on many runs, with a preview, and a result for each run."""

from __future__ import annotations

import asyncio
import time
import uuid
from itertools import islice
from typing import Annotated, Any, Literal

import msgspec
from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from streamflow.errors import Rejected
from streamflow.history.filters import RunFilter
from streamflow.history.reader import HistoryReader
from streamflow.operations.callbacks import API_PATH
from streamflow.ops.jobs import LONGEST, Action, Board, Job, Target, added
from streamflow.sidecar.bodies import JsonRoute
from streamflow.sidecar.principal import Principal, PrincipalOf, Right, actor, needs
from streamflow.sidecar.problems import BODY_FAULTS, declared
from streamflow.sidecar.run_query import RunQuery, ScopeOf, attributes_in
from streamflow.sidecar.state import HistoryOf, IdentityOf, LogOf, RunnerOf, audited

router = APIRouter(prefix=f"{API_PATH}/jobs", tags=["jobs"], route_class=JsonRoute)

_SAMPLE = 20
_PAGE = 1000
_READ = ("request_invalid", "job_unknown")
_START = (
    *BODY_FAULTS,
    "filter_invalid",
    "reason_missing",
    "job_too_large",
    "jobs_busy",
    "history_unavailable",
    "history_missing",
    "history_older",
    "history_newer",
)
_OPEN = ("open", "parked")


class JobRequest(BaseModel):
    """An action, and the runs that it is for."""

    model_config = ConfigDict(extra="forbid")

    action: Action = Field(description="`retry` and `skip` apply to the parked step of each run")
    filter: RunQuery = Field(
        description="filters as in the query of `GET /runs`; only open runs are selected, and except for `cancel` only "
        "parked ones"
    )
    reason: str = Field(default="", max_length=2000, description="why; not needed for a preview")
    preview: bool = Field(default=False, description="only show the number of runs, and some of them")

    def wanted(self, within: tuple[str, ...] | None) -> RunFilter | None:
        """The runs for the history store; None: there can be none. Raises Rejected (`filter_invalid`)."""
        given = self.filter.model_extra or {}
        attributes = attributes_in(given.items())
        if len(attributes) < len(given):
            unknown = next(name for name in given if not name.startswith("attr."))
            raise Rejected("filter_invalid", f"There is no filter {unknown[:100]!a}. Use those of `GET /runs`.")
        found = self.filter.wanted(within, attributes)
        if found.status not in (None, *_OPEN):
            return None
        status = (found.status or "open") if self.action == "cancel" else "parked"
        return msgspec.structs.replace(found, status=status)


@router.post(
    "",
    status_code=202,
    responses={200: {"description": "A preview"}, **declared(*_START)},
    dependencies=[needs(Right.START_JOBS)],
)
async def start(
    body: JobRequest,
    history: HistoryOf,
    log: LogOf,
    identity: IdentityOf,
    principal: PrincipalOf,
    scope: ScopeOf,
    runner: RunnerOf,
    response: Response,
) -> dict[str, Any]:
    """Cancels, retries, skips or fails all runs that a filter means now, at most 10,000, as one job that continues when
    this sidecar ends. 200: a preview, with `count` and some runs as `sample`. The principal needs the right to operate
    the runs, too, when the job is started."""
    wanted = body.wanted(await scope.names(body.filter.definition, Right.START_JOBS, Right.OPERATE_RUNS))
    if body.preview:
        response.status_code = 200
        return await _preview(history, wanted)
    if not body.reason.strip():
        raise Rejected("reason_missing", "A job needs a reason, which the audit keeps. Give it as `reason`.")
    definitions, targets = await _chosen(history, wanted)
    job = Job(
        id=uuid.uuid4().hex[:16],
        action=body.action,
        filter=body.filter.model_dump(exclude_none=True),
        reason=body.reason,
        who=principal.name,
        user=principal.id,
        groups=principal.groups,
        definitions=definitions,
        created_ms=time.time_ns() // 1_000_000,
        total=len(targets),
    )
    after = {"action": job.action, "filter": job.filter, "reason": job.reason, "runs": job.total}
    await audited(identity, actor(principal), "job.start", job.id, after=after)
    await asyncio.to_thread(log.jobs.write, lambda board, _now_ms: added(board, job, targets))
    runner.wake()
    return await asyncio.to_thread(log.jobs.read, lambda board: (board.job(job.id) or job).described())


async def _preview(history: HistoryReader, wanted: RunFilter | None) -> dict[str, Any]:
    if wanted is None:
        return {"count": {"n": 0, "capped": False}, "sample": []}
    page = await history.runs(wanted, limit=_SAMPLE)
    count = await history.count(wanted, LONGEST)
    return {"count": msgspec.to_builtins(count), "sample": [row.run for row in page.rows]}


async def _chosen(history: HistoryReader, wanted: RunFilter | None) -> tuple[tuple[str, ...], list[Target]]:
    """The runs that are meant, and of which definitions they are. Raises Rejected (`job_too_large`)."""
    targets: list[Target] = []
    definitions: set[str] = set()
    cursor: str | None = None
    while wanted is not None:
        page = await history.runs(wanted, cursor=cursor, limit=_PAGE)
        targets += [Target(row.run, row.parked_step or "", row.definition) for row in page.rows]
        definitions.update(row.definition for row in page.rows)
        cursor = page.next
        if len(targets) > LONGEST:
            raise Rejected(
                "job_too_large", f"More than {LONGEST} runs match, which is the limit of a job. Narrow the filter."
            )
        if cursor is None:
            break
    return tuple(sorted(definitions)), targets


@router.get("", responses=declared("request_invalid"), dependencies=[needs(Right.READ_JOBS)])
async def list_(log: LogOf, principal: PrincipalOf) -> dict[str, Any]:
    """The jobs that are kept, newest first; for a caller with the right for some definitions those of these alone."""
    found = await asyncio.to_thread(log.jobs.read, lambda board: board.jobs())
    return {"rows": [one.described() for one in found if _may_see(principal, one)], "next": None}


@router.get("/{job}", responses=declared(*_READ), dependencies=[needs(Right.READ_JOBS)])
async def show(job: str, log: LogOf, principal: PrincipalOf) -> dict[str, Any]:
    """A job: how far it is."""
    return await asyncio.to_thread(log.jobs.read, lambda board: _known(board, principal, job).described())


@router.get("/{job}/results", responses=declared(*_READ), dependencies=[needs(Right.READ_JOBS)])
async def results(
    job: str,
    log: LogOf,
    principal: PrincipalOf,
    outcome: Literal["applied", "refused", "unanswered"] | None = None,
    cursor: Annotated[int, Query(ge=0, le=LONGEST, description="`next` of the previous page")] = 0,
    limit: Annotated[int, Query(ge=1, le=_PAGE)] = 200,
) -> dict[str, Any]:
    """The result of each run, as far as the job is: `applied`, `refused` with why, or `unanswered`."""

    def page(board: Board) -> list[Any]:
        known = _known(board, principal, job)
        found = (one for one in board.results(known.id) if outcome in (None, one.outcome))
        return list(islice(found, cursor, cursor + limit + 1))

    rows = await asyncio.to_thread(log.jobs.read, page)
    more = len(rows) > limit
    return {"rows": msgspec.to_builtins(rows[:limit]), "next": cursor + limit if more else None}


def _may_see(principal: Principal, job: Job) -> bool:
    if principal.may_everywhere(Right.READ_JOBS):
        return True
    return bool(job.definitions) and all(principal.may(Right.READ_JOBS, one) for one in job.definitions)


def _known(board: Board, principal: Principal, id: str) -> Job:
    """A job that the principal may look at. Raises Rejected (`job_unknown`)."""
    found = board.job(id)
    if found is None or not _may_see(principal, found):
        raise Rejected("job_unknown", f"There is no job {id[:100]!a}. See the list: `GET /jobs`.")
    return found
