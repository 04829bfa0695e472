"""`set`: values, computed once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streamflow.definition.plan import SetPlan, StepPlan
from streamflow.engine.evaluation import EvaluationContext
from streamflow.engine.steps.kind import FactRule, StepKind, done, ended, short
from streamflow.engine.transitions import ValuesSet

if TYPE_CHECKING:
    from streamflow.engine.builder import RunBuilder


def begin(run: RunBuilder, step: StepPlan, work: SetPlan) -> None:
    run.record(ValuesSet(values=EvaluationContext(run).values(work.values, "set")), step.id)


SET = StepKind(
    name="set",
    plan=SetPlan,
    begin=begin,
    facts={
        ValuesSet: FactRule(
            words=lambda data, time: f"set {short(data.values)}",
            step=done,
            output=lambda data: data.values,
            outcome=ended("done"),
        )
    },
)
