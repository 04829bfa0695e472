"""`emit`: an event of the catalog."""

from __future__ import annotations

from streamflow.definition.catalog import Catalog
from streamflow.definition.model import Emit
from streamflow.definition.plan import EmitPlan
from streamflow.definition.read_schemas import ReadSchemas
from streamflow.definition.steps.kind import (
    StepForm,
    Unresolved,
    event_name,
    event_title,
    nameless,
    optional,
    unique,
    values,
)
from streamflow.definition.validation import validator


def _compile(part: Emit, catalog: Catalog, schemas: ReadSchemas) -> EmitPlan:
    event = catalog.event(part.event)
    if event is None:
        raise Unresolved(f"the event {part.event}")
    return EmitPlan(
        event=event.name,
        data=values(part.data, schemas),
        key=optional(part.key, schemas),
        validator=validator(event.schema_),
    )


EMIT = StepForm(
    name="emit",
    plan=EmitPlan,
    compile=_compile,
    check=lambda part, at: unique([value.name for value in part.data], at + "/data", "name", "field"),
    expressions=lambda work: [work.key, *(expression for _, expression in work.data)],
    describe=lambda work: "emit",
    outcomes=nameless,
    shape=("[/", "/]"),
    label=lambda part, catalog: ["emit " + event_title(part.event, catalog)],
    sentence=lambda part, catalog: f"emit {event_name(part.event, catalog)}",
)
