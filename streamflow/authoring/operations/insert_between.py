"""`insert_between`: a new step on the way from one step to another."""

from __future__ import annotations

from typing import Any, Literal

from streamflow.authoring.operations.add_step import add
from streamflow.authoring.operations.operation import (
    Operation,
    Refused,
    free_id,
    known_need,
    meant,
    outcomes,
    replace_needs,
    step_of,
    write_needs,
    written,
)
from streamflow.definition.model import Id, Need, Step


class InsertBetween(Operation):
    """Insert a new step on the way from `after` to `before`; the needs are rewired. `step` is written without needs.
    Without `before` it is put in front of everything that needs `after`. Without `after` it comes first in the run."""

    op: Literal["insert_between"]
    step: Step
    after: Need | None = None  # the step, or step.outcome, behind which it comes
    before: Id | None = None  # the step that comes next
    outcome: Id | None = None  # the outcome of the new step with which it continues; absent: when it ends well

    def change(self, content: dict[str, Any]) -> None:
        """Raises Refused if the two steps do not follow each other."""
        free_id(content, self.step.id)
        if self.step.needs:
            raise Refused(
                "edit_ambiguous",
                f"the step `{self.step.id}` is inserted after `{self.after or 'the start'}` but has needs of its own.",
                "Leave `needs` out, or use add_step.",
            )
        step = written(self.step)
        step.pop("needs", None)
        if self.outcome is not None and self.outcome not in outcomes(step):
            raise Refused(
                "edit_target_unknown",
                f"the new step `{self.step.id}` has no outcome `{self.outcome}`.",
                meant(self.outcome, list(outcomes(step)), "Its outcomes are") if outcomes(step) else "Leave it out.",
            )
        gone_on = self.step.id if self.outcome is None else f"{self.step.id}.{self.outcome}"
        for follower in self._followers(content):
            if self.after is None:
                write_needs(follower, [gone_on])
            else:
                replace_needs(follower, self.after, [gone_on])
        if self.after is None:
            content.setdefault("steps", []).insert(0, step)
            return
        write_needs(step, [self.after])
        add(content, step)

    def _followers(self, content: dict[str, Any]) -> list[dict[str, Any]]:
        if self.after is not None:
            known_need(content, self.after)
        steps = content.get("steps") or []
        following = [
            step
            for step in steps
            if (self.after in (step.get("needs") or ()) if self.after is not None else not step.get("needs"))
        ]
        if self.before is None:
            return following
        next_ = step_of(content, self.before)
        if any(step is next_ for step in following):
            return [next_]
        needs = next_.get("needs") or []
        beginning = f"It needs {', '.join(f'`{need}`' for need in needs)}." if needs else "It begins with the run."
        raise Refused(
            "edit_target_unknown",
            f"the step `{self.before}` does not follow `{self.after or 'the start of the run'}` directly. {beginning}",
            "Name one of these as `after`." if needs else "Leave `after` out.",
        )
