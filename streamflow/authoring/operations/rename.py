"""`rename`: changes an id wherever it is named."""

from __future__ import annotations

from typing import Any, Literal

from streamflow.authoring.operations.operation import (
    Operation,
    Refused,
    find,
    free_id,
    ids,
    known_need,
    meant,
    step_of,
)
from streamflow.authoring.renaming import named_outcomes, rename_outcome, rename_step
from streamflow.definition.model import Id, Need
from streamflow.definition.plan import OUTCOME_WORDS


class Rename(Operation):
    """Give a step, a trigger, or a branch or event of a step (`step.outcome`) another id. Needs, expressions and the
    output of the definition follow."""

    op: Literal["rename"]
    what: Need
    to: Id

    @property
    def renamed(self) -> tuple[str, str] | None:
        """Of a step or a trigger."""
        return None if "." in self.what else (self.what, self.to)

    def change(self, content: dict[str, Any]) -> None:
        """Raises Refused for what is not there, and for an id that is taken."""
        id_, _, outcome = self.what.partition(".")
        if outcome:
            self._outcome(content, step_of(content, id_), outcome)
            return
        trigger = find(content.get("on") or (), id_)
        step = find(content.get("steps") or (), id_)
        if step is None and trigger is None:
            known = ids(content.get("steps")) + ids(content.get("on"))
            raise Refused(
                "edit_target_unknown", f"there is no step or trigger `{id_}`.", meant(id_, known, "There are")
            )
        if id_ == self.to:
            return
        free_id(content, self.to)
        if step is None:
            assert trigger is not None
            trigger["id"] = self.to
            return
        rename_step(content, id_, self.to)

    def _outcome(self, content: dict[str, Any], step: dict[str, Any], outcome: str) -> None:
        known_need(content, self.what)
        items = named_outcomes(step)
        if outcome not in ids(items):
            raise Refused("edit_target_unknown", f"`{outcome}` is a word of the language.", "It cannot be renamed.")
        if outcome == self.to:
            return
        if self.to in ids(items) or self.to in OUTCOME_WORDS:
            raise Refused(
                "edit_id_taken", f"`{step['id']}` cannot have another outcome `{self.to}`.", "Choose another id."
            )
        rename_outcome(content, step, outcome, self.to)
