"""The problems of a draft, and those that are new after an edit."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from streamflow.authoring.addresses import address_of
from streamflow.authoring.draft import Draft
from streamflow.authoring.renaming import originals
from streamflow.definition.catalog import Catalog
from streamflow.definition.check import check, never
from streamflow.definition.reference_check import reference_problems
from streamflow.errors import Problem

_NAMED = re.compile(r"`([^`\n]*)`")
TOO_LARGE = ("SF230", "SF231")


def problems_of(draft: Draft, catalog: Catalog) -> tuple[Problem, ...]:
    """All problems of `draft` against `catalog`, errors and warnings, in the order of the text. Whatever it names that
    is not in the catalog is among them, also where the draft is too large for the other checks."""
    definition = draft.definition
    found = list(check(definition, catalog))
    if not definition.steps:
        found.append(Problem("SF106", "/steps", "expected at least 1 items in `steps`.", "Add a step."))
    if any(problem.code in TOO_LARGE for problem in found):
        found += reference_problems(definition, catalog, never)
    return (*found, *_lanes(draft, catalog))


def _lanes(draft: Draft, catalog: Catalog) -> Iterator[Problem]:
    """Lanes are configuration, so no check knows them; one that no operation has may be invented."""
    lanes = {spec.lane for spec in catalog.operations}
    for index, step in enumerate(draft.definition.steps):
        for field in ("call", "undo"):
            call = getattr(step, field)
            if call is not None and call.lane is not None and call.lane not in lanes:
                yield Problem(
                    "SF250",
                    f"/steps/{index}/{field}/lane",
                    f"`{call.lane}` is not the lane of any operation of the catalog.",
                    "See that task workers serve it, or leave `lane` out.",
                    "warning",
                )


def new_problems(
    before: Draft, old: Iterable[Problem], after: Draft, new: Iterable[Problem], renamed: Iterable[tuple[str, str]] = ()
) -> tuple[Problem, ...]:
    """Those of the problems `new`, of `after`, that were not there in `before`. A problem is the same one if it is the
    same mistake about the same names at the same address, whatever came before it in the text, whatever ids were given
    to steps, and whatever values it quotes."""
    ids = originals(renamed)
    known = {_identity(before, problem, {}) for problem in old}
    return tuple(problem for problem in new if _identity(after, problem, ids) not in known)


def _identity(draft: Draft, problem: Problem, ids: dict[str, str]) -> tuple[str, str, tuple[str, ...]]:
    def original(name: str) -> str:
        return ".".join(ids.get(word, word) for word in name.split("."))

    address = "/".join(original(part) for part in address_of(draft.content, problem.pointer).split("/"))
    return problem.code, address, tuple(original(name) for name in _NAMED.findall(problem.message))
