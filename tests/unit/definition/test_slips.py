"""Common slips of authors: each is found, and its message says what to write."""

from __future__ import annotations

import pytest

from streamflow.definition.check import check
from streamflow.definition.syntax import parse_catalog, parse_definition
from streamflow.errors import DefinitionError, Problem

CATALOG = parse_catalog("""
events:
  - name: payment.made
    topics: [payments]
    key: {path: id}
    schema:
      type: object
      required: [id, amount, rate, open, flags, status]
      properties:
        id: {type: string}
        amount: {type: number}
        rate: {type: [number, "null"]}
        size: {type: [integer, number]}
        open: {type: [boolean, "null"]}
        flags: {type: array, items: {type: number}}
        status: {enum: [new, old]}
        any: {}
  - {name: payment.blocked, topics: [decided], schema: {type: object, properties: {id: {type: string}}}}
""")
DEFINITION = """
name: large-payment
version: "1"
on:
  - {id: made, event: payment.made, where: event.amount > 500}
steps:
  - id: look
    if: trigger.amount > 1
    approval:
      text: "'Is it right?'"
      who: [analysts]
      forever: true
  - id: way
    needs: [look.approved]
    choose: [{id: large, if: trigger.amount > 2}, {id: other}]
  - id: block
    needs: [look.rejected]
    emit: {event: payment.blocked, data: [{name: id, expr: trigger.id}]}
"""


def problems(old: str = "", new: str = "") -> list[Problem]:
    assert old in DEFINITION
    try:
        return list(check(parse_definition(DEFINITION.replace(old, new, 1)), CATALOG))
    except DefinitionError as error:
        return list(error.problems)


def errors(old: str, new: str) -> list[str]:
    return [one.code for one in problems(old, new) if one.severity == "error"]


def test_it_has_no_errors_without_a_slip() -> None:
    assert [one.code for one in problems() if one.severity == "error"] == []


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("event.amount > '500'", "`>` does not take `amount`, which is a number, and a text."),
        ("event.amount == '500'", "`==` does not take `amount`, which is a number, and a text."),
        ("'500' != event.amount", "`!=` does not take `amount`, which is a number, and a text."),
        ("event.rate == '5'", "`==` does not take `rate`, which is a number, and a text."),
        ("event.?size.hasValue() && event.size < '5'", "`<` does not take `size`, which is a number, and a text."),
        ("event.flags[0] < '5'", "`<` does not take `it`, which is a number, and a text."),
        ("event.amount == event.id", "`==` does not take `amount`, which is a number, and a text."),
        ("event.amount in ['500', '600']", "`in` does not take `amount`, which is a number, and a list of texts."),
        ("event.amount == true", "`==` does not take `amount`, which is a number, and true or false."),
        ("!event.amount", "`!` does not take `amount`, which is of type number."),
        ("event.amount > 5 && event.amount", "`&&` does not take `amount`, which is of type number."),
        ("event.amount ? true : false", "`? :` does not take `amount`, which is of type number."),
    ],
)
def test_a_number_is_no_text_and_no_condition(source: str, told: str) -> None:
    (problem,) = [one for one in problems("event.amount > 500", f'"{source}"') if one.severity == "error"]

    assert (problem.code, problem.message, problem.pointer) == ("SF271", told, "/on/0/where")
    assert problem.fix


@pytest.mark.parametrize(
    "source",
    [
        "event.amount > 500",
        "event.amount == 500.5",
        "event.amount in [500, 600.5]",
        "event.rate != null && event.rate > 5",
        "string(event.amount) == '500'",
        "event.open == true",
        "event.open != null && event.open",
        "has(event.size)",
        "has(event.size) && event.size > 1",
        "has(event.any) && event.any == 'x'",
        "event.amount > 5 ? event.status == 'new' : event.open == true",
        "event.flags.exists(one, one > 5)",
    ],
)
def test_what_goes_together_is_left_alone(source: str) -> None:
    assert errors("event.amount > 500", f'"{source}"') == []


@pytest.mark.parametrize(
    ("old", "new", "pointer"),
    [
        ("where: event.amount > 500", "where: event.amount", "/on/0/where"),
        ("where: event.amount > 500", "where: event.status", "/on/0/where"),
        ("where: event.amount > 500", "where: event.rate", "/on/0/where"),
        ("where: event.amount > 500", "where: event.flags", "/on/0/where"),
        ("if: trigger.amount > 1", "if: trigger.amount", "/steps/0/if"),
        ("if: trigger.amount > 2", "if: trigger.amount", "/steps/1/choose/0/if"),
    ],
)
def test_a_condition_is_true_or_false_by_its_declared_type(old: str, new: str, pointer: str) -> None:
    (problem,) = [one for one in problems(old, new) if one.severity == "error"]

    assert (problem.code, problem.pointer) == ("SF272", pointer)
    assert problem.message.startswith("expected true or false but the result is of type ")


LOGICAL = "Write && for and, || for or, ! for not."


@pytest.mark.parametrize(
    ("old", "new", "told", "fix"),
    [
        ("event.amount > 500", "event.amount > 5 and event.amount < 9", "`and` is not expected there", LOGICAL),
        ("event.amount > 500", "event.amount > 5 OR event.amount < 9", "`OR` is not expected there", LOGICAL),
        ("event.amount > 500", "not (event.amount > 5)", "`not` is no function", LOGICAL),
        ("event.amount > 500", "not event.amount > 5", "`event` is not expected there", LOGICAL),
        ("event.amount > 500", "event.amount <> 5", "`>` is not expected there", "Write !=."),
        (
            '''"'Is it right?'"''',
            "Is this right?",
            "`this` is not expected there",
            """A text needs quotes of its own within those of YAML: "'Is this right?'".""",
        ),
        ("expr: trigger.id", "expr: too late", "`late` is not expected", '''"'too late'"'''),
        ("who: [analysts]", "who: analysts", "expected a list", "Write a list: [analysts]."),
        ("needs: [look.approved]", "needs: look.approved", "expected a list", "Write a list: [look.approved]."),
        (
            "data: [{name: id, expr: trigger.id}]",
            "data: {id: trigger.id}",
            "expected a list",
            "Write a list: [{name: id, expr: trigger.id}].",
        ),
        (
            "data: [{name: id, expr: trigger.id}]",
            "data: {id: trigger.id, other: now}",
            "expected a list",
            "Write a list: [{name: id, expr: trigger.id}, ...].",
        ),
        (
            "- {id: made, event: payment.made, where: event.amount > 500}",
            "{id: made, event: payment.made}",
            "expected a list",
            "Write a list, with - before each of its items.",
        ),
        (
            "data: [{name: id, expr: trigger.id}]",
            "data: {name: id, expr: trigger.id}",
            "expected a list",
            "Write a list, with - before each of its items.",
        ),
        ("needs: [look.rejected]", "needs: [block]", "the step `block` needs itself.", "Take one of the needs away."),
    ],
)
def test_a_slip_is_told_with_what_to_write(old: str, new: str, told: str, fix: str) -> None:
    problem = next(one for one in problems(old, new) if one.severity == "error")

    assert told in problem.message
    assert fix in problem.fix


def test_steps_that_need_each_other_are_told_in_their_order() -> None:
    problem = next(one for one in problems("needs: [look.approved]", "needs: [way2]") if one.severity == "error")
    assert problem.code == "SF211"
    circle = DEFINITION.replace("needs: [look.approved]", "needs: [block]").replace("look.rejected", "way")
    (found,) = [one for one in check(parse_definition(circle), CATALOG) if one.code == "SF213"]
    assert "-> " in found.message
