"""What a sentence says of outcomes, limits, reasons and people is done, and nothing beside it."""

from __future__ import annotations

import pytest

from streamflow.authoring.drafter.drafted import Drafted
from streamflow.authoring.drafter.drafter import draft
from streamflow.authoring.editor.editor import edit
from streamflow.cli.examples import example_catalogs
from streamflow.definition.content import event_names
from tests.unit.authoring.edit_sentences import draft_of
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


@pytest.mark.parametrize(
    ("text", "step"),
    [
        ("ask an analyst; if she approves it within 1 hour, hold it", "approval"),
        ("ask an analyst; if she rejects it within 1 hour, block it", "approval"),
        ("ask an analyst; if nobody answers within 1 hour, block it", "approval"),
        ("ask an analyst; hold it unless she approves it within 1 hour", "approval"),
        ("wait for payment.decided; if it comes within 1 hour, hold it", "wait"),
        ("score it; if that works within 1 hour, hold it", "call"),
    ],
)
def test_a_limit_that_a_condition_names_is_that_of_the_step(text: str, step: str) -> None:
    drafted = draft(f"when a payment is authorised, {text}", catalog(FRAUD))
    first = getattr(definition_of(drafted).steps[0], step)

    assert drafted.complete
    assert first.within == "1h"
    assert not getattr(first, "forever", False)
    assert not any("limit" in question.text for question in drafted.questions)


@pytest.mark.parametrize("before", ["within 2 hours", "for as long as it takes"])
def test_a_condition_with_another_limit_is_asked_about(before: str) -> None:
    text = f"when a payment is authorised, ask an analyst {before}; if she approves it within 1 hour, hold it"
    drafted = draft(text, catalog(FRAUD))

    assert [one.phrase for one in drafted.questions if one.blocks] == ["she approves it within 1 hour"]


@pytest.mark.parametrize(
    ("rest", "reason"),
    [
        ("block it unless the country is DE", "unless the country is DE"),
        ("unless the country is DE, hold it, otherwise block it", "the country is DE"),
        ("if the amount is below 500 euros, hold it, otherwise block it", "the amount is not below 500 euros"),
        (
            "if the country is DE or FR, hold it, otherwise block it",
            "it is not so that the country is DE or FR",
        ),
        (
            "if the country is DE, hold it, otherwise if the country is FR, approve it, otherwise block it",
            "none of these holds: the country is DE; the country is FR",
        ),
        ("ask an analyst within 1 hour; if she approves, hold it, otherwise block it", "it was not approved"),
        (
            "ask an analyst within 1 hour; if she approves, hold it. If nobody answers, hold it, otherwise block it",
            "it was rejected",
        ),
        (
            "ask an analyst within 1 hour; if she approves, hold it, if not, block it. If she rejects it, hold it",
            "nobody answered in time",
        ),
        ("ask an analyst within 1 hour; block it unless she approves it", "unless she approves it"),
        ("wait for payment.held within 1 hour; if it comes, hold it, otherwise block it", "nothing came in time"),
        ("score it; if that works, hold it, otherwise block it", "fraud.score failed"),
    ],
)
def test_the_reason_that_is_published_is_the_one_that_held(rest: str, reason: str) -> None:
    drafted = draft(f"when a payment is authorised, {rest}", catalog(FRAUD))
    assert drafted.complete, [question.text for question in drafted.questions]
    block = next(step for step in definition_of(drafted).steps if step.id == "block")
    assert block.emit is not None

    assert {one.name: one.expr for one in block.emit.data}["reasons"] == f"['{reason}']"


def test_the_statement_of_a_denied_condition_says_so() -> None:
    drafted = draft("when a payment is authorised, block it unless the country is DE", catalog(FRAUD))

    assert "Goes on by the first that holds: unless the country is DE (!(trigger.country == 'DE'))." in [
        one.text for one in drafted.statements
    ]


def test_what_is_done_to_it_is_done_to_what_the_process_is_about() -> None:
    drafted = draft("when a payment is authorised, approve it", example_catalogs())

    assert sorted(event_names(definition_of(drafted))) == ["payment.authorised", "payment.decided"]


@pytest.mark.parametrize("text", ["decline it", "decline the payment"])
def test_an_event_of_something_else_is_asked_about(text: str) -> None:
    drafted = draft(f"when a payment is authorised, {text}", example_catalogs())

    assert not drafted.complete
    (question,) = [one for one in drafted.questions if one.blocks]
    assert question.text == f"Is `application.declined` meant by `{text}`? Nothing before it is about `application`."
    assert [choice.text for choice in question.choices] == ["application.declined"]
    answered = draft(question.choices[0].sentence or "", example_catalogs())
    assert answered.complete
    assert sorted(event_names(definition_of(answered))) == ["application.declined", "payment.authorised"]


def test_an_event_of_something_else_that_is_named_is_published() -> None:
    drafted = draft("when a payment is authorised, decline the application", example_catalogs())

    assert drafted.complete
    assert sorted(event_names(definition_of(drafted))) == ["application.declined", "payment.authorised"]


@pytest.mark.parametrize(
    ("who", "choices"),
    [
        ("the manager and the director", ["one is enough"]),
        ("both the manager and the director", []),
    ],
)
def test_whether_one_of_several_people_is_enough_is_asked(who: str, choices: list[str]) -> None:
    drafted = draft(
        f"when a payment is authorised, ask {who} within 1 hour; if they reject it, block it", catalog(FRAUD)
    )

    (question,) = [one for one in drafted.questions if one.blocks]
    assert question.text.startswith("Is it enough if one of")
    assert [choice.text for choice in question.choices] == choices
    for choice in question.choices:
        approval = definition_of(draft(choice.sentence or "", catalog(FRAUD))).steps[0].approval
        assert approval is not None
        assert len(approval.who) == 2


@pytest.mark.parametrize("who", ["both", "nobody", "no one", "none of the analysts", "neither the analyst"])
def test_nobody_is_no_group(who: str) -> None:
    drafted = draft(f"when a payment is authorised, ask {who}, block it", catalog(FRAUD))

    assert [one.text for one in drafted.questions if one.blocks and one.text.startswith("Who is asked")]
    assert not any(one.choices for one in drafted.questions if one.blocks)


@pytest.mark.parametrize(
    ("said", "needs"),
    [
        ("nobody rejects it", "approved timeout"),
        ("she does not reject it", "approved timeout"),
        ("it is not declined", "approved timeout"),
        ("she does not say no", "approved timeout"),
        ("she says no", "rejected"),
        ("nobody approves it", "rejected timeout"),
        ("nobody approves or rejects it", "timeout"),
        ("she neither approves nor rejects it", "timeout"),
        ("she rejects it or nobody answers", "rejected timeout"),
        ("she does not approve it or rejects it", "rejected timeout"),
    ],
)
def test_a_denied_answer_is_all_others(said: str, needs: str) -> None:
    drafted = draft(f"when a payment is authorised, ask an analyst within 1 hour; if {said}, hold it", catalog(FRAUD))

    assert needs_of(drafted) == {"hold": [f"ask_analyst.{one}" for one in needs.split()]}


@pytest.mark.parametrize("way", ["except when", "except if"])
def test_an_exception_is_no_condition(way: str) -> None:
    drafted = draft(f"when a payment is authorised, hold it {way} the country is DE or FR", catalog(FRAUD))
    choose = definition_of(drafted).steps[0].choose

    assert drafted.complete
    assert choose is not None
    assert choose[0].if_ == "!(trigger.country == 'DE' || trigger.country == 'FR')"
    assert definition_of(drafted).steps[1].needs == ["check_country.yes"]


@pytest.mark.parametrize(
    "text",
    [
        "when a payment is authorised, hold it except in DE",
        "when a payment is authorised, call fraud.score without asking anybody",
        "when a payment is authorised except when the country is DE, hold it",
        "when a payment without approval is authorised, hold it",
        "when a chargeback without a reason comes, hold it",
    ],
)
def test_no_choice_drops_a_negation(text: str) -> None:
    drafted = draft(text, catalog(FRAUD))

    assert not drafted.complete
    assert not any(question.choices for question in drafted.questions)


def test_no_choice_leads_to_what_is_not_understood() -> None:
    text = "when a payment is authorised, if the amount is above 5 foo bar, hold it"
    drafted = draft(text, catalog(FRAUD))

    assert not drafted.complete
    assert not any(question.choices for question in drafted.questions if question.blocks)


@pytest.mark.parametrize(
    ("number", "meaning"),
    [
        ("1 million", "1000000"),
        ("a million", "1000000"),
        ("2.5 million", "2500000"),
        ("two hundred", "200"),
        ("10k", "10000"),
        ("10 000", "10000"),
        ("1 250 000", "1250000"),
        ("10'000", "10000"),
        ("2,500 million", "2500000000"),
    ],
)
def test_a_number_of_several_words_is_one_number(number: str, meaning: str) -> None:
    drafted = draft(f"when a payment above {number} euros is authorised, hold it", catalog(FRAUD))

    assert drafted.complete
    assert definition_of(drafted).on[0].where == f"event.amount_cents > {meaning}00"


@pytest.mark.parametrize(
    "number",
    [
        "1 million 500 thousand",
        "half a million",
        "two hundred thousand",
        "twenty five",
        "10 00",
        "1.000 million",
        "1,5 million",
        "1.5m",
        "millions of",
    ],
)
def test_an_unclear_number_is_asked_for_without_choices(number: str) -> None:
    drafted = draft(f"when a payment above {number} euros is authorised, hold it", catalog(FRAUD))

    (question,) = drafted.questions
    assert question.text.startswith("Which number is")
    assert question.choices == ()


def test_a_currency_before_a_number_is_no_part_of_it() -> None:
    drafted = draft("when a payment above €10 000 is authorised, hold it", catalog(FRAUD))

    assert drafted.complete
    assert definition_of(drafted).on[0].where == "event.amount_cents > 1000000"


def test_an_edit_with_a_number_of_several_words_has_that_number() -> None:
    found = edit("Raise the limit to 1 million euros.", draft_of("card-check"), catalog(FRAUD))

    assert found.revision is not None
    assert found.revision.draft.definition.on[0].where == "event.amount_cents > 100000000"


def test_a_condition_on_the_other_cases_is_none_on_the_first() -> None:
    text = (
        "when a payment is authorised, ask an analyst within 1 hour; if she approves, hold it; otherwise, if the "
        "amount is below 500 euros, approve it, otherwise block it"
    )

    assert needs_of(draft(text, catalog(FRAUD))) == {
        "hold": ["ask_analyst.approved"],
        "check_amount_cents": ["ask_analyst.rejected", "ask_analyst.timeout"],
        "approve": ["check_amount_cents.yes"],
        "block": ["check_amount_cents.otherwise"],
    }
