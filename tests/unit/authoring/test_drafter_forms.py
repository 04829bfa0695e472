"""Ways to say one thing: what a field is given, that there is no limit, and an event that is named by its coming."""

from __future__ import annotations

import pytest

from streamflow.authoring.drafter.drafter import draft
from streamflow.definition.catalog import Catalog
from streamflow.definition.syntax import parse_catalog
from tests.unit.authoring.sentences import catalog
from tests.unit.authoring.test_drafter import FRAUD, HELP, ORDERS, definition_of

SHIPS = parse_catalog("""
events:
  - name: ship.left
    title: A ship has put to sea
    topics: [ships]
    match: {path: type, equals: left}
    key: {path: ship}
    schema: &moved {type: object, required: [type, ship], properties: {type: {type: string}, ship: {type: string}}}
  - {name: ship.arrived, topics: [ships], match: {path: type, equals: arrived}, key: {path: ship}, schema: *moved}
  - name: ship.missed
    topics: [alarms]
    schema: {type: object, required: [ship], properties: {ship: {type: string}}}
""")


def data_of(sentence: str, events: Catalog, step: str) -> dict[str, str]:
    """What the step is given, by name."""
    drafted = draft(sentence, events)
    assert drafted.complete, [question.text for question in drafted.questions]
    found = next(one for one in definition_of(drafted).steps if one.id == step)
    given = found.emit.data if found.emit is not None else found.call.with_ if found.call is not None else []
    return {one.name: one.expr for one in given}


@pytest.mark.parametrize(
    ("name", "sentence", "step", "field", "expr"),
    [
        (
            HELP,
            "When a ticket is opened, classify it, then escalate it with the topic as reason.",
            "escalate",
            "reason",
            "steps.classify.topic",
        ),
        (
            HELP,
            "When a ticket is opened, close it with the subject as the reason.",
            "close",
            "reason",
            "trigger.subject",
        ),
        (
            HELP,
            "When a ticket is opened, send a mail to the customer, with subject 'seen' and the priority as body.",
            "send",
            "body",
            "trigger.priority",
        ),
        (FRAUD, "When a payment is authorised, block it by rules.", "block", "by", "'rules'"),
        (
            FRAUD,
            "When a payment is authorised, score it, then hold it, with the reasons of the score.",
            "hold",
            "reasons",
            "steps.score.reasons",
        ),
    ],
)
def test_what_a_field_is_given_is_said_in_several_ways(
    name: str, sentence: str, step: str, field: str, expr: str
) -> None:
    assert data_of(sentence, catalog(name), step)[field] == expr


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        (FRAUD, "When a payment is authorised, block it by magic."),
        (HELP, "When a ticket is opened, close it by mistake."),
        (HELP, "When a ticket is opened, escalate it with the colour as reason."),
        (FRAUD, "When a payment is authorised, score it, then hold it, with the reasons of the weather."),
    ],
)
def test_what_names_nothing_of_the_catalog_is_asked(name: str, sentence: str) -> None:
    drafted = draft(sentence, catalog(name))

    assert not drafted.complete
    assert any(question.blocks for question in drafted.questions)


@pytest.mark.parametrize(
    "limit",
    [
        ", without a time limit",
        " without any limit",
        ", however long it takes",
        " as long as it takes",
        ", no matter how long it takes",
    ],
)
def test_that_there_is_no_limit_is_understood(limit: str) -> None:
    asked = draft(f"When a payment comes, ask an analyst{limit}; if they reject it, block it.", catalog(FRAUD))
    waited = draft(f"When an order is placed, wait for the payment{limit}. Then give up the order.", catalog(ORDERS))

    assert asked.complete, [question.text for question in asked.questions]
    approval = definition_of(asked).steps[0].approval
    assert approval is not None
    assert approval.forever
    wait = definition_of(waited).steps[0].wait
    assert wait is not None
    assert (wait.forever, wait.within) == (True, None)


@pytest.mark.parametrize("coming", ["it does not arrive within 2 days", "it has not arrived within 2 days"])
def test_an_event_may_be_named_by_its_coming(coming: str) -> None:
    drafted = draft(f"When a ship leaves and {coming}, publish ship.missed.", SHIPS)

    assert drafted.complete, [question.text for question in drafted.questions]
    waits = [step.wait for step in definition_of(drafted).steps if step.wait is not None]
    assert [event.event for wait in waits for event in wait.events] == ["ship.arrived"]
