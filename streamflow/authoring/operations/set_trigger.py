"""`set_trigger`: what starts a run."""

from __future__ import annotations

from typing import Any, Literal

from streamflow.authoring.language import put
from streamflow.authoring.operations.operation import Operation, Refused, find, free_id, ids, meant, written
from streamflow.definition.model import Definition, Id, Trigger


class SetTrigger(Operation):
    """Set what starts a run. `trigger` takes the place of the one with its id, or of the one that `replaces` names;
    otherwise it is added. `replaces` without `trigger` removes one."""

    op: Literal["set_trigger"]
    trigger: Trigger | None = None
    replaces: Id | None = None

    def change(self, content: dict[str, Any]) -> None:
        """Raises Refused for a trigger that is not there, and for an id that is taken."""
        triggers = content.get("on") or []
        if self.replaces is None and self.trigger is None:
            raise Refused("edit_ambiguous", "set_trigger says neither `trigger` nor `replaces`.", "Give one of them.")
        old = find(triggers, self.replaces or (self.trigger.id if self.trigger is not None else ""))
        if self.replaces is not None and old is None:
            raise Refused(
                "edit_target_unknown",
                f"there is no trigger `{self.replaces}`.",
                meant(self.replaces, ids(triggers), "The triggers are"),
            )
        if self.trigger is None:
            put(content, Definition, "on", [one for one in triggers if one is not old])
            return
        if old is None or old["id"] != self.trigger.id:
            free_id(content, self.trigger.id)
        if old is None:
            put(content, Definition, "on", [*triggers, written(self.trigger)])
        else:
            old.clear()
            old.update(written(self.trigger))
