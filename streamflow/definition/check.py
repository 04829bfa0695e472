"""Everything that can be wrong with a definition of the right shape, found in one go: references, graph, expressions, limits."""

from __future__ import annotations

from collections.abc import Iterator

from streamflow.definition.catalog import Catalog
from streamflow.definition.codes import CODES
from streamflow.definition.content import canonical, event_names
from streamflow.definition.expression_check import ExpressionCheck
from streamflow.definition.graph import Graph
from streamflow.definition.graph_check import graph_problems
from streamflow.definition.model import Definition
from streamflow.definition.schema_types import schema_fault
from streamflow.definition.syntax import nearest
from streamflow.errors import DefinitionError, Problem

__all__ = ["CODES", "CONTENT_BYTES", "STEPS", "check", "require"]

STEPS = 200
CONTENT_BYTES = 400_000  # a record of `definitions` and a command's content stay far below a broker's usual megabyte


def check(definition: Definition, catalog: Catalog) -> tuple[Problem, ...]:
    """All problems of `definition` against `catalog`, errors and warnings, in the order of the text; empty if there are none."""
    too_large = list(_limits(definition, catalog))
    if too_large:
        return tuple(too_large)
    graph = Graph(definition)
    problems = [
        *_references(definition, catalog),
        *_early(definition, catalog),
        *graph_problems(definition, graph),
        *ExpressionCheck(definition, catalog, graph).run(),
    ]
    return tuple(sorted(dict.fromkeys(problems), key=_place))


def require(definition: Definition, catalog: Catalog) -> tuple[Problem, ...]:
    """The warnings about `definition`. Raises DefinitionError with all problems if one of them is an error."""
    problems = check(definition, catalog)
    if any(problem.severity == "error" for problem in problems):
        raise DefinitionError(problems, definition=definition.name, version=definition.version)
    return problems


def _place(problem: Problem) -> tuple[tuple[int, int, str], ...]:
    """Sorts pointers as a reader meets them: triggers before steps, items by number."""
    return tuple((0, int(part), "") if part.isdigit() else (1, 0, part) for part in problem.pointer.split("/"))


def _limits(definition: Definition, catalog: Catalog) -> Iterator[Problem]:
    if len(definition.steps) > STEPS:
        yield Problem(
            "SF230",
            "/steps",
            f"expected at most {STEPS} steps but found {len(definition.steps)}.",
            "Split the process in two; one may start the other with an event.",
        )
    size = len(canonical(definition, catalog))
    if size > CONTENT_BYTES:
        message = f"expected at most {CONTENT_BYTES // 1000} kB with the schemas of its events but found {size // 1000} kB."
        yield Problem("SF231", "", message, "Shorten the schemas of the events, or split the process in two.")


def _references(definition: Definition, catalog: Catalog) -> Iterator[Problem]:
    names = [spec.name for spec in catalog.events]
    named: list[tuple[str, str]] = [(trigger.event, f"/on/{index}/event") for index, trigger in enumerate(definition.on)]
    for index, step in enumerate(definition.steps):
        if step.wait is not None:
            named += [(clause.event, f"/steps/{index}/wait/events/{place}/event") for place, clause in enumerate(step.wait.events)]
        if step.emit is not None:
            named.append((step.emit.event, f"/steps/{index}/emit/event"))
    for name, at in named:
        if name not in names:
            near = nearest(name, names)
            known = ", ".join(sorted(names)[:10]) or "none yet"
            yield Problem("SF201", at, f"the event `{name}` is not in the catalog.", f"Did you mean `{near}`?" if near else f"The catalog has {known}.")
    for name in event_names(definition):
        at = next(place for other, place in named if other == name)
        if names.count(name) > 1:
            yield Problem("SF203", at, f"the catalog holds the event `{name}` twice.", "Remove one of the two from the catalog.")
        spec = catalog.event(name)
        reason = schema_fault(spec.schema_) if spec is not None else None
        if reason is not None:
            yield Problem("SF202", at, f"the schema of the event `{name}` is no JSON Schema: {reason}.", "Correct the catalog.")


def _early(definition: Definition, catalog: Catalog) -> Iterator[Problem]:
    """Waits for events that may be read before the event that starts their run: topics have no order among each other."""
    starting = {topic for trigger in definition.on if (spec := catalog.event(trigger.event)) for topic in spec.topics}
    kept = {clause.event for step in definition.steps if step.wait is not None and step.wait.keep is not None for clause in step.wait.events}
    for index, step in enumerate(definition.steps):
        for place, clause in enumerate(step.wait.events if step.wait is not None else ()):
            spec = catalog.event(clause.event)
            if spec is not None and clause.event not in kept and starting and not starting.intersection(spec.topics):
                yield Problem(
                    "SF225",
                    f"/steps/{index}/wait/events/{place}/event",
                    f"`{clause.event}` comes from another topic than what starts a run, so it may be read before its run has begun, and be lost.",
                    "Add `keep` to the wait, such as keep: 1h.",
                    "warning",
                )
