"""The record of another evaluation as an author: the same answers, scored again."""

from __future__ import annotations

from decimal import Decimal

from streamflow.evaluation.author import Answer, Task
from streamflow.evaluation.report import Report


class Replayed:
    """The answers of a report."""

    def __init__(self, report: Report) -> None:
        self.name = report.author
        self._results = {(one.case, one.round): one for one in report.results}

    async def answer(self, task: Task) -> Answer:
        """What was answered then; of a request that the report does not have, that it is missing."""
        kept = self._results.get((task.case, task.round))
        if kept is None:
            return Answer(text=None, error="not_recorded: the record has no answer to this request")
        return Answer(
            text=kept.text,
            questions=kept.questions,
            tokens=kept.tokens,
            cost=None if kept.cost is None else Decimal(kept.cost),
            seconds=kept.seconds,
            repairs=kept.repairs,
            error=kept.error,
        )
