"""Everything that can be wrong with a definition of the right shape, found in one go: references, graph, expressions,
limits."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from streamflow.definition.catalog import Catalog
from streamflow.definition.codes import CODES
from streamflow.definition.content import canonical
from streamflow.definition.delivery_check import delivery_problems
from streamflow.definition.expression_check import ExpressionCheck
from streamflow.definition.feedback_check import feedback_problems
from streamflow.definition.graph import Graph
from streamflow.definition.graph_check import graph_problems
from streamflow.definition.model import Definition
from streamflow.definition.reference_check import reference_problems
from streamflow.errors import DefinitionError, Problem

__all__ = ["CODES", "CONTENT_BYTES", "STEPS", "check", "require"]

STEPS = 200
CONTENT_BYTES = 400_000  # a record of `definitions` and a command's content stay far below a broker's usual megabyte


def never(_topic: str) -> bool:
    """No topic is reserved: for checks where there is no installation whose topics could be named."""
    return False


def check(definition: Definition, catalog: Catalog, is_own: Callable[[str], bool] = never) -> tuple[Problem, ...]:
    """All problems of `definition` against `catalog`, errors and warnings, in the order of the text; empty if there are
    none. `is_own` says of a topic whether it is one of Streamflow's own, which no definition may use."""
    too_large = list(_limits(definition, catalog))
    if too_large:
        return tuple(too_large)
    graph = Graph(definition)
    problems = [
        *reference_problems(definition, catalog, is_own),
        *delivery_problems(definition, catalog, graph),
        *graph_problems(definition, graph),
        *feedback_problems(definition, catalog),
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
            "Split the process in two; one may start the other.",
        )
    size = len(canonical(definition, catalog))
    if size > CONTENT_BYTES:
        message = (
            f"expected at most {CONTENT_BYTES // 1000} kB with the schemas of its events and operations but "
            f"found {size // 1000} kB."
        )
        yield Problem("SF231", "", message, "Shorten the schemas, or split the process in two.")
