"""The check of the work of a single step: its kind, its limits, and names that are written twice."""

from __future__ import annotations

from collections.abc import Iterator

from streamflow.definition.graph import kind_of
from streamflow.definition.model import Step
from streamflow.definition.steps.call import check_call
from streamflow.definition.steps.registry import KINDS, OUTSIDE, forms_of
from streamflow.errors import Problem


def work_problems(step: Step, at: str) -> Iterator[Problem]:
    """Every problem of the work of `step`, which is written at the pointer `at`, but for what its expressions and the
    catalog say."""
    forms = forms_of(step)
    if len(forms) != 1:
        found = " and ".join(form.name for form, _ in forms) or "none"
        fix = "Make a step of each." if forms else f"Add one of {', '.join(KINDS)}."
        yield Problem("SF214", at, f"expected exactly one kind of work in step `{step.id}` but found {found}.", fix)
    for form, part in forms:
        yield from form.check(part, f"{at}/{form.name}")
    if step.each is not None and kind_of(step) not in OUTSIDE:
        fix = f"Only the kinds {' and '.join(OUTSIDE)} are; map and filter make a list in one go."
        yield Problem(
            "SF227",
            at + "/each",
            f"a step of kind {kind_of(step) or 'none'} cannot be done for each item of a list.",
            fix,
        )
    if step.undo is not None:
        if kind_of(step) not in OUTSIDE:
            fix = f"Remove `undo`; only steps of the kinds {' and '.join(OUTSIDE)} are undone."
            yield Problem(
                "SF228",
                at + "/undo",
                f"a step of kind {kind_of(step) or 'none'} has nothing done outside, so there is nothing to undo.",
                fix,
            )
        yield from check_call(step.undo, at + "/undo")
