"""`replace_step`: what a step does, in its place."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from streamflow.authoring.operations.operation import Operation, Refused, known_need, step_of, written
from streamflow.definition.model import Id, Step

_PLACE = ("needs", "join")


class ReplaceStep(Operation):
    """Write a step again as a whole. Without `needs` in `with` it keeps its place in the process: its needs and its
    join."""

    op: Literal["replace_step"]
    step: Id
    with_: Step = Field(alias="with")

    def change(self, content: dict[str, Any]) -> None:
        """Raises Refused for another id, and for needs that there are not."""
        step = step_of(content, self.step)
        if self.with_.id != self.step:
            raise Refused(
                "edit_ambiguous",
                f"the step `{self.step}` cannot become `{self.with_.id}` by replace_step.",
                "Keep its id here, and use rename beside it.",
            )
        for need in self.with_.needs:
            known_need(content, need)
        new = written(self.with_)
        if "needs" not in self.with_.model_fields_set:
            kept = {name: step[name] for name in _PLACE if name in step}
            new = {"id": new.pop("id"), **{name: new.pop(name) for name in ("title",) if name in new}, **kept, **new}
        step.clear()
        step.update(new)
