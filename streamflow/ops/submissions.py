"""A definition that somebody hands in as text or data, with a catalog or for the published events: read and checked."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal, TypeVar

from streamflow.definition.catalog import Catalog
from streamflow.definition.check import check
from streamflow.definition.lines import Lines
from streamflow.definition.model import Definition
from streamflow.definition.syntax import parse_catalog, parse_definition
from streamflow.errors import DefinitionError, Problem
from streamflow.kafka.topics import is_own
from streamflow.ops.catalog import CatalogResolver
from streamflow.ops.contradictions import against_published
from streamflow.settings import Settings

T = TypeVar("T")
Part = Literal["definition", "catalog", "scenarios"]


@dataclass(frozen=True, slots=True)
class PartProblem:
    """What is wrong with one part of what was handed in."""

    part: Part
    problem: Problem

    def facts(self) -> dict[str, Any]:
        """The problem as JSON data; `line` and `column` (from 1) where the part was a text."""
        found = self.problem
        return {
            "part": self.part,
            "code": found.code,
            "pointer": found.pointer,
            "severity": found.severity,
            "message": found.message,
            "fix": found.fix,
            "line": found.line,
            "column": found.column,
        }


@dataclass(frozen=True, slots=True)
class Submission:
    """What was handed in. `definition` and `catalog` are None when they cannot be read."""

    definition: Definition | None
    catalog: Catalog | None
    problems: tuple[PartProblem, ...]

    @property
    def ok(self) -> bool:
        """Whether it can run; there may be warnings."""
        whole = self.definition is not None and self.catalog is not None
        return whole and all(one.problem.severity != "error" for one in self.problems)

    def usable(self) -> tuple[Definition, Catalog]:
        """The definition and its catalog. Raises DefinitionError (`definition_invalid`) with every problem unless it
        can run."""
        if not self.ok or self.definition is None or self.catalog is None:
            raise refused(self.problems)
        return self.definition, self.catalog


def refused(problems: tuple[PartProblem, ...], code: str = "definition_invalid") -> DefinitionError:
    """The error with this `code` that what was handed in cannot be used."""
    errors = [one for one in problems if one.problem.severity == "error"]
    first = errors[0].problem
    text = f"Errors in the {errors[0].part}: {len(errors)}. The first is at {first.pointer or '/'}: {first.message}"
    return DefinitionError([one.problem for one in problems], code=code, message=f"{text} {first.fix}".rstrip())


def submitted(
    settings: Settings,
    definition: Any,
    catalog: Any,
    around: CatalogResolver,
    *,
    contradictions: bool,
    change: bool = False,
) -> Submission:
    """`definition` and `catalog` read and checked. Both are YAML or JSON texts, or data; without a catalog the events
    are the published ones. `around` has what the definition may name. With `contradictions` its events are compared
    with those that other definitions have; `change` says that they may mean something else. Raises OperationError."""
    problems: list[PartProblem] = []
    made = read_part("definition", definition, parse_definition, problems)
    events = around.events() if catalog is None else read_part("catalog", catalog, parse_catalog, problems)
    if made is not None and events is not None:
        events = around.complete(made, events)
        problems += placed("definition", definition, check(made, events, partial(is_own, settings)))
        if contradictions:
            problems += placed("catalog", catalog, against_published(made, events, around.log, change=change))
    return Submission(made, events, tuple(problems))


def read_part(part: Part, given: Any, parse: Callable[[str], T], problems: list[PartProblem]) -> T | None:
    """What `parse` makes of `given`, a text or data; None, and what is wrong added to `problems`, when it cannot be
    used."""
    try:
        return parse(given if isinstance(given, str) else json.dumps(given))
    except DefinitionError as error:
        problems += placed(part, given, error.problems)
        return None


def placed(part: Part, given: Any, problems: tuple[Problem, ...] | list[Problem]) -> list[PartProblem]:
    """`problems` of a part, with their lines and columns if it was a text."""
    if not isinstance(given, str) or not problems:
        return [PartProblem(part, problem) for problem in problems]
    lines = Lines(given)
    found = []
    for problem in problems:
        line, column = lines.of(problem.pointer)
        found.append(PartProblem(part, replace(problem, line=line or None, column=column or None)))
    return found
