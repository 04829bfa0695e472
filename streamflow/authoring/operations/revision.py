"""Applying operations to a draft: all of them, or none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from streamflow.authoring.difference import Difference, difference
from streamflow.authoring.draft import Draft, Sketch
from streamflow.authoring.operations.operation import Operation, Refused
from streamflow.authoring.operations.registry import read_operations
from streamflow.authoring.problems import TOO_LARGE, new_problems, problems_of
from streamflow.definition.catalog import Catalog
from streamflow.definition.syntax import validated
from streamflow.errors import DefinitionError, Problem


@dataclass(frozen=True, slots=True, kw_only=True)
class Revision:
    """A draft after an edit."""

    draft: Draft
    """The new draft."""

    base: str
    """The `sha` of the draft that was edited."""

    operations: tuple[Operation, ...]
    """What was applied, in this order."""

    difference: Difference
    """What changed, typed and in English."""

    new_problems: tuple[Problem, ...]
    """Those that the draft did not have before. What the edit names that is not in the catalog is among them."""

    problems: tuple[Problem, ...]
    """All that the draft has."""

    @property
    def can_run(self) -> bool:
        """Whether the draft has no error: it names nothing but what the catalog has, and could be published."""
        return all(problem.severity != "error" for problem in self.problems)

    def facts(self) -> dict[str, Any]:
        """The revision as JSON data, without the text of the draft."""
        return {
            "base": self.base,
            "sha": self.draft.sha,
            "changes": self.difference.facts(),
            "new_problems": [_facts(problem) for problem in self.new_problems],
            "problems": len(self.problems),
            "can_run": self.can_run,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """An edit that was not applied; the draft is as it was."""

    code: str
    """A stable code, such as `edit_target_unknown`."""

    message: str
    """What is wrong with which operation, and what to do."""

    operation: int | None
    """Which of the operations, counted from 0; None if it concerns them all."""

    problems: tuple[Problem, ...] = ()
    """The problems of shape, if there are any."""

    def facts(self) -> dict[str, Any]:
        """The refusal as JSON data."""
        return {
            "code": self.code,
            "message": self.message,
            "operation": self.operation,
            "problems": [_facts(problem) for problem in self.problems],
        }


def _facts(problem: Problem) -> dict[str, Any]:
    facts = {name: getattr(problem, name) for name in ("code", "pointer", "severity", "message", "fix")}
    return {name: value for name, value in facts.items() if value != "" or name == "pointer"}


def apply(
    draft: Draft, operations: Any, catalog: Catalog, *, known: Sequence[Problem] | None = None, base: str | None = None
) -> Revision | Refusal:
    """The revision of `draft` by `operations`, or why there is none. `operations` are operations, or plain data as a
    stranger or a language model wrote it (`read_operations`).

    They are applied in order, as one unit: if one of them is refused, or leaves something that has not the shape of a
    definition, nothing is changed. Problems that the check finds do not prevent a revision. `known` are the problems of
    `draft`, for callers who have them from the revision before. `base` is the `sha` of the draft that the operations
    were written for: if that is another one, they are refused."""
    if base is not None and base != draft.sha:
        message = (
            f"The operations are meant for the draft {base[:12]} but this one is {draft.sha[:12]}. Check what changed, "
            "and apply them again."
        )
        return Refusal(code="edit_stale", message=message, operation=None)
    try:
        given = read_operations(list(operations) if isinstance(operations, tuple) else operations)
    except DefinitionError as error:
        return Refusal(code=error.code, message=error.message, operation=None, problems=error.problems)
    editing = draft.editing()
    for number, operation in enumerate(given):
        try:
            operation.change(editing.content)
            validated(Sketch, editing.content)
        except Refused as refused:
            return _refusal(refused.code, number, operation, refused.message, ())
        except DefinitionError as error:
            message = " ".join(f"{one.pointer or '/'}: {one.message} {one.fix}".strip() for one in error.problems)
            return _refusal("edit_breaks_shape", number, operation, message, error.problems)
    try:
        revised = draft.changed(editing)
    except DefinitionError as error:
        return Refusal(code=error.code, message=error.problems[0].message, operation=None, problems=error.problems)
    return _revision(draft, revised, given, catalog, known)


def _revision(
    draft: Draft, revised: Draft, given: Sequence[Operation], catalog: Catalog, known: Sequence[Problem] | None
) -> Revision | Refusal:
    before = problems_of(draft, catalog) if known is None else known
    after = problems_of(revised, catalog)
    renamed = [pair for operation in given if (pair := operation.renamed) is not None]
    fresh = new_problems(draft, before, revised, after, renamed)
    too_large = [problem for problem in fresh if problem.code in TOO_LARGE]
    if too_large and not any(problem.code in TOO_LARGE for problem in before):
        message = f"{too_large[0].message} {too_large[0].fix}".strip()
        return Refusal(code="edit_too_large", message=message, operation=None, problems=tuple(too_large))
    return Revision(
        draft=revised,
        base=draft.sha,
        operations=tuple(given),
        difference=difference(draft, revised, catalog, renamed=renamed),
        new_problems=fresh,
        problems=after,
    )


def _refusal(code: str, number: int, operation: Operation, message: str, problems: tuple[Problem, ...]) -> Refusal:
    return Refusal(
        code=code, message=f"Operation {number + 1} ({operation.op}): {message}", operation=number, problems=problems
    )
