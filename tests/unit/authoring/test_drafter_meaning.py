"""What a sentence says of outcomes, limits, reasons and people is done, and nothing beside it."""

from __future__ import annotations

import pytest

from streamflow.authoring.drafter.drafted import Drafted
from streamflow.authoring.drafter.drafter import draft
from tests.unit.authoring.sentences import catalog
from tests.unit.authoring.test_drafter import FRAUD, LOANS, definition_of


def needs_of(drafted: Drafted) -> dict[str, list[str]]:
    """After what each step is done; nothing has to be asked first."""
    assert drafted.complete, [question.text for question in drafted.questions]
    return {step.id: sorted(step.needs) for step in definition_of(drafted).steps if step.needs}


@pytest.mark.parametrize(
    "rest",
    [
        "If not, decline it. If nobody answers within 2 days, cancel it.",
        "Otherwise decline it. If nobody answers within 2 days, cancel it.",
        "If the clerk does not approve it, decline it. If nobody answers within 2 days, cancel it.",
        "Unless the clerk approves it, decline it. If nobody answers within 2 days, cancel it.",
        "If nobody answers within 2 days, cancel it. If the clerk does not approve it, decline it.",
    ],
)
def test_an_outcome_that_is_named_by_itself_is_none_of_the_other_cases(rest: str) -> None:
    text = f"When an application is submitted, ask a clerk. If the clerk approves, approve it. {rest}"

    assert needs_of(draft(text, catalog(LOANS))) == {
        "approve": ["ask_clerk.approved"],
        "decline": ["ask_clerk.rejected"],
        "cancel": ["ask_clerk.timeout"],
    }


def test_a_condition_that_leaves_nothing_of_the_other_cases_is_asked_about() -> None:
    text = (
        "When a payment is authorised, ask an analyst within 1 hour. If she approves, approve it. If nobody answers, "
        "hold it. Otherwise block it. If she rejects it or nobody answers, hold it."
    )
    drafted = draft(text, catalog(FRAUD))

    assert not drafted.complete
    assert [one.phrase for one in drafted.questions if one.blocks] == ["she rejects it or nobody answers"]
