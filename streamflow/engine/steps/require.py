"""`require`: continues if a condition holds, and is parked if it does not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streamflow.definition.plan import RequirePlan, StepPlan
from streamflow.engine.evaluation import EvaluationContext, ParkStep
from streamflow.engine.steps.kind import FactRule, StepKind, done, ended
from streamflow.engine.transitions import RequirementMet

if TYPE_CHECKING:
    from streamflow.engine.builder import RunBuilder


def begin(run: RunBuilder, step: StepPlan, work: RequirePlan) -> None:
    if not EvaluationContext(run).evaluate(work.that.holds, work.that, "require/that"):
        raise ParkStep("requirement_not_met", "require/that")
    run.record(RequirementMet(), step.id)


REQUIRE = StepKind(
    name="require",
    plan=RequirePlan,
    begin=begin,
    facts={
        RequirementMet: FactRule(
            words=lambda data, time: "requirement met",
            step=done,
            output=lambda data: {"met": True},
            outcome=ended("done"),
        )
    },
)
