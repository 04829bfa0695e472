"""What is said of an expression that failed: the part, and the kinds of its values."""

from __future__ import annotations

from typing import Any

import pytest

from streamflow.definition.expression import compile_expression
from streamflow.definition.expression_diagnosis import DIAGNOSIS_CHARS
from streamflow.definition.plan import ExpressionError

SECRET = "s3cret-value"
VARIABLES: dict[str, Any] = {
    "trigger": {
        "order": {"amount": SECRET, "none": None},
        "lines": [{"price": 1}, {"price": SECRET}, {}],
        "map": {"a": 1},
        "zero": 0,
    },
    "steps": {},
    "errors": {},
    "now": 0,
}


def told(source: str, method: str = "evaluate") -> str:
    expression = compile_expression(source)
    with pytest.raises(ExpressionError) as failed:
        getattr(expression, method)(VARIABLES)
    text = expression.diagnosis(VARIABLES, failed.value)
    assert text == expression.diagnosis(VARIABLES, failed.value)
    assert SECRET not in text
    assert len(text) <= DIAGNOSIS_CHARS
    return text


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("trigger.amount", "`trigger` has no field `amount`"),
        ("trigger.order.zip + 1", "`trigger.order` has no field `zip`"),
        ("{'a': [1, trigger.order.zip]}", "`trigger.order` has no field `zip`"),
        ("trigger.order.amount.x", "`trigger.order.amount` (a text) has no field `x`"),
        ("has(trigger.order.amount.x)", "`trigger.order.amount` (a text) has no field `x`"),
        ("trigger.order.none.x", "`trigger.order.none` (null) has no field `x`"),
        ("steps.pay.id", "step `pay` has no output here"),
        ("errors.pay.code", "step `pay` has no error here"),
        ("trigger.lines[7]", "`trigger.lines` (a list of 3 items) has no item `7`"),
        ("trigger.map['b']", '`trigger.map` (a group of fields) has no field `"b"`'),
        ("trigger.map[trigger.order.amount]", "has no field `trigger.order.amount` (a text)"),
        ("trigger.?order.?zip.value()", "`trigger.?order.?zip` is absent"),
        ("trigger.order.amount + 1", "`+` was given `trigger.order.amount` (a text) and `1`"),
        ("-trigger.order.amount", "`-` was given `trigger.order.amount` (a text)"),
        ("now + trigger.zero", "`+` was given `now` (a timestamp) and `trigger.zero` (a whole number)"),
        ("1 / (trigger.map.a - 1)", "`/` was given `1` and `trigger.map.a - 1` (a whole number)"),
        ("int(trigger.order.amount)", "`int(...)` was given `trigger.order.amount` (a text)"),
        ("timestamp(trigger.order.amount)", "`timestamp(...)` was given `trigger.order.amount` (a text)"),
        ("math.greatest(trigger.order.amount, 3)", "`math.greatest(...)` was given `trigger.order.amount` (a text)"),
        ("trigger.order.amount in trigger.zero", "`in` was given `trigger.order.amount` (a text) and `trigger.zero`"),
        ("trigger.zero == 0 ? trigger.yes : trigger.no", "`trigger` has no field `yes`"),
        ("trigger.zero == 1 ? trigger.yes : trigger.no", "`trigger` has no field `no`"),
        ("trigger.a == 1 && trigger.zero == 1 || trigger.b == 2", "`trigger` has no field `b`"),
        ("cel.bind(x, trigger.a, (x || trigger.zero == 1) ? 1 : -trigger.map)", "`trigger` has no field `a`"),
        ("cel.bind(x, 1 / trigger.zero, (x == 1 || true) ? trigger.b : 1)", "`trigger` has no field `b`"),
        ("trigger.zero && trigger.b == 2", "`&&` was given `trigger.zero` (a whole number) and `trigger.b == 2`"),
        ("cel.bind(x, trigger.order.amount, x + 1)", "`+` was given `x` (a text) and `1`"),
        ("trigger.?order", "`trigger.?order` gives an optional value (end it with orValue)"),
    ],
)
def test_the_part_that_failed_is_named_with_the_kinds_of_its_values(source: str, text: str) -> None:
    assert text in told(source)


@pytest.mark.parametrize(
    ("source", "text"),
    [
        (
            "trigger.lines.map(l, l.price * 2)",
            "`*` was given `l.price` (a text) and `2`, at position 1 of `trigger.lines`",
        ),
        (
            "trigger.lines.exists(l, l.price > 5)",
            "`>` was given `l.price` (a text) and `5`, at position 1 of `trigger.lines`",
        ),
        ("trigger.lines.filter(l, l.price == 1)", "`l` has no field `price`, at position 2 of `trigger.lines`"),
        ("trigger.lines.sortBy(l, l.price)", "`l` has no field `price`, at position 2 of the list"),
        (
            "trigger.map.all(k, trigger.map[k] > 'a')",
            '`>` was given `trigger.map[k]` (a whole number) and `"a"`, in `trigger.map`',
        ),
        (
            "trigger.lines.map(l, [2].map(k, l.price + k))",
            "`+` was given `l.price` (a text) and `k` (a whole number), at position 0 of `[2]`, at position 1 of "
            "`trigger.lines`",
        ),
    ],
)
def test_a_failure_in_a_loop_names_the_item_by_its_position(source: str, text: str) -> None:
    assert told(source) == text


@pytest.mark.parametrize(
    ("source", "method", "kind"),
    [
        ("trigger.order.amount", "holds", "a text"),
        ("trigger.order.amount", "instant_ms", "a text"),
        ("trigger.lines", "holds", "a list of 3 items"),
        ("trigger.order", "holds", "a group of fields"),
    ],
)
def test_a_result_of_the_wrong_kind_is_named_by_its_kind(source: str, method: str, kind: str) -> None:
    assert told(source, method) == f"`{source}` gives {kind}"


@pytest.mark.parametrize(
    "source",
    [
        f"trigger.order.amount + {' + '.join(['1'] * 28)}",
        f"trigger.map['{'x' * 5_000}']",
        "lists.range(200000).map(x, x + trigger.order.amount)",
        "lists.range(100000).map(x, x).size() + trigger.order.amount",
    ],
)
def test_long_and_costly_expressions_are_told_in_few_words(source: str) -> None:
    assert told(source)


def test_an_expression_that_used_up_its_budget_has_no_part_to_blame() -> None:
    assert told("lists.range(100000).map(x, [x, x, x, x, x, x].map(y, y * 2)).size()") == ""
