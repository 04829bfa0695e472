"""`choose`: the first branch whose condition holds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streamflow.definition.plan import ChoosePlan, StepPlan
from streamflow.engine.evaluation import EvaluationContext
from streamflow.engine.state import StepState
from streamflow.engine.steps.kind import FactRule, StepKind
from streamflow.engine.transitions import BranchChosen, Transition

if TYPE_CHECKING:
    from streamflow.engine.builder import RunBuilder


def begin(run: RunBuilder, step: StepPlan, work: ChoosePlan) -> None:
    place = EvaluationContext(run)
    for branch in work.branches:
        condition = branch.condition
        if condition is None or place.evaluate(condition.holds, condition, f"choose/{branch.id}"):
            run.record(BranchChosen(branch=branch.id), step.id)
            return
    run.record(BranchChosen(branch=None), step.id)


def _chosen(before: StepState | None, transition: Transition) -> StepState:
    return StepState(status="done", outcome=transition.data.branch or "none")


CHOOSE = StepKind(
    name="choose",
    plan=ChoosePlan,
    begin=begin,
    facts={
        BranchChosen: FactRule(
            words=lambda data, time: f"chose {data.branch}" if data.branch else "no branch fits",
            step=_chosen,
            output=lambda data: {"branch": data.branch},
            outcome=lambda data: data.branch or "",
        )
    },
)
