"""What definitions, checks, plans, diagrams and outlines need to know of a kind of step."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from streamflow.definition.catalog import Catalog
from streamflow.definition.duration import parse_ms
from streamflow.definition.model import Approval, Mapping, Trigger, Wait, WaitEvent
from streamflow.definition.plan import OUTCOME_WORDS, ClausePlan, Compiled
from streamflow.definition.read_schemas import ReadSchemas
from streamflow.errors import Problem

# ten years: what is longer is a mistake, and timers stay far from the largest integer
LONGEST_MS = 10 * 365 * 86_400_000


@dataclass(frozen=True, slots=True, kw_only=True)
class StepForm:
    """One kind of step. `part` is what the author wrote under `name`, `work` what it is compiled to."""

    name: str
    """Its field in a step."""

    plan: type
    """The class of its work in a plan."""

    compile: Callable[[Any, Catalog, ReadSchemas], Any]
    """(part, catalog, schemas) -> work. `schemas` are those of what its expressions read. Raises Unresolved if the
    catalog lacks what the part names."""

    check: Callable[[Any, str], Iterator[Problem]]
    """(part, JSON pointer) -> what is wrong with it, apart from its expressions and what the catalog says."""

    expressions: Callable[[Any], Iterable[Compiled | None]]
    """Every expression of the work."""

    describe: Callable[[Any], str]
    """The work in a few words, for reviewers of a plan."""

    outcomes: Callable[[Any], tuple[str, ...]]
    """(part) -> the outcomes that a need may name; empty: the step has only one end."""

    shape: tuple[str, str]
    """How a diagram draws it: Mermaid's brackets around a node's text."""

    label: Callable[[Any, Catalog | None], list[str]]
    """(part, catalog) -> the lines of its node in a diagram."""

    sentence: Callable[[Any, Catalog], str]
    """(part, catalog) -> what it does, for an outline."""

    outside: bool = False
    """Whether its work is done outside: it may fail, be done for each item of a list, and be undone."""


class Unresolved(Exception):
    """The catalog lacks an event, operation or definition that a step names. Checked definitions have none."""


# -- compiling


def optional(source: str | None, schemas: ReadSchemas) -> Compiled | None:
    """The compiled expression, if there is one."""
    return schemas.compile(source) if source is not None else None


def values(mappings: list[Mapping], schemas: ReadSchemas) -> tuple[tuple[str, Compiled], ...]:
    """Named values, compiled."""
    return tuple((mapping.name, schemas.compile(mapping.expr)) for mapping in mappings)


def clause(part: Trigger | WaitEvent, schemas: ReadSchemas) -> ClausePlan:
    """One event of a wait, or a trigger, compiled."""
    schemas = schemas.with_event(part.event)
    return ClausePlan(
        id=part.id, event=part.event, where=optional(part.where, schemas), key=optional(part.key, schemas)
    )


def milliseconds(text: str | None) -> int | None:
    """A length of time, if there is one."""
    return parse_ms(text) if text is not None else None


# -- describing


def nameless(part: Any) -> tuple[str, ...]:
    """The outcomes of a kind with one end only."""
    return ()


def outside_outcomes(part: Any) -> tuple[str, ...]:
    """The outcomes of work that is done outside."""
    return ("failure", "timeout")


def limit_of(within: str | None) -> list[str]:
    """The line of a diagram for a limit that may be missing."""
    return [f"at most {within}"] if within is not None else []


def event_title(name: str, catalog: Catalog | None) -> str:
    """An event as a diagram names it: by its title."""
    spec = catalog.event(name) if catalog is not None else None
    return spec.title or name if spec is not None else name


def event_name(name: str, catalog: Catalog) -> str:
    """An event as an outline names it: by title and name."""
    spec = catalog.event(name)
    return f"{spec.title} ({name})" if spec is not None and spec.title else name


# -- checking


def no_problems(part: Any, at: str) -> Iterator[Problem]:
    """Nothing can be wrong with it."""
    return iter(())


def exactly_one_limit(limited: Wait | Approval, at: str) -> Iterator[Problem]:
    """`within` or `forever: true`, one of them."""
    if (limited.within is None) == (not limited.forever):
        found = "both" if limited.forever else "neither"
        fix = "Say how long to wait, such as within: 24h, and keep one of the two."
        yield Problem("SF215", at, f"expected either `within` or `forever: true` but found {found}.", fix)


def not_beyond(text: str | None, limit: str | None, at: str, field: str) -> Iterator[Problem]:
    """A length of time that is not longer than the limit around it."""
    if text is not None and limit is not None and parse_ms(text) > parse_ms(limit):
        message = f"{text} is longer than `{field}`, which is {limit}, so it never takes effect."
        yield Problem("SF233", at, message, f"Write less, or a longer `{field}`.")


def length(text: str | None, at: str, allow_zero: bool = False) -> Iterator[Problem]:
    """A length of time that timers can keep."""
    if text is None:
        return
    ms = parse_ms(text)
    if ms > LONGEST_MS or (ms == 0 and not allow_zero):
        message = f"expected a length of time up to ten years, and not zero, but found {text}."
        yield Problem("SF232", at, message, "Write one such as 30s, 24h or 7d.")


def unique(names: list[str], at: str, field: str, what: str) -> Iterator[Problem]:
    """Names of which none is written twice."""
    for index, name in enumerate(names):
        if name in names[:index]:
            message = f"another {what} is already called `{name}`."
            yield Problem("SF223", f"{at}/{index}/{field}", message, "Give each its own name.")


def not_reserved(names: list[str], at: str) -> Iterator[Problem]:
    """Ids that are outcomes, and have no other meaning as one."""
    for index, name in enumerate(names):
        if name in OUTCOME_WORDS:
            message = f"`{name}` has a meaning of its own as an outcome."
            yield Problem("SF219", f"{at}/{index}/id", message, "Choose another id.")
