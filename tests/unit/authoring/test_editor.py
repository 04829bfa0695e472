"""A sentence changes a draft as it says, by typed operations; what is not in the draft, the catalog or the grammar is
asked, and then nothing is changed."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamflow.authoring.drafter.drafter import LONGEST
from streamflow.authoring.editor.edited import Edited
from streamflow.authoring.editor.editor import edit
from streamflow.authoring.problems import problems_of
from streamflow.authoring.question import MOST
from streamflow.authoring.rewriting import same
from streamflow.definition.content import event_names, operation_names
from tests.conftest import examples
from tests.unit.authoring.edit_sentences import draft_of
from tests.unit.authoring.sentences import catalog

CARDS, ORDERS, TICKETS, PARCELS = "card-check", "pay-or-lose", "tickets", "parcels"
CATALOGS = {CARDS: "fraud-detection", ORDERS: "order-fulfilment", TICKETS: "helpdesk", PARCELS: "parcels"}


def edited(name: str, sentence: str) -> Edited:
    return edit(sentence, draft_of(name), catalog(CATALOGS[name]))


def asked(found: Edited) -> list[str]:
    return [f"{one.phrase}: {one.text}" for one in found.questions if one.blocks]


@pytest.mark.parametrize(
    ("name", "sentence", "step", "field", "value"),
    [
        (CARDS, "The analysts get an hour.", "analyst", "approval.within", "1h"),
        (CARDS, "An hour is enough for the analysts.", "analyst", "approval.within", "1h"),
        (CARDS, "The time limit should be 45 minutes.", "analyst", "approval.within", "45m"),
        (CARDS, "Set the deadline of the analyst to 36 hours, please.", "analyst", "approval.within", "36h"),
        (ORDERS, "Wait 1 day instead of 2.", "second", "wait.within", "1d"),
        (ORDERS, "Extend the second wait to 4 days.", "second", "wait.within", "4d"),
        (ORDERS, "Change the time limit of money from 3 days to 10 days.", "money", "wait.within", "10d"),
        (PARCELS, "Wait for the delivery no longer than a week.", "arrival", "wait.within", "1w"),
        (CARDS, "Try the scoring twice.", "score", "call.retry.attempts", 2),
        (CARDS, "Only approve it if the amount is below 2000 euros.", "approve", "if", "trigger.amount_cents < 200000"),
        (PARCELS, "Text the receiver unless it is express.", "text", "if", "!(trigger.express)"),
        (CARDS, "Set the title of block to 'No'.", "block", "title", "No"),
        (TICKETS, "Set the reason of close to 'done'.", "close", "emit.data.reason.expr", "'done'"),
        (CARDS, "Ask the fraud team instead of the analysts.", "analyst", "approval.who", ["fraud-team"]),
        (ORDERS, "Only one run at a time.", None, "runs", "one"),
        (ORDERS, "Do not start again while one is open.", None, "runs", "one"),
        (ORDERS, "Rename the process to order payments.", None, "name", "order-payments"),
    ],
)
def test_a_field_is_set(name: str, sentence: str, step: str | None, field: str, value: object) -> None:
    found = edited(name, sentence)

    assert found.complete, asked(found)
    (operation,) = found.operations
    written = operation.model_dump(by_alias=True, exclude_unset=True, exclude_none=True)
    assert written == {"op": "set_field", **({"step": step} if step else {}), "field": field, "value": value}


@pytest.mark.parametrize(
    ("name", "sentence", "where"),
    [
        (CARDS, "Raise the limit to 800 euros.", "event.amount_cents > 80000"),
        (CARDS, "Raise the limit from 500 to 800 euros.", "event.amount_cents > 80000"),
        (CARDS, "Only when the country is not DE.", "event.amount_cents > 50000 && event.country != 'DE'"),
        (CARDS, "Only for payments of at least 900 euros.", "event.amount_cents >= 90000"),
        (CARDS, "Only payments above 900 euros.", "event.amount_cents > 90000"),
        (ORDERS, "Only fragile orders.", "event.fragile"),
        (
            PARCELS,
            "Only for express parcels above 100 euros.",
            "event.express && has(event.value) && event.value > 100",
        ),
        (CARDS, "Remove the condition.", None),
    ],
)
def test_what_starts_a_run_is_changed(name: str, sentence: str, where: str | None) -> None:
    found = edited(name, sentence)

    assert found.complete, asked(found)
    assert found.revision is not None
    assert found.revision.draft.definition.on[0].where == where
    assert found.revision.draft.content["steps"] == draft_of(name).content["steps"]


@pytest.mark.parametrize(
    ("name", "sentence", "outline"),
    [
        (CARDS, "After the score, wait 10 minutes.", {"pause": ["score"], "analyst": ["pause"]}),
        (CARDS, "After scoring also hold it.", {"hold": ["score"]}),
        (CARDS, "If they reject it, also hold the payment.", {"hold": ["analyst.rejected"]}),
        (CARDS, "If they reject it, hold the payment instead.", None),
        (
            CARDS,
            "If they reject it, hold the payment instead of block.",
            {"hold": ["analyst.rejected"], "block": ["analyst.timeout"]},
        ),
        (CARDS, "If nobody answers, do nothing instead of block.", {"block": ["analyst.rejected"]}),
        (CARDS, "First hold the payment.", {"hold": [], "score": ["hold"]}),
        (
            ORDERS,
            "Ask sales within 1 day before giving up; if they reject it, log 'kept'.",
            {"ask_sales": ["second.timeout"], "give_up": ["ask_sales.approved"], "log": ["ask_sales.rejected"]},
        ),
        (
            CARDS,
            "Hold it between score and analyst, and remove block.",
            {"hold": ["score"], "analyst": ["hold"], "block": None},
        ),
        (PARCELS, "When it is delivered or returned, log 'here'.", {"log": ["arrival.delivered", "arrival.returned"]}),
        (PARCELS, "Move lost after text.", {"lost": ["text"]}),
        (TICKETS, "When the ticket is closed, log 'bye'.", {"log": ["close"]}),
    ],
)
def test_steps_come_go_and_move(name: str, sentence: str, outline: dict[str, list[str] | None] | None) -> None:
    """None in the outline: a step that is gone; None in its place: the steps are those of the same with a name."""
    found = edited(name, sentence)
    assert found.complete, asked(found)
    assert found.revision is not None
    before = {step.id: step.needs for step in draft_of(name).definition.steps}
    after = {step.id: step.needs for step in found.revision.draft.definition.steps}
    changed = {id_: after.get(id_) for id_ in (*before, *after) if before.get(id_) != after.get(id_)}

    assert changed == (outline or {"hold": ["analyst.rejected"], "block": ["analyst.timeout"]})


@pytest.mark.parametrize(
    ("name", "sentence", "words"),
    [
        (CARDS, "Wait 10 minutes.", "Wait 10 minutes"),
        (CARDS, "Ask the board within 1 day.", "Ask the board"),
        (CARDS, "Lower the limit to 800 euros.", "50000"),
        (CARDS, "Only when the amount is above 1000.", "cents"),
        (CARDS, "Only when the amount is below 1000 euros.", "event.amount_cents > 50000"),
        (CARDS, "If they reject it, hold the payment.", "`block` already"),
        (CARDS, "After the analyst, log 'x'.", "any decision"),
        (CARDS, "After the score, score it.", "`analyst`, wait"),
        (CARDS, "Block it instead of approving it.", "approving it"),
        (CARDS, "Remove the analyst.", "`block`"),
        (CARDS, "Remove the time limit.", "analyst"),
        (CARDS, "Remove the customer.", "the customer"),
        (CARDS, "Retry the scoring twice.", "first time included"),
        (CARDS, "Raise the limit to 800 dollars and a half.", "Raise"),
        (CARDS, "Rename analyst to score.", "already"),
        (CARDS, "Only ask the analyst if the amount is above 900 euros.", "skipped"),
        (ORDERS, "Wait 5 days for the payment.", "limits"),
        (ORDERS, "Wait longer for the payment.", "How long"),
        (CARDS, "Only block payments above 900 euros.", "block"),
        (ORDERS, "Shorten the second wait to 4 days.", "2d"),
        (ORDERS, "Shorten the second wait by 1 day.", "afterwards"),
        (ORDERS, "After the payment is received, log 'x'.", "`money`, `second`"),
        (ORDERS, "Remind the customer after the second wait.", "second.timeout"),
        (ORDERS, "Move ship after remind.", "several"),
        (ORDERS, "Make it nicer.", "Make it nicer"),
        (ORDERS, "Do not ship fragile orders.", "fragile"),
        (ORDERS, "Remove ship if it is fragile.", "does not hold"),
        (ORDERS, "Remove ship or remind.", "ship or remind"),
        (CARDS, "Ask the analysts again within 2 hours.", "again"),
        (CARDS, "Set the amount to 800 euros.", "Set the amount"),
        (CARDS, "Rename analyst to team in the diagram.", "new name"),
        (CARDS, "Give the analysts an hour on weekends.", "weekends"),
        (CARDS, "Ask the analysts within an hour or two.", "or two"),
        (CARDS, "Only when the payment is not authorised.", "not"),
        (CARDS, "Block it only for customers from DE.", "customers"),
        (TICKETS, "Remove the escalation.", "Several steps"),
        (TICKETS, "If the ticket is urgent, also log 'x'.", "Several steps"),
        (PARCELS, "When the parcel comes, log 'x'.", "arrival.returned"),
        (PARCELS, "Give the parcels 10 days.", "Give the parcels"),
        (PARCELS, "Only for parcels from customers.", "customers"),
        (PARCELS, "Change the limit to 2 weeks.", "says so already"),
        (CARDS, "Remove the analyst.", "without that the draft has an error: there is no step `analyst`"),
        (PARCELS, "Rename lost to report_lost and send the police.", "new name"),
    ],
)
def test_what_is_not_clear_is_asked_and_nothing_is_changed(name: str, sentence: str, words: str) -> None:
    found = edited(name, sentence)

    assert not found.complete
    assert found.revision is None
    assert found.operations == ()
    assert any(words in text for text in asked(found)), asked(found)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        (CARDS, "If they reject it, hold the payment."),
        (CARDS, "After the analyst, log 'x'."),
        (CARDS, "Only when the amount is above 1000."),
        (CARDS, "Retry the scoring twice."),
        (ORDERS, "Wait 5 days for the payment."),
        (TICKETS, "Remove the escalation."),
    ],
)
def test_an_answer_that_is_offered_answers_the_question(name: str, sentence: str) -> None:
    for question in edited(name, sentence).questions:
        assert question.choices
        for choice in question.choices:
            assert choice.sentence is not None
            assert edited(name, choice.sentence).complete, choice


PIECES = (
    "change the time limit", "to 2 hours", "of score", "remove", "rename", "analyst", "block", "approve it", "after",
    ",",
    "before", "if nobody answers", "instead of", "also", "only if", "the amount is above 900 euros", "hold the payment",
    "score it", "wait 2 days", "ask the board within 1 day", "and", ".", "not", "unless", "when it fails", "first",
    "'x'",
    "log", "from 500", "with reason", "between", "move", "set", "to", "twice", "xyzzy",
)  # fmt: skip


@settings(max_examples=examples(150), deadline=None)
@given(st.lists(st.sampled_from(PIECES), min_size=1, max_size=7))
def test_whatever_is_said_nothing_is_invented_and_nothing_else_is_touched(pieces: list[str]) -> None:
    draft, known = draft_of(CARDS), catalog(CATALOGS[CARDS])
    sentence = " ".join(pieces).replace(" ,", ",")
    found = edit(sentence, draft, known)

    assert found == edit(sentence, draft, known)
    assert len(found.questions) <= MOST
    assert found.complete or (asked(found) and found.revision is None and not found.operations)
    if found.revision is None:
        return
    after = found.revision.draft
    old, new = ({step["id"]: step for step in one.content["steps"]} for one in (draft, after))
    assert all(after.step_text(id_) == draft.step_text(id_) for id_ in old if id_ in new and same(old[id_], new[id_]))
    assert not [one for one in problems_of(after, known) if one.severity == "error"]
    assert set(event_names(after.definition)) <= {one.name for one in known.events}
    assert set(operation_names(after.definition)) <= {one.name for one in known.operations}


@pytest.mark.parametrize("place", range(6))
def test_a_word_that_means_nothing_is_asked_about(place: int) -> None:
    words = ["Only", "when", "the", "amount", "is", "above", "1000", "euros"]
    assert not edited(CARDS, " ".join([*words[: place + 1], "xyzzy", *words[place + 1 :]])).complete


@pytest.mark.parametrize(
    "sentence",
    [
        "",
        " \n",
        ".",
        "and",
        "rename to",
        "if",
        "after",
        "instead of",
        "remove",
        "'" * 3000,
        "change " * 2000,
        "\u202e\u0000",
    ],
)
def test_no_text_breaks_it(sentence: str) -> None:
    found = edited(CARDS, sentence)

    assert not found.complete
    assert found.questions
    assert len(sentence) <= LONGEST or found.operations == ()
