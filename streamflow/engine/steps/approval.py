"""`approval`: a decision by people, or until its time is over."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streamflow.definition.plan import ApprovalPlan, StepPlan
from streamflow.engine.evaluation import TEXT_CHARS, EvaluationContext
from streamflow.engine.state import StepState
from streamflow.engine.steps.kind import FactRule, FiredTimer, FormatTime, StepKind, ended, short, timed_out
from streamflow.engine.transitions import ApprovalExpired, ApprovalGiven, ApprovalRequested, Transition

if TYPE_CHECKING:
    from streamflow.engine.builder import RunBuilder


def begin(run: RunBuilder, step: StepPlan, work: ApprovalPlan) -> None:
    text = EvaluationContext(run).text(work.text, "approval/text")[:TEXT_CHARS]
    due = None if work.within_ms is None else run.builder.now_ms + work.within_ms
    run.record(ApprovalRequested(text=text, who=work.who, form=work.form, due_ms=due), step.id)


def expire(run: RunBuilder, step: StepPlan, timer: FiredTimer) -> None:
    run.record(ApprovalExpired(due_ms=timer.due_ms), step.id)


def _requested(before: StepState | None, transition: Transition) -> StepState:
    return StepState(status="awaiting_approval", due_ms=transition.data.due_ms)


def _given(before: StepState | None, transition: Transition) -> StepState:
    return StepState(status="done", outcome=transition.data.decision)


def _requested_words(data: ApprovalRequested, time: FormatTime) -> str:
    limit = "without limit" if data.due_ms is None else f"until {time(data.due_ms)}"
    return f"asks {' or '.join(data.who)}, {limit}: {data.text}"


def _given_words(data: ApprovalGiven, time: FormatTime) -> str:
    return f"{data.decision} by {data.by}" + (f": {short(data.data)}" if data.data is not None else "")


APPROVAL = StepKind(
    name="approval",
    plan=ApprovalPlan,
    begin=begin,
    expire=expire,
    statuses=("awaiting_approval",),
    facts={
        ApprovalRequested: FactRule(words=_requested_words, step=_requested),
        ApprovalGiven: FactRule(
            words=_given_words,
            step=_given,
            output=lambda data: {"decision": data.decision, "by": data.by, "data": data.data},
            outcome=lambda data: data.decision,
        ),
        ApprovalExpired: FactRule(
            words=lambda data, time: f"timeout: no decision before {time(data.due_ms)}",
            step=timed_out,
            outcome=ended("timeout"),
        ),
    },
)
