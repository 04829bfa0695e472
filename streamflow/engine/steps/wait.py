"""`wait`: for the first of several events, or until its time is over."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from streamflow.definition.plan import StepPlan, WaitPlan
from streamflow.engine.outcome import Refused
from streamflow.engine.state import StepState
from streamflow.engine.steps.kind import FactRule, FiredTimer, FormatTime, StepKind, ended, short, timed_out
from streamflow.engine.transitions import Transition, WaitSatisfied, WaitStarted, WaitTimedOut
from streamflow.engine.watermarks import held_by

if TYPE_CHECKING:
    from streamflow.engine.builder import RunBuilder


def begin(run: RunBuilder, step: StepPlan, work: WaitPlan) -> None:
    builder, head = run.builder, run.head
    fact = WaitStarted(
        events=tuple(sorted({clause.event for clause in work.clauses})),
        due_ms=None if work.within_ms is None else builder.now_ms + work.within_ms,
        since_offset=builder.offset if work.since == "here" else None,
    )
    run.record(fact, step.id)
    builder.mailbox(head.definition, head.key).claim_for(run, step)


def expire(run: RunBuilder, step: StepPlan, timer: FiredTimer) -> None:
    assert isinstance(step.work, WaitPlan)
    events = {clause.event for clause in step.work.clauses}
    if held_by(timer.own.watermarks, events, timer.due_ms) is not None:  # ingress may have one that came before
        raise Refused("rejected", "behind")
    run.record(WaitTimedOut(due_ms=timer.due_ms), step.id)


# -- facts


def _started(before: StepState | None, transition: Transition) -> StepState:
    data = transition.data
    return StepState(
        status="waiting",
        due_ms=data.due_ms,
        first_attempt_ms=0 if data.since_offset is None else transition.at_ms,
        since_offset=data.since_offset,
    )


def _satisfied(before: StepState | None, transition: Transition) -> StepState:
    return StepState(status="done", outcome=transition.data.outcome)


def _output(data: WaitSatisfied) -> dict[str, Any]:
    event = data.event
    return {
        "event": event.name,
        "source": event.source,
        "id": event.id,
        "time_ms": event.time_ms,
        "data": event.data,
    }


def _started_words(data: WaitStarted, time: FormatTime) -> str:
    limit = "without limit" if data.due_ms is None else f"until {time(data.due_ms)}"
    return f"waits for {' or '.join(data.events)}, {limit}"


def _satisfied_words(data: WaitSatisfied, time: FormatTime) -> str:
    took = "a copy of " if data.is_copy else ""
    return f"{data.outcome}: {took}{data.event.name} {short(data.event.data)}"


WAIT = StepKind(
    name="wait",
    plan=WaitPlan,
    begin=begin,
    expire=expire,
    statuses=("waiting",),
    facts={
        WaitStarted: FactRule(words=_started_words, step=_started),
        WaitSatisfied: FactRule(
            words=_satisfied_words,
            step=_satisfied,
            output=_output,
            outcome=lambda data: data.outcome,
        ),
        WaitTimedOut: FactRule(
            words=lambda data, time: f"timeout: no event came before {time(data.due_ms)}",
            step=timed_out,
            outcome=ended("timeout"),
        ),
    },
)
