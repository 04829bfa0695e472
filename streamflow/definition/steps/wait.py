"""`wait`: for the first of several events."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from streamflow.definition.catalog import Catalog
from streamflow.definition.model import Wait
from streamflow.definition.plan import Compiled, WaitPlan
from streamflow.definition.read_schemas import ReadSchemas
from streamflow.definition.steps.kind import (
    StepForm,
    clause,
    event_name,
    event_title,
    exactly_one_limit,
    length,
    milliseconds,
    not_reserved,
    unique,
)
from streamflow.errors import Problem


def _compile(part: Wait, catalog: Catalog, schemas: ReadSchemas) -> WaitPlan:
    return WaitPlan(
        clauses=tuple(clause(event, schemas) for event in part.events),
        within_ms=milliseconds(part.within),
        keep_ms=milliseconds(part.keep),
        since=part.since or "run",
        take=part.take or "one",
    )


def _check(part: Wait, at: str) -> Iterator[Problem]:
    ids = [event.id for event in part.events]
    yield from unique(ids, at + "/events", "id", "event of this wait")
    yield from not_reserved(ids, at + "/events")
    yield from exactly_one_limit(part, at)
    for index, event in enumerate(part.events):
        if event.key is not None:
            where = f"{at}/events/{index}/key"
            fix = "Remove `key`; an event is matched to its run by the key that the catalog declares for it."
            yield Problem("SF224", where, "a run can only wait for events under its own key.", fix)
    yield from length(part.within, f"{at}/within")
    yield from length(part.keep, f"{at}/keep", allow_zero=True)


def _expressions(work: WaitPlan) -> Iterable[Compiled | None]:
    return [expression for one in work.clauses for expression in (one.where, one.key)]


def _limit(part: Wait) -> str:
    return f"at most {part.within}" if part.within is not None else "without limit"


def _label(part: Wait, catalog: Catalog | None) -> list[str]:
    events = " or ".join(event_title(event.event, catalog) for event in part.events)
    return [f"wait for {events}", _limit(part)]


def _sentence(part: Wait, catalog: Catalog) -> str:
    events = " or ".join(f"{event.id}: {event_name(event.event, catalog)}" for event in part.events)
    return f"wait {_limit(part)} for {events}"


WAIT = StepForm(
    name="wait",
    plan=WaitPlan,
    compile=_compile,
    check=_check,
    expressions=_expressions,
    describe=lambda work: "wait",
    outcomes=lambda part: (*(event.id for event in part.events), *(("timeout",) if part.within is not None else ())),
    shape=("{{", "}}"),
    label=_label,
    sentence=_sentence,
)
