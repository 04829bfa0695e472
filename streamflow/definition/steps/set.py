"""`set`: values, computed once."""

from __future__ import annotations

from streamflow.definition.plan import SetPlan
from streamflow.definition.steps.kind import StepForm, nameless, unique, values

SET = StepForm(
    name="set",
    plan=SetPlan,
    compile=lambda part, catalog, schemas: SetPlan(values(part, schemas)),
    check=lambda part, at: unique([value.name for value in part], at, "name", "value"),
    expressions=lambda work: [expression for _, expression in work.values],
    describe=lambda work: "set",
    outcomes=nameless,
    shape=("[", "]"),
    label=lambda part, catalog: ["set " + ", ".join(value.name for value in part)],
    sentence=lambda part, catalog: "set " + ", ".join(f"{value.name} = {value.expr}" for value in part),
)
