"""`delay`: for a length of time, or until a point in time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streamflow.definition.plan import DelayPlan, StepPlan
from streamflow.engine.evaluation import EvaluationContext
from streamflow.engine.state import StepState
from streamflow.engine.steps.kind import FactRule, FiredTimer, StepKind, done, ended
from streamflow.engine.transitions import DelayElapsed, DelayStarted, Transition

if TYPE_CHECKING:
    from streamflow.engine.builder import RunBuilder


def begin(run: RunBuilder, step: StepPlan, work: DelayPlan) -> None:
    if work.for_ms is not None:
        until = run.builder.now_ms + work.for_ms
    else:
        assert work.until is not None
        until = EvaluationContext(run).evaluate(work.until.instant_ms, work.until, "delay/until")
    run.record(DelayStarted(until_ms=until), step.id)
    if until <= run.builder.now_ms:
        run.record(DelayElapsed(until_ms=until), step.id)


def expire(run: RunBuilder, step: StepPlan, timer: FiredTimer) -> None:
    run.record(DelayElapsed(until_ms=timer.due_ms), step.id)


def _started(before: StepState | None, transition: Transition) -> StepState:
    return StepState(status="delayed", due_ms=transition.data.until_ms)


DELAY = StepKind(
    name="delay",
    plan=DelayPlan,
    begin=begin,
    expire=expire,
    statuses=("delayed",),
    facts={
        DelayStarted: FactRule(words=lambda data, time: f"delayed until {time(data.until_ms)}", step=_started),
        DelayElapsed: FactRule(
            words=lambda data, time: "delay over",
            step=done,
            output=lambda data: {"until_ms": data.until_ms},
            outcome=ended("done"),
        ),
    },
)
