"""What is asked rather than guessed: which operation is meant where the verb is not its own, what is left of a
sentence, and what a number means."""

from __future__ import annotations

import pytest

from streamflow.authoring.drafter.drafted import Drafted
from streamflow.authoring.drafter.drafter import draft
from streamflow.authoring.editor.editor import edit
from streamflow.definition.syntax import parse_catalog
from tests.unit.authoring.edit_sentences import draft_of
from tests.unit.authoring.sentences import catalog
from tests.unit.authoring.test_drafter import definition_of

SHOP = parse_catalog("""
events:
  - name: ticket.opened
    title: A ticket is opened
    topics: [tickets]
    key: {path: ticket}
    schema:
      type: object
      required: [ticket, amount]
      properties: {ticket: {type: string}, amount: {type: number}, priority: {enum: [low, high]}}
  - name: ticket.closed
    title: A ticket is closed
    topics: [tickets]
    key: {path: ticket}
    schema: {type: object, required: [ticket], properties: {ticket: {type: string}}}
  - {name: alarm.raised, topics: [alarms], schema: {type: object}}
operations:
  - {name: crm.erase, title: Erase a customer and all orders}
  - {name: crm.erase_address}
  - {name: store.get_address}
  - {name: shop.cancel_order, title: Cancel an order of parts}
  - {name: billing.find, title: Retrieve an invoice}
  - {name: mail.send, title: Send a mail}
  - {name: asset.delete, title: Delete an asset}
  - {name: asset.create, title: Create an asset}
  - {name: tracker.create_issue, title: Create an issue}
  - {name: notes.retrieve, title: Retrieve the notes of an issue}
  - {name: queue.send_record, title: Send a record to a queue}
  - {name: topic.send_notice, title: Send a notice}
  - {name: voice.send_call, title: Send a voice message}
  - {name: fax.send_page, title: Send a page}
  - {name: slack_message.create, title: Create a message in Slack}
""")


def drafted_of(rest: str) -> Drafted:
    return draft(f"when a ticket is opened, {rest}", SHOP)


def called(found: Drafted) -> list[str]:
    """The operations that the draft calls."""
    return [step.call.operation for step in definition_of(found).steps if step.call is not None] if found.text else []


@pytest.mark.parametrize(
    "rest",
    [
        "get the customer",
        "check the orders of the customer",
        "look at the customer",
        "call the customer",
        "to the customer",
        "the customer",
        "erase the weather",
        "order the parts",
        "order it",
        "open the order",
        "check the address",
        "start the order of parts",
        "get the ticket",
    ],
)
def test_an_object_alone_does_not_say_what_is_done_to_it(rest: str) -> None:
    found = drafted_of(rest)

    assert called(found) == []
    assert any(question.blocks for question in found.questions)


@pytest.mark.parametrize(
    ("rest", "operation"),
    [
        ("erase the customer", "crm.erase"),
        ("delete the customer", "crm.erase"),
        ("erase the address", "crm.erase_address"),
        ("get the address", "store.get_address"),
        ("fetch the address", "store.get_address"),
        ("get the invoice", "billing.find"),
        ("obtain the invoice", "billing.find"),
        ("cancel the order", "shop.cancel_order"),
        ("make a new issue", "tracker.create_issue"),
        ("make an asset", "asset.create"),
        ("retrieve the notes of the issue", "notes.retrieve"),
    ],
)
def test_a_verb_that_says_the_same_says_what_is_done(rest: str, operation: str) -> None:
    found = drafted_of(rest)

    assert found.complete, found.questions
    assert called(found) == [operation]


@pytest.mark.parametrize(
    ("rest", "offered"),
    [
        ("get the customer", ["crm.erase"]),
        ("send a slack message", ["slack_message.create", "voice.send_call"]),
        ("dance", []),
        ("get it", []),
    ],
)
def test_what_is_offered_has_the_most_of_what_was_said(rest: str, offered: list[str]) -> None:
    (question,) = drafted_of(rest).questions

    assert sorted(one.text for one in question.choices) == sorted(offered)
    assert ("add one to the catalog" in question.text) == (not offered)


def test_an_edit_asks_too_what_is_done_to_an_object() -> None:
    found = edit("if nobody answers, get the customer", draft_of("card-check"), SHOP, judged=catalog("fraud-detection"))

    assert not found.complete
    (question,) = found.questions
    assert question.text.startswith("The catalog has no operation and no event for `get the customer`.")


@pytest.mark.parametrize(
    ("rest", "field", "value"),
    [
        ("send a mail within 5 minutes", "within", "5m"),
        ("try to send a mail three times", "attempts", 3),
        ("try sending a mail at most 3 times", "attempts", 3),
        ("try to send a mail twice within 1 hour", "attempts", 2),
    ],
)
def test_the_limits_of_a_call_are_drafted(rest: str, field: str, value: object) -> None:
    found = drafted_of(rest)
    assert found.complete, found.questions
    (step,) = definition_of(found).steps

    assert step.call is not None
    assert step.call.operation == "mail.send"
    has = step.call.within if field == "within" else step.call.retry.attempts if step.call.retry is not None else None
    assert has == value


def test_an_answer_keeps_the_limits_that_were_said() -> None:
    for limited in ("get the customer within 5 minutes", "try to get the customer three times"):
        (question,) = drafted_of(limited).questions

        assert [one.text for one in question.choices] == ["crm.erase"]
        (sentence,) = [one.sentence or "" for one in question.choices]
        assert sentence == f"when a ticket is opened, {limited.replace('get the customer', 'call crm.erase')}"
        assert draft(sentence, SHOP).complete


@pytest.mark.parametrize(
    "rest",
    ["after 3 days send a mail", "after 3 days, send a mail", "send a mail after 3 days", "wait 3 days, send a mail"],
)
def test_what_is_done_after_a_time_waits_for_it(rest: str) -> None:
    found = drafted_of(rest)
    assert found.complete, found.questions
    pause, send = definition_of(found).steps

    assert pause.delay is not None
    assert pause.delay.duration == "3d"
    assert send.needs == [pause.id]


def test_a_time_after_a_question_without_a_limit_is_asked_about() -> None:
    found = drafted_of("ask an analyst, after 3 days erase the customer")
    (question,) = [one for one in found.questions if one.blocks]

    assert question.text == "From when does `after 3 days` count?"
    assert [one.text for one in question.choices] == [
        "if nothing comes within 3 days",
        "3 days after that has gone well",
    ]
    assert all(draft(one.sentence or "", SHOP).complete for one in question.choices)


@pytest.mark.parametrize(
    ("rest", "left"),
    [
        ("send a mail for 5 minutes", "for 5 minutes"),
        ("send a mail three times", "three times"),
        ("send a mail by train", "by train"),
        ("send a mail every day", "every day"),
        ("quickly send a mail", "quickly"),
        ("try to send a mail", "try to"),
        ("publish alarm.raised within 5 minutes", "within 5 minutes"),
    ],
)
def test_what_is_not_understood_beside_an_action_is_named(rest: str, left: str) -> None:
    (question,) = drafted_of(rest).questions
    name = "alarm.raised" if "alarm" in rest else "mail.send"

    assert question.text == f"`{name}` is understood, but not `{left}`. Leave it out?"
    assert [one.text for one in question.choices] == [f"leave out `{left}`"]
    assert draft(question.choices[0].sentence or "", SHOP).complete


@pytest.mark.parametrize(
    "sentence",
    [
        "when a ticket is not opened, send a mail",
        "when a ticket is never opened, send a mail",
        "when a ticket is opened, do not send a mail",
        "when a ticket is opened, never erase a customer",
        "when a ticket is opened more than 3 times, send a mail",
        "when a ticket is opened, send a postcard within 5 minutes",
        "when a ticket is opened, record it 3 times",
        "when the parcel is lost within 5 minutes, send a mail",
    ],
)
def test_no_answer_drops_a_negation_a_limit_or_a_count_unsaid(sentence: str) -> None:
    found = draft(sentence, SHOP)

    assert not found.complete
    for choice in (one for question in found.questions for one in question.choices):
        dropped = {word for word in ("not", "never", "3", "5") if word in sentence.split()}
        dropped -= set((choice.sentence or "").split())
        assert all(word in choice.text for word in dropped), choice


def test_two_events_of_which_one_does_not_come_start_a_wait() -> None:
    found = draft("when a ticket is opened and not closed within 2 hours, send a mail", SHOP)
    assert found.complete, found.questions
    wait, send = definition_of(found).steps

    assert wait.wait is not None
    assert wait.wait.within == "2h"
    assert send.needs == [f"{wait.id}.timeout"]


def test_only_if_is_a_condition() -> None:
    found = drafted_of("send a mail only if the amount is above 5")
    assert found.complete, found.questions
    check, _ = definition_of(found).steps

    assert check.choose is not None
    assert check.choose[0].if_ == "trigger.amount > 5"


@pytest.mark.parametrize(
    ("written", "meanings"),
    [
        ("1.000", ["1000", "1"]),
        ("2.500", ["2500", "2.5"]),
        ("100.000", ["100000", "100"]),
        ("2,5", ["2.5"]),
        ("1.000,50", ["1000.50"]),
    ],
)
def test_a_number_that_may_be_another_one_is_asked_about(written: str, meanings: list[str]) -> None:
    for sentence, found in (
        (text := f"when a ticket with an amount over {written} is opened, send a mail", draft(text, SHOP)),
        (text := f"raise the limit from 500 to {written}", edit(text, draft_of("card-check"), SHOP)),
    ):
        assert not found.complete
        (question,) = found.questions
        assert question.text == f"Is `{written}` {' or '.join(meanings)}?"
        assert [one.sentence for one in question.choices] == [sentence.replace(written, one) for one in meanings]


@pytest.mark.parametrize(
    ("written", "number"),
    [("1,000", "1000"), ("1.000.000", "1000000"), ("1,000.50", "1000.5"), ("0.500", "0.5"), ("12.5", "12.5")],
)
def test_other_numbers_mean_one_thing(written: str, number: str) -> None:
    found = draft(f"when a ticket with an amount over {written} is opened, send a mail", SHOP)

    assert found.complete, found.questions
    assert definition_of(found).on[0].where == f"event.amount > {number}"


def test_a_condition_that_no_field_has_is_asked_about() -> None:
    (question,) = drafted_of("if the moon is full, send a mail").questions

    assert question.text == "What does `the moon is full` refer to? The catalog has no field for it."


def test_a_length_of_time_that_is_none_is_asked_about() -> None:
    (question,) = drafted_of("wait 2 business days, then send a mail").questions

    assert question.text == "How long is `2 business days`? Say it as a length of time, such as `2 days`."
    assert question.choices == ()


def test_of_many_events_those_are_offered_that_have_something_of_what_was_said() -> None:
    named = ["alarm.raised", "door.opened", "engine.started", "fuse.blown", "parcel.delivered", "parcel.lost"]
    events = "\n".join(f"  - {{name: {name}, topics: [t], schema: {{type: object}}}}" for name in named)
    many = parse_catalog(f"events:\n{events}\noperations:\n  - {{name: mail.send, title: Send a mail}}\n")

    (question,) = draft("when a parcel is stolen, send a mail", many).questions
    assert [one.text.partition(",")[0] for one in question.choices][:2] == ["parcel.delivered", "parcel.lost"]
    found = draft("when alarm.raised comes, wait for the stolen parcel within 1 day, send a mail", many).questions
    assert [[one.text for one in question.choices] for question in found if question.blocks] == [
        ["parcel.delivered", "parcel.lost"]
    ]
    (question,) = draft("when alarm.raised comes, wait for the weather within 1 day", many).questions
    assert question.choices == ()
    assert "add one to the catalog" in question.text
