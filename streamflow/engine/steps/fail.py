"""`fail`: ends the run as failed, after what is to be undone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streamflow.definition.plan import FailPlan, StepPlan
from streamflow.engine.evaluation import Place
from streamflow.engine.steps.kind import StepKind
from streamflow.engine.stopping import stop

if TYPE_CHECKING:
    from streamflow.engine.draft import RunDraft


def begin(run: RunDraft, step: StepPlan, work: FailPlan) -> None:
    stop(run, "failed", Place(run).text(work.reason, "fail/reason"), step.id)


# its facts are the run's: RunStopping, RunFailed
FAIL = StepKind(name="fail", plan=FailPlan, begin=begin)
