"""The rules as an author: they draft definitions from sentences, and edit drafts by sentences."""

from __future__ import annotations

from streamflow.authoring.drafter.drafter import draft
from streamflow.authoring.editor.editor import edit
from streamflow.evaluation.author import Answer, Task


class Rules:
    """The rules of `streamflow draft write` and `streamflow draft edit`."""

    name = "rules"

    async def answer(self, task: Task) -> Answer:
        """A draft of the request, or the draft that it edits, with the questions that block it."""
        if task.draft is not None:
            edited = edit(task.request, task.draft, task.catalog)
            text = edited.revision.draft.text if edited.revision is not None else None
            return Answer(text=text, questions=[one.text for one in edited.questions if one.blocks])
        drafted = draft(task.request, task.catalog)
        return Answer(text=drafted.text, questions=[one.text for one in drafted.questions if one.blocks])
