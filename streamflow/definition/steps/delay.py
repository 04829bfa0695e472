"""`delay`: for a length of time, or until a point in time."""

from __future__ import annotations

from collections.abc import Iterator

from streamflow.definition.catalog import Catalog
from streamflow.definition.model import Delay
from streamflow.definition.plan import DelayPlan
from streamflow.definition.read_schemas import ReadSchemas
from streamflow.definition.steps.kind import StepForm, length, milliseconds, nameless, optional
from streamflow.errors import Problem


def _compile(part: Delay, catalog: Catalog, schemas: ReadSchemas) -> DelayPlan:
    return DelayPlan(milliseconds(part.duration), optional(part.until, schemas))


def _check(part: Delay, at: str) -> Iterator[Problem]:
    if (part.duration is None) == (part.until is None):
        found = "neither" if part.until is None else "both"
        fix = "Write for: 2h, or until: with a point in time."
        yield Problem("SF216", at, f"expected either `for` or `until` but found {found}.", fix)
    yield from length(part.duration, at + "/for")


def _label(part: Delay, catalog: Catalog | None) -> list[str]:
    return [f"after {part.duration}" if part.duration is not None else f"until {part.until}"]


def _sentence(part: Delay, catalog: Catalog) -> str:
    return f"go on after {part.duration}" if part.duration is not None else f"go on at {part.until}"


DELAY = StepForm(
    name="delay",
    plan=DelayPlan,
    compile=_compile,
    check=_check,
    expressions=lambda work: [work.until],
    describe=lambda work: "delay",
    outcomes=nameless,
    shape=("([", "])"),
    label=_label,
    sentence=_sentence,
)
