"""`add_step`: a new step."""

from __future__ import annotations

from typing import Any, Literal

from streamflow.authoring.operations.operation import Operation, free_id, ids, known_need, step_of, written
from streamflow.definition.model import Id, Step


class AddStep(Operation):
    """Add a new step. Its `needs` say after which steps it comes; without needs it begins with the run. No other step
    changes."""

    op: Literal["add_step"]
    step: Step
    after: Id | None = None  # behind which step it is written; absent: behind the last one that it needs

    def change(self, content: dict[str, Any]) -> None:
        """Raises Refused for an id that is taken, and for needs that there are not."""
        free_id(content, self.step.id)
        for need in self.step.needs:
            known_need(content, need)
        add(content, written(self.step), self.after)


def add(content: dict[str, Any], step: dict[str, Any], after: str | None = None) -> None:
    """Puts `step` into the list: behind `after`, or behind the last step that it needs, or else at the end."""
    steps = content.setdefault("steps", [])
    if after is not None:
        place = steps.index(step_of(content, after)) + 1
    else:
        known = ids(steps)
        needed = [known.index(id_) for need in step.get("needs", ()) if (id_ := need.partition(".")[0]) in known]
        place = max(needed) + 1 if needed else len(steps)
    steps.insert(place, step)
