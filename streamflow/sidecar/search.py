"""Reading the history store: lists of runs, any id looked up, the fate of events, trouble, figures."""

from __future__ import annotations

import time
from typing import Annotated, Any, Literal

import msgspec
from fastapi import APIRouter, Depends, Query, Request
from pydantic import Field

from streamflow.errors import Rejected
from streamflow.history.queries import Sort
from streamflow.history.reading import TroubleFilter, TroublePage
from streamflow.operations.callbacks import API_PATH
from streamflow.ops.definitions import resolve
from streamflow.sidecar.bodies import JsonAnswer
from streamflow.sidecar.principal import PrincipalOf, Right, needs, needs_for_name, run_unknown
from streamflow.sidecar.problems import declared
from streamflow.sidecar.query_model import parameters_of, query_as
from streamflow.sidecar.run_query import Ms, Number, RunQuery, ScopeOf, attributes_in
from streamflow.sidecar.state import HistoryOf, LogOf

router = APIRouter(prefix=API_PATH, tags=["history"])

_PAGE = 200
_DAY_MS = 86_400_000
_LONGEST_MS = 400 * _DAY_MS
_READ = ("request_invalid", "history_unavailable", "history_missing", "history_older", "history_newer")
_LIST = (*_READ, "filter_invalid", "cursor_invalid")

Limit = Annotated[int, Query(ge=1, le=_PAGE)]
Cursor = Annotated[str | None, Query(max_length=1000, description="`next` of the previous page")]
Text = Annotated[str | None, Query(max_length=1000)]


class RunList(RunQuery):
    """Which page of which runs."""

    sort: Sort = "-started"
    cursor: str | None = Field(default=None, max_length=1000, description="`next` of the previous page")
    limit: int = Field(default=50, ge=1, le=_PAGE)
    count: bool = Field(default=False, description="also count them, up to 10,000")


NEXT_ACTION = {
    "rejected": "Correct what sent the request: the engine refused it, and nothing was changed.",
    "unclaimed": "Check the event and the run that came closest to consuming it.",
    "late": "Look whether the source is behind; handle the run whose wait had timed out.",
    "expired": "Look why no run took the event while it was kept.",
    "overflow": "Look which definition keeps more events than its limit.",
    "parked": "Retry the step, skip it, or fail the run.",
    "dead_letter": "Correct the record or the definition, then replay the letter, or drop it with a reason.",
}
"""What a person does about each kind of trouble."""


@router.get(
    "/runs",
    response_model=dict[str, Any],
    responses=declared(*_LIST),
    dependencies=[needs(Right.READ_RUNS)],
    openapi_extra=parameters_of(RunList),
)
async def runs(
    request: Request, history: HistoryOf, scope: ScopeOf, asked: Annotated[RunList, Depends(query_as(RunList))]
) -> JsonAnswer:
    """Runs, without their data. Every filter must fit; `attr.<name>` is the value of a search attribute. A page may
    have fewer rows than asked for and still a `next`."""
    attributes = attributes_in(request.query_params.multi_items())
    wanted = asked.wanted(await scope.names(asked.definition, Right.READ_RUNS), attributes)
    page = await history.runs(wanted, asked.sort, asked.cursor, asked.limit)
    answer: dict[str, Any] = {"rows": page.rows, "next": page.next}
    if asked.count:
        answer["count"] = await history.count(wanted)
    return JsonAnswer(answer)


@router.get("/runs/{run}/logs", responses=declared(*_READ, "run_unknown"), dependencies=[needs(Right.READ_RUNS)])
async def logs(
    run: str,
    history: HistoryOf,
    principal: PrincipalOf,
    after: Annotated[Number, Query(ge=-1, description="`next` of the previous page")] = -1,
    limit: Annotated[int, Query(ge=1, le=1000)] = 1000,
) -> dict[str, Any]:
    """Log lines of all processes about a run, in order."""
    if not principal.may_everywhere(Right.READ_RUNS):
        known = await history.run(run)
        if known is None or not principal.may(Right.READ_RUNS, known.definition):
            raise run_unknown(run)
    rows = msgspec.to_builtins(await history.logs(run, after, limit))
    return {"rows": rows, "next": rows[-1]["seq"] if len(rows) == limit else None}


@router.get("/lookup", responses=declared(*_READ), dependencies=[needs(Right.READ_RUNS)])
async def lookup(
    history: HistoryOf, principal: PrincipalOf, q: Annotated[str, Query(min_length=1, max_length=1000)]
) -> dict[str, Any]:
    """Whatever a text is the id of: a run, a business key, an event, a step (`<run>/<step>`), a piece of trouble."""
    found = [hit for hit in await history.lookup(q.strip()) if principal.may(Right.READ_RUNS, hit.definition)]
    return {"rows": msgspec.to_builtins(found), "next": None}


@router.get("/events/{event:path}", responses=declared(*_READ), dependencies=[needs(Right.READ_HISTORY)])
async def event(event: str, history: HistoryOf, principal: PrincipalOf, source: Text = None) -> dict[str, Any]:
    """The fate of the event with an id: the runs that it started, the waits that took it, or why nothing did. No
    rows: nothing is known of it."""
    fates = await history.event_fates(event, source)
    found = [fate for fate in fates if principal.may(Right.READ_HISTORY, fate.definition)]
    return {"rows": msgspec.to_builtins(found), "next": None}


@router.get("/trouble", responses=declared(*_LIST), dependencies=[needs(Right.READ_TROUBLE)])
async def trouble(history: HistoryOf, scope: ScopeOf, definition: Text = None) -> dict[str, Any]:
    """How much open trouble of each kind there is, counted up to 10,000, since when at the latest, and what to do."""
    within = await scope.names(definition, Right.READ_TROUBLE)
    counts = await history.trouble_counts(TroubleFilter(state="open", definition=definition, within=within))
    rows = []
    for kind, n in counts.items():
        wanted = TroubleFilter(kind=kind, state="open", definition=definition, within=within)
        latest = await history.trouble(wanted, None, 1)
        newest = latest.rows[0].at_ms if latest.rows else None
        rows.append({"kind": kind, "n": n, "newest_ms": newest, "next_action": NEXT_ACTION.get(kind, "")})
    return {"rows": rows, "next": None}


@router.get("/trouble/rows", responses=declared(*_LIST), dependencies=[needs(Right.READ_TROUBLE)])
async def trouble_rows(
    history: HistoryOf,
    scope: ScopeOf,
    kind: Text = None,
    state: Literal["open", "settled"] | None = "open",
    definition: Text = None,
    code: Text = None,
    run: Text = None,
    from_ms: Ms | None = None,
    to_ms: Ms | None = None,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> dict[str, Any]:
    """Trouble, newest first, each with its reason and what to do."""
    wanted = TroubleFilter(
        kind=kind,
        state=state,
        definition=definition,
        within=await scope.names(definition, Right.READ_TROUBLE),
        code=code,
        run=run,
        from_ms=from_ms,
        to_ms=to_ms,
    )
    page = _page(await history.trouble(wanted, cursor, limit))
    for row in page["rows"]:
        row["next_action"] = NEXT_ACTION.get(row["kind"], "")
    return page


@router.get("/statistics", responses=declared(*_READ, "range_invalid"), dependencies=[needs(Right.READ_HISTORY)])
async def statistics(
    history: HistoryOf,
    scope: ScopeOf,
    from_ms: Ms | None = None,
    to_ms: Ms | None = None,
    definition: Text = None,
    version: Text = None,
    step: Text = None,
) -> dict[str, Any]:
    """What began and ended in each hour of a range (the last 24 hours), by outcome, with durations in milliseconds: of
    runs, or with `step` of a step."""
    begin, end = _range(from_ms, to_ms, _DAY_MS)
    within = await scope.names(definition, Right.READ_HISTORY)
    found = await history.statistics(begin, end, definition, version, step, within)
    return {"from_ms": begin, "to_ms": end, "rows": msgspec.to_builtins(found), "next": None}


@router.get(
    "/definitions/{name}/traffic",
    responses=declared(*_READ, "range_invalid", "version_unknown"),
    dependencies=[needs_for_name(Right.READ_HISTORY)],
)
async def traffic(
    name: str,
    history: HistoryOf,
    log: LogOf,
    version: Text = None,
    from_ms: Ms | None = None,
    to_ms: Ms | None = None,
) -> dict[str, Any]:
    """How often each step of a version (the one that starts use) ended with each outcome, over the last 30 days or a
    range: what colours a diagram."""
    chosen = resolve(await log.definitions(), f"{name}@{version or ''}")[1]
    begin, end = _range(from_ms, to_ms, 30 * _DAY_MS)
    rows = msgspec.to_builtins(await history.traffic(name, chosen, begin, end))
    return {"definition": name, "version": chosen, "from_ms": begin, "to_ms": end, "rows": rows, "next": None}


@router.get("/history", responses=declared(*_READ), dependencies=[needs(Right.READ_HISTORY)])
async def behind(history: HistoryOf) -> dict[str, Any]:
    """How far the history store is behind the topics: the worst of all partitions, and each."""
    rows = msgspec.to_builtins(await history.behind())
    return {
        "records": sum(row["records"] for row in rows),
        "seconds": max((row["seconds"] for row in rows), default=0.0),
        "silent_s": max((row["silent_s"] for row in rows), default=None),
        "rows": rows,
        "next": None,
    }


def _page(page: TroublePage) -> dict[str, Any]:
    return {"rows": msgspec.to_builtins(page.rows), "next": page.next}


def _range(from_ms: int | None, to_ms: int | None, length: int) -> tuple[int, int]:
    """A range of time. Raises Rejected (`range_invalid`)."""
    end = time.time_ns() // 1_000_000 if to_ms is None else to_ms
    begin = end - length if from_ms is None else from_ms
    if not 0 <= begin < end or end - begin > _LONGEST_MS:
        raise Rejected(
            "range_invalid",
            f"The range from {begin} to {end} is empty, or longer than 400 days. Give epoch milliseconds.",
        )
    return begin, end
