"""`run`: a run of another definition."""

from __future__ import annotations

from collections.abc import Iterator

from streamflow.definition.catalog import Catalog
from streamflow.definition.duration import format_ms
from streamflow.definition.model import ChildRun
from streamflow.definition.plan import ChildPlan
from streamflow.definition.read_schemas import ReadSchemas
from streamflow.definition.steps.kind import (
    StepForm,
    Unresolved,
    length,
    limit_of,
    milliseconds,
    optional,
    outside_outcomes,
    unique,
    values,
)
from streamflow.definition.validation import validator
from streamflow.errors import Problem


def _compile(part: ChildRun, catalog: Catalog, schemas: ReadSchemas) -> ChildPlan:
    spec = catalog.definition(part.definition, part.version)
    if spec is None:
        raise Unresolved(f"the definition {part.definition}@{part.version}")
    return ChildPlan(
        definition=spec.name,
        version=spec.version,
        sha=spec.sha,
        key=optional(part.key, schemas),
        values=values(part.with_, schemas),
        within_ms=milliseconds(part.within),
        validator=validator(spec.input),
    )


def _check(part: ChildRun, at: str) -> Iterator[Problem]:
    yield from unique([value.name for value in part.with_], at + "/with", "name", "value")
    yield from length(part.within, at + "/within")


def _describe(work: ChildPlan) -> str:
    limit = f", within {format_ms(work.within_ms)}" if work.within_ms is not None else ""
    return f"run {work.definition}@{work.version}{limit}"


def _label(part: ChildRun, catalog: Catalog | None) -> list[str]:
    return [f"run {part.definition}@{part.version}", *limit_of(part.within)]


CHILD = StepForm(
    name="run",
    plan=ChildPlan,
    compile=_compile,
    check=_check,
    expressions=lambda work: [work.key, *(expression for _, expression in work.values)],
    describe=_describe,
    outcomes=outside_outcomes,
    shape=("[[", "]]"),
    label=_label,
    sentence=lambda part, catalog: ", ".join(_label(part, catalog)),
    outside=True,
)
