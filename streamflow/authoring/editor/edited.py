"""The result of an edit by a sentence: operations on the draft, what they make of it, and what has to be asked."""

from __future__ import annotations

from dataclasses import dataclass

from streamflow.authoring.operations import Operation, Revision
from streamflow.authoring.question import Question
from streamflow.authoring.statements import Statement


@dataclass(frozen=True, slots=True, kw_only=True)
class Edited:
    """An edit, made from a sentence."""

    sentence: str
    """What it was made from."""

    operations: tuple[Operation, ...]
    """What it changes; none where something has to be asked first."""

    revision: Revision | None
    """The draft with the operations, and what they change in it; None without any."""

    statements: tuple[Statement, ...]
    """What was assumed for steps that are new, and what they do."""

    questions: tuple[Question, ...]
    """At most `question.MOST`, the most important first."""

    @property
    def complete(self) -> bool:
        """Whether everything that was said is in the operations."""
        return self.revision is not None and not any(question.blocks for question in self.questions)
