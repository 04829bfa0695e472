"""`wait`: for the first of several events, or until its time is over."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from streamflow.definition.plan import ClausePlan, ExpressionError, StepPlan, WaitPlan
from streamflow.engine.outcome import Refused
from streamflow.engine.state import KeptEvent, RunState, StepState
from streamflow.engine.steps.kind import FactRule, FiredTimer, FormatTime, StepKind, ended, short, timed_out
from streamflow.engine.timing import behind
from streamflow.engine.transitions import EventKept, Transition, WaitSatisfied, WaitStarted, WaitTimedOut

if TYPE_CHECKING:
    from streamflow.engine.builder import RunBuilder
    from streamflow.engine.commands import Event


def begin(run: RunBuilder, step: StepPlan, work: WaitPlan) -> None:
    now = run.builder.now_ms
    due = None if work.within_ms is None else now + work.within_ms
    events = tuple(sorted({clause.event for clause in work.clauses}))
    run.record(WaitStarted(events=events, due_ms=due), step.id)
    for kept in run.head.kept:
        clause = claim(run, work, kept.event, due)
        if isinstance(clause, ClausePlan):
            run.record(WaitSatisfied(outcome=clause.id, event=kept.event), step.id)
            return


def claim(run: RunBuilder, work: WaitPlan, event: Event, due_ms: int | None) -> ClausePlan | str | None:
    """The clause of a begun wait that `event` meets; `late`, or the code of an expression that failed; None if it meets
    none."""
    failed: str | None = None
    for clause in work.clauses:
        if clause.event != event.name:
            continue
        if due_ms is not None and event.limit_time_ms > due_ms:
            return "late"
        if clause.where is None:
            return clause
        try:
            if clause.where.holds(run.variables(clause.where, event.data)):
                return clause
        except ExpressionError as error:
            failed = error.code
    return failed


def expire(run: RunBuilder, step: StepPlan, timer: FiredTimer) -> None:
    assert isinstance(step.work, WaitPlan)
    if behind(timer.own, step.work, timer.due_ms):
        raise Refused("rejected", "behind")
    run.record(WaitTimedOut(due_ms=timer.due_ms), step.id)


# -- facts


def _started(before: StepState | None, transition: Transition) -> StepState:
    return StepState(status="waiting", due_ms=transition.data.due_ms)


def _satisfied(before: StepState | None, transition: Transition) -> StepState:
    return StepState(status="done", outcome=transition.data.outcome)


def _consume(state: RunState, transition: Transition) -> dict[str, Any]:
    event = transition.data.event.id
    if event in state.seen:  # it was kept
        return {"kept": tuple(k for k in state.kept if k.event.id != event)}
    return {"seen": (*state.seen, event)}


def _keep(state: RunState, transition: Transition) -> dict[str, Any]:
    seen, kept = still_kept(state, transition.at_ms)
    data = transition.data
    return {"seen": (*seen, data.event.id), "kept": (*kept, KeptEvent(event=data.event, until_ms=data.until_ms))}


def _forget_late(state: RunState, transition: Transition) -> dict[str, Any]:
    seen, kept = still_kept(state, transition.at_ms)
    return {"seen": seen, "kept": kept}


def still_kept(state: RunState, at_ms: int) -> tuple[tuple[str, ...], tuple[KeptEvent, ...]]:
    """`seen` and `kept` without the events whose time is over; nobody consumed those, so they need not be known
    again."""
    gone = {k.event.id for k in state.kept if not k.lasts(at_ms)}
    if not gone:
        return state.seen, state.kept
    return tuple(id_ for id_ in state.seen if id_ not in gone), tuple(k for k in state.kept if k.event.id not in gone)


def _output(data: WaitSatisfied) -> dict[str, Any]:
    event = data.event
    return {"event": event.name, "id": event.id, "time_ms": event.time_ms, "data": event.data}


def _started_words(data: WaitStarted, time: FormatTime) -> str:
    limit = "without limit" if data.due_ms is None else f"until {time(data.due_ms)}"
    return f"waits for {' or '.join(data.events)}, {limit}"


def _kept_words(data: EventKept, time: FormatTime) -> str:
    until = "as long as the run is open" if data.until_ms is None else f"until {time(data.until_ms)}"
    return f"{data.event.name} came ahead of its wait, kept {until}"


WAIT = StepKind(
    name="wait",
    plan=WaitPlan,
    begin=begin,
    expire=expire,
    statuses=("waiting",),
    facts={
        WaitStarted: FactRule(words=_started_words, step=_started, run=_forget_late),
        WaitSatisfied: FactRule(
            words=lambda data, time: f"{data.outcome}: {data.event.name} {short(data.event.data)}",
            step=_satisfied,
            run=_consume,
            output=_output,
            outcome=lambda data: data.outcome,
        ),
        WaitTimedOut: FactRule(
            words=lambda data, time: f"timeout: no event came before {time(data.due_ms)}",
            step=timed_out,
            outcome=ended("timeout"),
        ),
        EventKept: FactRule(words=_kept_words, run=_keep),
    },
)
