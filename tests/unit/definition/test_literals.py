"""A text that is taken as it is, where its author may have meant an expression."""

from __future__ import annotations

from typing import Any

import pytest

from streamflow.definition.catalog import Catalog
from streamflow.definition.check import check
from streamflow.definition.literals import looks_like_expression
from streamflow.definition.syntax import parse_definition
from streamflow.errors import DefinitionError
from tests.builders import a_definition

EXPRESSIONS = [
    "trigger.invoice.vendorId",
    "steps.look.who",
    "event['x']",
    "item.approver",
    "run.key + '@example.com'",
    "'accounting'",
    "string(5)",
    "${trigger.who}",
    "{{inputs.who}}",
]
NAMES = [
    "anna",
    "accounting",
    "anna.smith",
    "trigger",
    "steps",
    "the trigger team",
    "item",
    "run-by-night",
    "O'Hara",
    "a(b)",
]


@pytest.mark.parametrize(
    ("text", "expected"), [*((one, True) for one in EXPRESSIONS), *((one, False) for one in NAMES)]
)
def test_expressions_are_told_from_names(text: str, expected: bool) -> None:
    assert looks_like_expression(text) == expected


def problems(who: list[str], source: str | None = None) -> list[tuple[str, str, str]]:
    events: list[dict[str, Any]] = [{"name": "placed", "topics": ["orders"], "source": source}]
    definition = a_definition(
        {"id": "ask", "approval": {"text": "'ok?'", "who": who, "within": "1h"}},
        {"id": "late", "needs": ["ask.timeout"], "print": {"text": "'late'"}},
    )
    found = check(definition, Catalog.model_validate({"events": events}))
    return [(one.severity, one.pointer, one.message) for one in found if one.code == "SF292"]


@pytest.mark.parametrize("who", EXPRESSIONS)
def test_an_expression_as_a_name_is_warned_of(who: str) -> None:
    ((severity, pointer, message),) = problems(["anna", who])
    assert (severity, pointer) == ("warning", "/steps/0/approval/who/1")
    assert message == f"`{who}` looks like an expression, but is asked as the name of a person or group as it stands."


def test_names_are_not_warned_of() -> None:
    assert problems(NAMES) == []


def test_an_expression_as_the_source_of_an_event_is_warned_of() -> None:
    ((severity, _, message),) = problems(["anna"], "event.shop")
    assert severity == "warning"
    assert message == "the source of the event `placed` looks like an expression, but counts as the text `event.shop`."
    assert problems(["anna"], "shop.example") == []


@pytest.mark.parametrize(
    ("step", "pointer"),
    [
        ("approval: {text: run.key, who: [anna], within: trigger.days + 'd'}", "/steps/0/approval/within"),
        ("wait: {events: [{id: a, event: paid}], within: trigger.limit}", "/steps/0/wait/within"),
        ("delay: {for: trigger.pause}", "/steps/0/delay/for"),
        ("call: {operation: a.b, timeout: trigger.t}", "/steps/0/call/timeout"),
        ("call: {operation: a.b, retry: {attempts: trigger.n}}", "/steps/0/call/retry/attempts"),
        ("{each: {items: '[1]', at_once: trigger.n}, call: {operation: a.b}}", "/steps/0/each/at_once"),
    ],
)
def test_an_expression_in_the_place_of_a_fixed_value_is_told(step: str, pointer: str) -> None:
    body = step[1:-1] if step.startswith("{") else step
    with pytest.raises(DefinitionError) as caught:
        parse_definition(f"name: a\nversion: '1'\non: []\nsteps:\n- {{id: s, {body}}}\n")
    (found,) = caught.value.problems
    assert (found.pointer, found.fix) == (
        pointer,
        "Expressions are not evaluated here. Write the value itself.",
    )
