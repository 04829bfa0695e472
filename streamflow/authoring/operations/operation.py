"""What all operations on drafts share."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel

from streamflow.authoring.language import put
from streamflow.definition.graph import outcomes_of
from streamflow.definition.model import Part, Step
from streamflow.definition.syntax import nearest


class Refused(Exception):
    """An operation that cannot be applied: a stable code, what is wrong, and in a separate sentence what to do."""

    def __init__(self, code: str, problem: str, remedy: str = "") -> None:
        super().__init__(problem)
        self.code = code
        self.message = f"{problem} {remedy}".strip()


class Operation(Part):
    """One typed change of a draft. `op` names its kind."""

    op: str

    def change(self, content: dict[str, Any]) -> None:
        """Makes the change in `content`, the plain data of a draft of the right shape. Steps and other items of lists
        that it does not change stay the same objects. Raises Refused; `content` is then to be thrown away."""
        raise NotImplementedError

    @property
    def renamed(self) -> tuple[str, str] | None:
        """The id that a step had and the one that it has afterwards, of an operation that renames one."""
        return None


def written(part: BaseModel) -> dict[str, Any]:
    """A part of the language as its author wrote it: only the fields that were given."""
    return part.model_dump(mode="json", by_alias=True, exclude_unset=True, exclude_none=True)


def step_of(content: dict[str, Any], id_: str) -> dict[str, Any]:
    """The step called `id_`. Raises Refused."""
    found = find(content.get("steps") or (), id_)
    if found is None:
        raise Refused(
            "edit_target_unknown", f"there is no step `{id_}`.", meant(id_, ids(content.get("steps")), "The steps are")
        )
    return found


def find(items: Iterable[dict[str, Any]], id_: str) -> dict[str, Any] | None:
    """The item with this id, or None."""
    return next((item for item in items if item.get("id") == id_), None)


def ids(items: Iterable[dict[str, Any]] | None) -> list[str]:
    """The ids of items."""
    return [str(item.get("id")) for item in items or ()]


def meant(name: str, names: list[str], known: str) -> str:
    """What to write instead of `name`, which is not one of `names`."""
    near = nearest(name, names)
    return f"Did you mean `{near}`?" if near else f"{known} {', '.join(names[:20])}." if names else "There is none yet."


def free_id(content: dict[str, Any], id_: str) -> None:
    """Raises Refused if a step or a trigger is called `id_`."""
    for noun, items in (("step", content.get("steps")), ("trigger", content.get("on"))):
        if id_ in ids(items):
            raise Refused(
                "edit_id_taken",
                f"the id `{id_}` is already that of a {noun}.",
                "Choose another id, or change that one.",
            )


def outcomes(step: dict[str, Any]) -> tuple[str, ...]:
    """The outcomes of a step that a need may name."""
    return outcomes_of(Step.model_validate(step))


def known_need(content: dict[str, Any], need: str) -> None:
    """Raises Refused if `need` names a step or an outcome that there is not."""
    id_, _, outcome = need.partition(".")
    step = step_of(content, id_)
    if outcome and outcome not in outcomes(step):
        known = list(outcomes(step))
        raise Refused(
            "edit_target_unknown",
            f"the step `{id_}` has no outcome `{outcome}`.",
            meant(outcome, known, "Its outcomes are") if known else f"Write `{id_}` alone.",
        )


def replace_needs(step: dict[str, Any], old: str, new: list[str]) -> None:
    """Puts `new` instead of the need `old` of `step`, each need once."""
    needs = [one for need in step.get("needs") or () for one in (new if need == old else [need])]
    write_needs(step, needs)


def write_needs(step: dict[str, Any], needs: list[str]) -> None:
    """Gives `step` these needs, each once; without needs it begins with the run."""
    if needs:
        put(step, Step, "needs", list(dict.fromkeys(needs)))
    else:
        step.pop("needs", None)
    if len(needs) < 2:
        step.pop("join", None)


def followers(content: dict[str, Any], id_: str) -> list[dict[str, Any]]:
    """The steps that need `id_` directly, with any outcome."""
    return [
        step
        for step in content.get("steps") or ()
        if any(need.partition(".")[0] == id_ for need in step.get("needs") or ())
    ]


def comes_after(content: dict[str, Any], id_: str) -> set[str]:
    """The ids of all steps that come after `id_`, directly or not."""
    found: set[str] = set()
    pending = [id_]
    while pending:
        for step in followers(content, pending.pop()):
            if step["id"] not in found:
                found.add(step["id"])
                pending.append(step["id"])
    return found
