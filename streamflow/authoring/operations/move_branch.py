"""`move_branch`: a step, and all that comes after it, to another place in the process."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from streamflow.authoring.operations.operation import (
    Operation,
    Refused,
    comes_after,
    known_need,
    step_of,
    write_needs,
)
from streamflow.definition.model import Id, Need


class MoveBranch(Operation):
    """Let a step, and with it all that comes after it, come after something else: the need `from` becomes `to`.
    Without `from` all its needs are replaced. Without `to` the need is taken away."""

    op: Literal["move_branch"]
    step: Id
    from_: Need | None = Field(default=None, alias="from")
    to: Need | None = None  # the step, or step.outcome, that it is to come after

    def change(self, content: dict[str, Any]) -> None:
        """Raises Refused for a need that it does not have, and for a place that comes after it."""
        step = step_of(content, self.step)
        needs = list(step.get("needs") or ())
        if self.from_ is not None and self.from_ not in needs:
            raise Refused(
                "edit_target_unknown",
                f"the step `{self.step}` does not need `{self.from_}`.",
                f"It needs {', '.join(needs)}." if needs else "It begins with the run. Leave `from` out.",
            )
        if self.to is not None:
            known_need(content, self.to)
            target = self.to.partition(".")[0]
            if target == self.step or target in comes_after(content, self.step):
                raise Refused(
                    "edit_circular",
                    f"`{target}` comes after `{self.step}`, so `{self.step}` cannot come after it.",
                    "Choose a place before it.",
                )
        gained = [self.to] if self.to is not None else []
        if self.from_ is None:
            write_needs(step, gained)
        else:
            write_needs(step, [one for need in needs for one in (gained if need == self.from_ else [need])])
