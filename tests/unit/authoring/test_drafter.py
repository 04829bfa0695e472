"""A sentence becomes a draft that does what it says; what is not in the catalog, or not in the grammar, is asked."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamflow.authoring.draft import Draft
from streamflow.authoring.drafter.drafted import Drafted
from streamflow.authoring.drafter.drafter import LONGEST, draft
from streamflow.authoring.drafter.tokens import tokens_of
from streamflow.authoring.gaps import gaps
from streamflow.authoring.question import MOST
from streamflow.definition.check import check
from streamflow.definition.content import event_names, operation_names
from streamflow.definition.graph import kind_of
from streamflow.definition.model import Definition
from streamflow.definition.syntax import parse_catalog, parse_definition
from tests.unit.authoring.sentences import catalog

FRAUD, ORDERS, LOANS, HELP, PARCELS = "fraud-detection", "order-fulfilment", "loan-application", "helpdesk", "parcels"
ANALYST = "when a payment above 500 euros comes, ask an analyst within 30 minutes, block it if nobody answers"


def definition_of(drafted: Drafted) -> Definition:
    assert drafted.text is not None, drafted.questions
    return parse_definition(drafted.text)


def outline(sentence: str, name: str) -> list[str]:
    """The condition of the start, then each step with what it comes after; the draft is complete."""
    drafted = draft(sentence, catalog(name))
    assert drafted.complete, [question.text for question in drafted.questions]
    definition = definition_of(drafted)
    assert [one for one in check(definition, catalog(name)) if one.severity == "error"] == []
    steps = [f"{step.id} <- {' '.join(step.needs) or 'start'}: {kind_of(step)}" for step in definition.steps]
    return [f"{definition.on[0].event} {definition.on[0].where or ''}".strip(), *steps]


def test_a_payment_that_nobody_answers_for_is_blocked() -> None:
    drafted = draft(ANALYST, catalog(FRAUD))
    definition = definition_of(drafted)
    ask, block = definition.steps

    assert drafted.complete
    assert definition.on[0].where == "event.amount_cents > 50000"
    assert ask.approval is not None
    assert (ask.approval.who, ask.approval.within) == (["analyst"], "30m")
    assert block.needs == ["ask_analyst.timeout"]
    assert block.emit is not None
    assert {one.name: one.expr for one in block.emit.data} == {
        "payment": "run.key",
        "decision": "'blocked'",
        "by": "run.definition",
        "reasons": "['nobody answers']",
    }


@pytest.mark.parametrize(
    ("name", "sentence", "expected"),
    [
        (
            FRAUD,
            "When a payment is authorised, call fraud.score. If the score is between 40 and 79, hold it; if it is 80 "
            "or more, block it, otherwise approve it.",
            [
                "payment.authorised",
                "score <- start: call",
                "check_score <- score: choose",
                "hold <- check_score.way_1: emit",
                "block <- check_score.way_2: emit",
                "approve <- check_score.otherwise: emit",
            ],
        ),
        (
            FRAUD,
            "Whenever a payment over 10000 cents from FR or IT is authorised, hold it.",
            [
                "payment.authorised event.amount_cents > 10000 && (event.country == 'FR' || event.country == 'IT')",
                "hold <- start: emit",
            ],
        ),
        (
            FRAUD,
            "When a payment not from FR or IT comes, hold it.",
            ["payment.authorised event.country != 'FR' && event.country != 'IT'", "hold <- start: emit"],
        ),
        (
            FRAUD,
            "when payment.authorised, let an analyst look at it for at most 2 hours; if she agrees, approve it, "
            "otherwise block it",
            [
                "payment.authorised",
                "ask_analyst <- start: approval",
                "approve <- ask_analyst.approved: emit",
                "block <- ask_analyst.rejected ask_analyst.timeout: emit",
            ],
        ),
        (
            ORDERS,
            "When an order is placed, wait for the payment for 1 day, remind the customer with amount_cents "
            "price_cents times quantity if it does not come, wait another 2 days, then ship it with total_cents "
            "price_cents times quantity. If nobody pays, give up the order.",
            [
                "order.placed",
                "wait_received <- start: wait",
                "remind <- wait_received.timeout: emit",
                "wait_received_2 <- remind: wait",
                "give <- wait_received_2.timeout: emit",
                "ship <- wait_received_2.received wait_received.received: emit",
            ],
        ),
        (
            LOANS,
            "When an application over 20000 euros is submitted, ask the board whether it can be granted within 2 "
            "weeks. Unless they approve, emit application.declined.",
            [
                "application.submitted has(event.amount) && event.amount > 20000",
                "ask_board <- start: approval",
                "declined <- ask_board.rejected ask_board.timeout: emit",
            ],
        ),
        (
            HELP,
            "When a ticket is opened, classify it; if that fails, escalate it, and in any case send a mail to the "
            "customer with subject 'received'.",
            [
                "ticket.opened",
                "classify <- start: call",
                "escalate <- classify.failure: emit",
                "send <- classify escalate: call",
            ],
        ),
        (
            PARCELS,
            "When a parcel is sent, book a carrier, and if it is not delivered within 3 days log 'late'.",
            [
                "parcel.sent",
                "book <- start: call",
                "wait_delivered <- book: wait",
                "log <- wait_delivered.timeout: print",
            ],
        ),
        (
            PARCELS,
            "When a parcel lighter than 1.5 kg or heavier than 30 kg is sent, log 'odd'.",
            ["parcel.sent event.weight_kg < 1.5 || event.weight_kg > 30", "log <- start: print"],
        ),
    ],
)
def test_sentences_of_many_forms_are_drafted(name: str, sentence: str, expected: list[str]) -> None:
    assert outline(sentence, name) == expected


@pytest.mark.parametrize(
    ("name", "sentence", "phrase"),
    [
        (FRAUD, "When a payment above 500 euros comes, do not block it.", "do not block it"),
        (FRAUD, "When a payment comes, block it after lunch.", "block it after lunch"),
        (FRAUD, "When three payments come within an hour, hold it.", "three payments come within an hour"),
        (FRAUD, "When a payment above 500 comes, block it.", "above 500"),
        (FRAUD, "When a payment comes, ask two analysts within 1 hour.", "two"),
        (FRAUD, "When a payment comes, score it. If the score is high, block it.", "score is high"),
        (FRAUD, "When a payment comes and its score is above 80, block it.", "its score is above 80"),
        (ORDERS, "When an order is not placed, give it up.", "not"),
        (ORDERS, "When an order or a payment comes, give it up.", "or"),
        (ORDERS, "When an order is placed, ship it.", "ship it"),
        (HELP, "When a ticket is opened, escalate it twice.", "escalate it twice"),
        (HELP, "When a ticket is opened, close it with reason 'x' or escalate it.", "'x' or escalate it"),
        (HELP, "When a ticket is opened, send a mail to boss@example.com with subject 'x'.", "boss@example.com"),
        (HELP, "When a ticket is opened, otherwise escalate it.", "escalate it"),
        (PARCELS, "When a parcel is sent, wait until 17:00 and log 'x'.", "wait until 17:00"),
        (PARCELS, "When a parcel is sent before noon, book a carrier.", "before noon"),
        (PARCELS, "When a parcel heavier than not 20 kg is sent, book a carrier.", "20"),
        (PARCELS, "When a parcel is sent, ask customs within about 5 days.", "within about 5 days"),
        (HELP, "When a ticket is opened, ask a manager; if nobody answers, escalate it.", "ask a manager"),
        (HELP, "When a ticket is opened, wait for an answer; if none comes, escalate it.", "wait for an answer"),
        (ORDERS, "When an order is placed, wait for 2 payments within 1 day.", "payments"),
        (PARCELS, "When a parcel is sent, book 3 carriers.", "book 3 carriers"),
        (PARCELS, "When 2 parcels are sent, book a carrier.", "2"),
        (PARCELS, "Every night at 2, book a carrier.", "Every night"),
    ],
)
def test_what_is_not_understood_is_asked(name: str, sentence: str, phrase: str) -> None:
    drafted = draft(sentence, catalog(name))

    assert not drafted.complete
    assert any(phrase in question.phrase for question in drafted.questions if question.blocks), drafted.questions


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        (FRAUD, ANALYST),
        (FRAUD, "When a payment above 500 comes, block it."),
        (ORDERS, "When an order is placed, ship it."),
        (ORDERS, "When an order is placed, wait for the payment."),
        (HELP, "When a ticket is opened, ask a manager."),
        (HELP, "When a ticket is opened, ask a manager; if nobody answers, escalate it."),
    ],
)
def test_an_answer_that_is_offered_answers_the_question(name: str, sentence: str) -> None:
    for question in draft(sentence, catalog(name)).questions:
        assert question.choices
        for choice in question.choices:
            assert choice.sentence is not None
            again = draft(choice.sentence, catalog(name))
            assert question.text not in [one.text for one in again.questions], choice


PEOPLE = parse_catalog(
    "events: ["
    + ", ".join(
        f"{{name: {name}, title: {title}, topics: [hr], key: {{path: e}}, "
        "schema: {type: object, required: [e], properties: {e: {type: string}}}}"
        for name, title in (
            ("leave.requested", "Leave was requested"),
            ("contract.ended", "A contract has ended"),
            ("visit.cancelled", "A visit was cancelled"),
            ("report.archived", "A report was archived"),
        )
    )
    + "]\noperations: [{name: account.lock, title: Lock an account, input: {type: object}, output: {type: object}}]"
)


@pytest.mark.parametrize(
    "start",
    [
        "somebody leaves",
        "someone leaves",
        "they leave",
        "somebody visits",
        "everybody reports",
        "she has left",
        "we left",
    ],
)
def test_a_deed_that_is_like_the_noun_of_an_event_is_asked_about(start: str) -> None:
    """Who leaves requests no leave."""
    drafted = draft(f"When {start}, lock the account.", PEOPLE)

    assert drafted.text is None
    (question,) = drafted.questions
    assert question.kind == "unknown"
    assert {"contract.ended", "leave.requested"} <= {
        name for one in question.choices for name in (one.sentence or "").split()
    }


@pytest.mark.parametrize(
    ("start", "event"),
    [
        ("leave is requested", "leave.requested"),
        ("somebody requests leave", "leave.requested"),
        ("somebody requests a leave", "leave.requested"),
        ("a new leave comes", "leave.requested"),
        ("somebody cancels a visit", "visit.cancelled"),
        ("a visit of somebody is cancelled", "visit.cancelled"),
        ("contract.ended comes", "contract.ended"),
    ],
)
def test_the_noun_of_an_event_or_what_happens_to_it_starts_a_process(start: str, event: str) -> None:
    drafted = draft(f"When {start}, lock the account.", PEOPLE)

    assert drafted.text is not None, drafted.questions
    assert f"event: {event}" in drafted.text


def test_what_was_not_said_is_missing_and_what_was_filled_in_is_assumed() -> None:
    statements = draft(ANALYST, catalog(FRAUD)).statements

    assert [one.number for one in statements] == list(range(1, len(statements) + 1))
    assert any(one.origin == "assumed" and "`reasons`" in one.text for one in statements)
    said = next(one for one in statements if one.origin == "said" and one.addresses == ("/steps/block",))
    assert said.span is not None
    assert ANALYST[slice(*said.span)] == "block it"


@pytest.mark.parametrize(
    ("name", "sentence", "asked"),
    [
        (FRAUD, ANALYST, ["unreachable_branch:/steps/ask_analyst/rejected"]),
        (FRAUD, "When a payment comes, score it.", []),
        (ORDERS, "When an order is placed, wait for the payment.", ["no_time_limit:/steps/wait_received"]),
        (
            HELP,
            "When a ticket is opened, ask a manager within 2 days; if they approve it, escalate it.",
            ["nobody_answers:/steps/ask_manager", "unreachable_branch:/steps/ask_manager/rejected"],
        ),
    ],
)
def test_what_a_sentence_leaves_open_is_what_the_draft_leaves_open(name: str, sentence: str, asked: list[str]) -> None:
    drafted = draft(sentence, catalog(name))
    assert drafted.text is not None
    found = gaps(Draft.parse(drafted.text), catalog(name))

    missing = [(one.text, one.addresses) for one in drafted.statements if one.origin == "missing"]
    assert sorted(missing) == sorted((gap.text, (gap.address,)) for gap in found)
    assert [gap.key for question in drafted.questions for gap in question.gaps] == asked


PIECES = (
    "when a payment", "above 500 euros", "comes", "is authorised", ", ask an analyst", "within 30 minutes",
    ", block it",
    "if nobody answers", ", score it", "if the score is above 80", "otherwise", "unless they approve", ", hold it", ".",
    ", wait 2 days", "from DE or FR", "and", "then", "not", "with reason 'x'", ", publish payment.decided", "refund",
    ", wait for payment.held", "if it fails", "in any case", "stop",
)  # fmt: skip


@settings(max_examples=30, deadline=None)
@given(st.lists(st.sampled_from(PIECES), min_size=1, max_size=9))
def test_whatever_is_said_nothing_is_invented(pieces: list[str]) -> None:
    known = catalog(FRAUD)
    sentence = " ".join(pieces).replace(" ,", ",")
    drafted = draft(sentence, known)

    assert drafted == draft(sentence, known)
    assert len(drafted.questions) <= MOST
    assert drafted.complete or any(question.blocks for question in drafted.questions)
    if drafted.text is not None:
        definition = parse_definition(drafted.text)
        assert [one for one in check(definition, known) if one.severity == "error"] == []
        assert set(event_names(definition)) <= {one.name for one in known.events}
        assert set(operation_names(definition)) <= {one.name for one in known.operations}


@pytest.mark.parametrize("place", [0, 2, 4, 6, 15, 17])
def test_a_word_that_means_nothing_is_asked_about(place: int) -> None:
    token = tokens_of(ANALYST)[place]
    drafted = draft(f"{ANALYST[: token.start]}xyzzy {ANALYST[token.start :]}", catalog(FRAUD))

    assert not drafted.complete


@pytest.mark.parametrize(
    "sentence",
    [
        "",
        " \n\t",
        "when",
        "when ,",
        "if if if",
        "When a payment comes" * 2000,
        "when a payment comes, log '</script> %%{init: x}%% \u202e\u0000 \ud800'",
        "when a payment comes, ask `rm -rf` within 99999999999999999999 years",
        "'" * 3000,
        "otherwise; otherwise; in any case, wait",
    ],
)
def test_no_text_breaks_it(sentence: str) -> None:
    drafted = draft(sentence, catalog(FRAUD))

    assert drafted.complete or drafted.questions
    assert len(sentence) <= LONGEST or not drafted.complete
