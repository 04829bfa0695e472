"""`fail`: ends the run as failed."""

from __future__ import annotations

from streamflow.definition.plan import FailPlan
from streamflow.definition.steps.kind import StepForm, nameless, no_problems

FAIL = StepForm(
    name="fail",
    plan=FailPlan,
    compile=lambda part, catalog, schemas: FailPlan(schemas.compile(part.reason)),
    check=no_problems,
    expressions=lambda work: [work.reason],
    describe=lambda work: "fail",
    outcomes=nameless,
    shape=("((", "))"),
    label=lambda part, catalog: [f"fail: {part.reason}"],
    sentence=lambda part, catalog: f"fail: {part.reason}",
)
