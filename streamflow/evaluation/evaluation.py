"""Running an evaluation: every request of every case to an author, and its scores."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from streamflow.authoring.draft import Draft
from streamflow.errors import DefinitionError, OperationError, Rejected
from streamflow.evaluation.author import Answer, Author, Task
from streamflow.evaluation.case import Case
from streamflow.evaluation.report import Report, Result
from streamflow.evaluation.scoring import score


async def evaluate(
    author: Author,
    cases: Sequence[Case],
    *,
    currency: str = "USD",
    done: Callable[[Report], None] = lambda report: None,
) -> Report:
    """What `author` makes of `cases`; `done` is given the report so far after each answer.

    The rounds of a case continue from the author's own last definition, so a mistake of the first round is still there
    in the third. An answer that fails (OperationError, or Rejected for a budget) counts as none, but the first one
    ends the evaluation, because then nothing can be reached."""
    report = Report(author=author.name, currency=currency, results=[])
    for case in cases:
        draft = case.rounds[0].before
        for number, wanted in enumerate(case.rounds):
            task = Task(case=case.name, round=number + 1, request=wanted.request, catalog=case.catalog, draft=draft)
            began = time.monotonic()
            try:
                answer = await author.answer(task)
            except (OperationError, Rejected) as error:
                if not report.results:
                    raise
                answer = Answer(text=None, error=f"{error.code}: {error.message}")
            report.results.append(_result(case, number, answer, draft, time.monotonic() - began))
            done(report)
            draft = _next(draft, answer)
    return report


def _result(case: Case, number: int, answer: Answer, before: Draft | None, seconds: float) -> Result:
    scored = score(case, number, answer, before)
    return Result(
        case=case.name,
        round=number + 1,
        edit=case.edits,
        scores={name: None if value is None else round(value, 3) for name, value in scored.scores.facts().items()},
        solved=scored.scores.solved,
        asked=scored.asked,
        faults=list(scored.faults),
        text=answer.text,
        questions=list(answer.questions),
        tokens=answer.tokens,
        cost=None if answer.cost is None else str(answer.cost),
        seconds=round(answer.seconds if answer.seconds is not None else seconds, 3),
        repairs=answer.repairs,
        error=answer.error,
    )


def _next(before: Draft | None, answer: Answer) -> Draft | None:
    """What the next round edits: the answer, or what was there if the answer is no definition."""
    if before is None or answer.text is None:
        return before
    try:
        return Draft.parse(answer.text)
    except DefinitionError:
        return before
