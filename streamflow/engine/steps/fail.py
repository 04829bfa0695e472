"""`fail`: ends the run as failed, after what is to be undone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streamflow.definition.plan import FailPlan, StepPlan
from streamflow.engine.compensation import stop
from streamflow.engine.evaluation import EvaluationContext
from streamflow.engine.steps.kind import StepKind

if TYPE_CHECKING:
    from streamflow.engine.builder import RunBuilder


def begin(run: RunBuilder, step: StepPlan, work: FailPlan) -> None:
    stop(run, "failed", EvaluationContext(run).text(work.reason, "fail/reason"), step.id)


# its facts are the run's: RunStopping, RunFailed
FAIL = StepKind(name="fail", plan=FailPlan, begin=begin)
