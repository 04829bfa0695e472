"""`remove_step`: removes a step and joins the ways that led through it."""

from __future__ import annotations

from typing import Any, Literal

from streamflow.authoring.language import put
from streamflow.authoring.operations.operation import (
    Operation,
    Refused,
    followers,
    meant,
    outcomes,
    step_of,
    write_needs,
)
from streamflow.definition.model import Id, Step
from streamflow.definition.plan import NO_OUTCOME

_GOOD_OF_APPROVAL = "approved"


class RemoveStep(Operation):
    """Remove a step. What came after it when it ended well comes after what it needed. Steps that came only after its
    other outcomes (timeout, failure, rejected, another branch) have nothing left to begin with: `orphans` says whether
    they are removed too, or the operation is refused."""

    op: Literal["remove_step"]
    step: Id
    keep: Id | None = None  # the outcome whose way continues, of a step with several
    orphans: Literal["refuse", "remove"] = "refuse"

    def change(self, content: dict[str, Any]) -> None:
        """Raises Refused if the way that continues is not clear, and for orphans."""
        removed = step_of(content, self.step)
        kept = self._kept(content, removed)
        lost: list[str] = []
        self._heal(content, removed, kept, lost)
        _take_out(content, removed)
        place = 0
        while place < len(lost):  # what came only after an orphan is an orphan
            orphan = step_of(content, lost[place])
            self._heal(content, orphan, None, lost)
            place += 1
        if lost and self.orphans == "refuse":
            names = ", ".join(f"`{id_}`" for id_ in lost)
            raise Refused(
                "edit_orphans",
                f"without `{self.step}` nothing leads to {names}.",
                "Remove these too with `orphans: remove`, or move them first with move_branch.",
            )
        for id_ in lost:
            _take_out(content, step_of(content, id_))

    def _kept(self, content: dict[str, Any], removed: dict[str, Any]) -> frozenset[str]:
        """The outcomes whose way continues; the empty one stands for a need without outcome."""
        known = outcomes(removed)
        if self.keep is not None:
            if self.keep not in known:
                raise Refused(
                    "edit_target_unknown",
                    f"the step `{self.step}` has no outcome `{self.keep}` to keep.",
                    meant(self.keep, list(known), "Its outcomes are") if known else "Leave `keep` out.",
                )
            return frozenset({"", self.keep})
        if _GOOD_OF_APPROVAL in known and "approval" in removed:
            return frozenset({"", _GOOD_OF_APPROVAL})
        used = {
            need.partition(".")[2]
            for step in followers(content, self.step)
            for need in step["needs"]
            if need.partition(".")[0] == self.step
        }
        good = (used & set(known)) - set(NO_OUTCOME)
        if len(good) > 1:
            raise Refused(
                "edit_ambiguous",
                f"the step `{self.step}` has several ways on: {', '.join(sorted(good))}.",
                "Say with `keep` which of them continues.",
            )
        return frozenset({"", *good})

    def _heal(
        self, content: dict[str, Any], removed: dict[str, Any], kept: frozenset[str] | None, lost: list[str]
    ) -> None:
        """Joins the ways on after `removed` to what it needed, and adds to `lost` the steps that nothing leads to any
        more. With `kept` None nothing continues."""
        above = list(removed.get("needs") or ())
        for step in followers(content, removed["id"]):
            if step["id"] in lost or step is removed:
                continue
            own = [need for need in step["needs"] if need.partition(".")[0] == removed["id"]]
            going = [need for need in own if kept is not None and need.partition(".")[2] in kept]
            others = [need for need in step["needs"] if need not in own]
            any_of = step.get("join") == "any"
            if not going and not (any_of and others):
                lost.append(step["id"])
                continue
            if going and len(above) > 1 and others and (removed.get("join") == "any") != any_of:
                raise Refused(
                    "edit_ambiguous",
                    f"`{step['id']}` needs {'any' if any_of else 'all'} of several, and `{removed['id']}` "
                    f"{'all' if any_of else 'any'} of several, which one list of needs cannot say.",
                    f"Set the needs of `{step['id']}` first.",
                )
            self._join(step, removed, own, going, above)

    @staticmethod
    def _join(
        step: dict[str, Any], removed: dict[str, Any], own: list[str], going: list[str], above: list[str]
    ) -> None:
        needs = list(step["needs"])
        if going and not above and step.get("join") == "any":
            write_needs(step, [])  # one of its ways now begins with the run
            return
        place = needs.index(own[0])
        left = [need for need in needs if need not in own]
        ahead = sum(need not in own for need in needs[:place])
        joined = [*left[:ahead], *(above if going else ()), *left[ahead:]]
        if going and len(above) > 1 and not left and removed.get("join") is not None:
            put(step, Step, "join", removed["join"])
        elif going and len(above) > 1 and not left:
            step.pop("join", None)
        write_needs(step, joined)


def _take_out(content: dict[str, Any], removed: dict[str, Any]) -> None:
    content["steps"] = [step for step in content["steps"] if step is not removed]
