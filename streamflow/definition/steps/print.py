"""`print`: a line for the worker's log."""

from __future__ import annotations

from streamflow.definition.plan import PrintPlan
from streamflow.definition.steps.kind import StepForm, nameless, no_problems

PRINT = StepForm(
    name="print",
    plan=PrintPlan,
    compile=lambda part, catalog, schemas: PrintPlan(schemas.compile(part.text)),
    check=no_problems,
    expressions=lambda work: [work.text],
    describe=lambda work: "print",
    outcomes=nameless,
    shape=(">", "]"),
    label=lambda part, catalog: [f"print {part.text}"],
    sentence=lambda part, catalog: f"print {part.text}",
)
