"""An author that is always right has every score; one that is wrong in one way loses the scores of that, and no
others."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from decimal import Decimal

import pytest

from streamflow.authoring.draft import Draft
from streamflow.errors import OperationError
from streamflow.evaluation import scoring
from streamflow.evaluation.author import Answer, Author, Task
from streamflow.evaluation.case import Case, Round, cases
from streamflow.evaluation.evaluation import evaluate
from streamflow.evaluation.report import Report, Result, summary
from streamflow.evaluation.scoring import SCORES, Asked
from tests.conftest import TEST_ALL
from tests.unit.evaluation.authors import Nosy, Perfect, Silent, Spoil, all_cases, checked, edited

ASK = "payments/ask-analyst"
EDIT = "payments/edit-ask-analyst-limits"
QUESTION = "payments/high-amounts-unclear"


def _cases(*names: str) -> tuple[Case, ...]:
    return cases(lambda name: name in names)


def _report(author: Author, *names: str) -> Report:
    return asyncio.run(evaluate(author, _cases(*names)))


def _spoilt(spoil: Spoil, *names: str) -> list[Result]:
    return _report(Perfect(_cases(*names), spoil), *names).results


def _lost(result: Result) -> set[str]:
    return {name for name, value in result.scores.items() if value not in (None, 1.0)}


@pytest.mark.parametrize("case", all_cases()[:: 1 if TEST_ALL else 4], ids=lambda case: case.name)
def test_an_author_that_is_always_right_has_every_score(monkeypatch: pytest.MonkeyPatch, case: Case) -> None:
    monkeypatch.setattr(scoring, "problems_of", checked)
    report = asyncio.run(evaluate(Perfect([case]), [case]))
    wrong = [(one.place, one.scores, one.faults) for one in report.results if _lost(one) or not one.solved]
    assert not wrong
    assert {one.asked for one in report.results} <= {Asked.RIGHT, Asked.NONE}


def test_what_is_always_right_adds_up_to_the_best_summary() -> None:
    found = summary(_report(Perfect(_cases(ASK, EDIT, QUESTION)), ASK, EDIT, QUESTION).results)
    assert found.scores == dict.fromkeys(SCORES, 1.0)
    assert (found.precision, found.recall) == (1.0, 1.0)


def test_scores_apply_where_they_have_a_meaning() -> None:
    new, *rounds, question = _report(Perfect(_cases(ASK, EDIT, QUESTION)), ASK, EDIT, QUESTION).results
    if question.edit:  # in the order of the file
        question = next(one for one in (new, *rounds) if one.case == QUESTION)
        rounds = [one for one in (new, *rounds) if one.edit]
    assert new.scores["untouched"] is None
    assert all(one.scores["untouched"] == 1.0 for one in rounds)
    assert question.scores == {**dict.fromkeys(SCORES), "question": 1.0}


def _without_a_step(draft: Draft, wanted: Round) -> str:
    return edited(draft, {"op": "remove_step", "step": "block"})


def _with_an_invented_event(draft: Draft, wanted: Round) -> str:
    return edited(draft, {"op": "set_field", "step": "approve", "field": "emit.event", "value": "payment.cleared"})


def _with_a_wrong_expression(draft: Draft, wanted: Round) -> str:
    field = "emit.data.payment.expr"
    return edited(draft, {"op": "set_field", "step": "approve", "field": field, "value": "trigger.paiment"})


def _with_another_limit(draft: Draft, wanted: Round) -> str:
    return edited(draft, {"op": "set_field", "step": "ask", "field": "approval.within", "value": "45m"})


def _with_other_ways(draft: Draft, wanted: Round) -> str:
    return edited(draft, {"op": "set_field", "step": "approve", "field": "needs", "value": ["ask"]})


def _that_is_no_definition(draft: Draft, wanted: Round) -> str:
    return draft.text.replace("steps:", "stepps:")


@pytest.mark.parametrize(
    ("spoil", "lost"),
    [
        (_without_a_step, {"node_f1", "graph_f1", "behaviour"}),
        (_with_an_invented_event, {"grounded", "node_f1", "graph_f1", "behaviour"}),
        (_with_a_wrong_expression, {"type_clean", "behaviour"}),
        (_with_another_limit, {"behaviour"}),
        (_with_other_ways, {"graph_f1", "behaviour"}),
        (_that_is_no_definition, {"schema_valid", "type_clean", "grounded", "node_f1", "graph_f1", "behaviour"}),
    ],
)
def test_a_new_definition_that_is_wrong_in_one_way_loses_the_scores_of_that(spoil: Spoil, lost: set[str]) -> None:
    (result,) = _spoilt(spoil, ASK)
    assert _lost(result) == lost
    assert not result.solved
    assert result.faults


def test_other_ids_titles_and_orders_cost_nothing() -> None:
    def renamed(draft: Draft, wanted: Round) -> str:
        return edited(
            draft,
            {"op": "rename", "what": "ask", "to": "someone_decides"},
            {"op": "rename", "what": "block", "to": "no_way"},
            {"op": "rename", "what": "authorised", "to": "came"},
            {"op": "set_field", "field": "name", "value": "another-name"},
            {"op": "set_field", "step": "someone_decides", "field": "title", "value": "Well?"},
        )

    (result,) = _spoilt(renamed, ASK)
    assert not _lost(result)
    assert result.solved


def test_an_edit_that_writes_an_untouched_step_in_another_way_loses_that_score_alone() -> None:
    def respelt(draft: Draft, wanted: Round) -> str:
        return draft.text.replace("needs: [ask.approved]", "needs:\n      - ask.approved", 1)

    first, second, third = _spoilt(respelt, EDIT)
    assert _lost(first) == {"untouched"}
    assert not first.solved
    assert first.scores["untouched"] == 0.5  # of the two steps that the edit does not concern
    assert not _lost(second)  # the author's own last text is what counts, and there it is the same
    assert not _lost(third)


def test_an_edit_that_changes_an_untouched_step_loses_what_it_breaks() -> None:
    def changed(draft: Draft, wanted: Round) -> str:
        return edited(draft, {"op": "set_field", "step": "approve", "field": "title", "value": "Approved"})

    first, *_ = _spoilt(changed, EDIT)
    assert _lost(first) == {"untouched"}
    assert "the step approve should not have changed" in first.faults


def test_an_edit_that_breaks_what_was_there_before_loses_its_behaviour_too() -> None:
    def broken(draft: Draft, wanted: Round) -> str:
        field = "emit.data.decision.expr"
        return edited(draft, {"op": "set_field", "step": "approve", "field": field, "value": "'blocked'"})

    first, *_ = _spoilt(broken, EDIT)
    assert _lost(first) == {"untouched", "behaviour"}
    assert any(fault.startswith("An analyst approves: ") for fault in first.faults)  # of the definition it starts from


def test_an_edit_that_changes_nothing_is_told_from_one_that_does_what_was_asked() -> None:
    class Idle:
        name = "idle"

        async def answer(self, task: Task) -> Answer:
            assert task.draft is not None
            return Answer(text=task.draft.text)

    for result in _report(Idle(), EDIT).results:
        assert "behaviour" in _lost(result)
        assert result.scores["untouched"] == 1.0


def test_the_rounds_go_on_from_the_last_answer_of_the_author() -> None:
    given: list[str] = []

    class Watched(Perfect):
        async def answer(self, task: Task) -> Answer:
            assert task.draft is not None
            given.append(task.draft.text)
            if task.round == 1:
                return Answer(text=task.draft.text + "# kept\n")
            if task.round == 2:
                return Answer(text="steps: [")  # no definition, so the next round begins where this one did
            return await super().answer(task)

    asyncio.run(evaluate(Watched(_cases(EDIT)), _cases(EDIT)))
    assert [text.endswith("# kept\n") for text in given] == [False, True, True]


_PRECISION: Mapping[str, tuple[Author, float | None, float | None]] = {
    "asks about the right thing always": (Nosy("Which amount is too high?"), 0.5, 1.0),
    "asks about something else": (Nosy("Which colour do you like?"), 0.0, 0.0),
    "never asks": (Silent(), None, 0.0),
}


@pytest.mark.parametrize("author", list(_PRECISION))
def test_precision_and_recall_of_questions(author: str) -> None:
    who, precision, recall = _PRECISION[author]
    found = summary(_report(who, ASK, QUESTION).results)
    assert (found.precision, found.recall) == (precision, recall)


def test_no_answer_has_no_score_but_for_questions_that_were_rightly_not_asked() -> None:
    (result,) = _report(Silent(), ASK).results
    assert _lost(result) == set(SCORES[:6])
    assert result.asked is Asked.NONE
    (result,) = _report(Silent(), QUESTION).results
    assert _lost(result) == {"question"}
    assert result.asked is Asked.MISSED


class _Failing:
    name = "failing"

    def __init__(self, first_fails: bool) -> None:
        self._first_fails = first_fails

    async def answer(self, task: Task) -> Answer:
        if self._first_fails or task.round > 1:
            raise OperationError("model_timeout", "No token came.")
        return Answer(text=None, tokens=7, cost=Decimal("0.5"), seconds=2.0)


def test_an_answer_that_fails_outside_counts_as_none_unless_it_is_the_first() -> None:
    report = _report(_Failing(first_fails=False), EDIT)
    assert [one.error for one in report.results] == [None, *["model_timeout: No token came."] * 2]
    found = summary(report.results)
    assert (found.tokens, found.cost, found.seconds >= 2.0) == (7, Decimal("0.5"), True)
    with pytest.raises(OperationError):
        _report(_Failing(first_fails=True), EDIT)
