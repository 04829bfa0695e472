"""`require`: a condition that must hold for the run to continue."""

from __future__ import annotations

from streamflow.definition.plan import RequirePlan
from streamflow.definition.steps.kind import StepForm, nameless, no_problems

REQUIRE = StepForm(
    name="require",
    plan=RequirePlan,
    compile=lambda part, catalog, schemas: RequirePlan(schemas.compile(part.that)),
    check=no_problems,
    expressions=lambda work: [work.that],
    describe=lambda work: "require",
    outcomes=nameless,
    shape=("{{", "}}"),
    label=lambda part, catalog: [f"require {part.that}"],
    sentence=lambda part, catalog: f"require {part.that}",
)
