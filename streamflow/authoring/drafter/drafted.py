"""The result of drafting: a definition as YAML, what was understood, and what has to be asked."""

from __future__ import annotations

from dataclasses import dataclass

from streamflow.authoring.question import Question
from streamflow.authoring.statements import Statement


@dataclass(frozen=True, slots=True, kw_only=True)
class Drafted:
    """A draft, made from a sentence."""

    sentence: str
    """What it was made from."""

    text: str | None
    """A definition in YAML that passes the check; None when nothing can be drafted. Without what blocking questions are
    about it does less than was said."""

    statements: tuple[Statement, ...]
    """What was understood: said by the author, assumed by the drafter, or missing in what was said."""

    questions: tuple[Question, ...]
    """At most `question.MOST`, the most important first."""

    @property
    def complete(self) -> bool:
        """Whether everything that was said is in the draft."""
        return self.text is not None and not any(question.blocks for question in self.questions)
