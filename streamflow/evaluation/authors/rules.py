"""The rule-based drafter as an author."""

from __future__ import annotations

from streamflow.authoring.drafter.drafter import draft
from streamflow.evaluation.author import Answer, Task


class Rules:
    """The rules of `streamflow draft write`. They make new definitions; edits they do not do, and say so."""

    name = "rules"

    async def answer(self, task: Task) -> Answer:
        """A draft of the request with the questions that block it, or that edits are not done."""
        if task.draft is not None:
            return Answer(text=None, error="edits_unsupported: the rules write new definitions and edit none")
        drafted = draft(task.request, task.catalog)
        return Answer(text=drafted.text, questions=[one.text for one in drafted.questions if one.blocks])
