"""`choose`: the first branch whose condition holds."""

from __future__ import annotations

from collections.abc import Iterator

from streamflow.definition.catalog import Catalog
from streamflow.definition.model import Branch
from streamflow.definition.plan import BranchPlan, ChoosePlan
from streamflow.definition.read_schemas import ReadSchemas
from streamflow.definition.steps.kind import StepForm, not_reserved, optional, unique
from streamflow.errors import Problem


def _compile(part: list[Branch], catalog: Catalog, schemas: ReadSchemas) -> ChoosePlan:
    return ChoosePlan(tuple(BranchPlan(branch.id, optional(branch.if_, schemas)) for branch in part))


def _check(part: list[Branch], at: str) -> Iterator[Problem]:
    ids = [branch.id for branch in part]
    yield from unique(ids, at, "id", "branch")
    yield from not_reserved(ids, at)
    for index, branch in enumerate(part[:-1]):
        if branch.if_ is None:
            message = f"the branch `{branch.id}` has no `if`, so the branches after it are never taken."
            yield Problem("SF220", f"{at}/{index}", message, "Move it to the end or give it an `if`.")
    if all(branch.if_ is not None for branch in part):
        message = "when no `if` holds, no branch is taken, and the steps that need one are skipped."
        yield Problem("SF221", at, message, "Add a last branch without `if`, such as {id: otherwise}.", "warning")


def _label(part: list[Branch], catalog: Catalog | None) -> list[str]:
    return [f"{branch.id}: {branch.if_}" if branch.if_ is not None else f"{branch.id}: otherwise" for branch in part]


def _sentence(part: list[Branch], catalog: Catalog) -> str:
    return "choose " + ", ".join(
        f"{branch.id} if {branch.if_}" if branch.if_ is not None else f"else {branch.id}" for branch in part
    )


CHOOSE = StepForm(
    name="choose",
    plan=ChoosePlan,
    compile=_compile,
    check=_check,
    expressions=lambda work: [branch.condition for branch in work.branches],
    describe=lambda work: "choose",
    outcomes=lambda part: tuple(branch.id for branch in part),
    shape=("{", "}"),
    label=_label,
    sentence=_sentence,
)
