"""Exact decimals: what the check takes, what they give."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamflow.definition.expression import compile_expression
from streamflow.definition.plan import ExpressionError
from streamflow.errors import DefinitionError

MONEY = st.decimals(-(10**12), 10**12, places=4, allow_nan=False).map(lambda value: format(value, "f"))


def value_of(source: str, **event: Any) -> Any:
    return compile_expression(source).evaluate({"event": event})


def error_of(source: str, **event: Any) -> str:
    with pytest.raises(ExpressionError) as caught:
        value_of(source, **event)
    return caught.value.code


@pytest.mark.parametrize(
    "source",
    [
        "decimal('1') + 1.5",
        "1.5 * decimal('1')",
        "decimal('1') < 1.5",
        "decimal('1') == 1.5",
        "decimal('1') == 1",
        "decimal('1') in [1.5]",
        "decimal('1') + 'a'",
        "decimal('1') % decimal('2')",
        "[decimal('1'), decimal('2')].sum() + 1.5",
        "decimal('1').round('2')",
        "decimal('1').digits",
        "event.a ? decimal('1') : 1.5",
    ],
)
def test_the_check_refuses_what_is_not_exact(source: str) -> None:
    with pytest.raises(DefinitionError) as caught:
        compile_expression(source)
    assert {problem.code for problem in caught.value.problems} <= {"SF270", "SF271"}


@pytest.mark.parametrize(
    "source",
    ["decimal('1') + event.x", "event.x < decimal('1')", "decimal('1') == event.x", "decimal('1') in [event.x]"],
)
def test_a_double_of_the_data_is_refused_where_a_whole_number_is_taken(source: str) -> None:
    assert error_of(source, x=1.5) == "no_overload"
    assert value_of(source, x=1) is not None


@pytest.mark.parametrize(
    ("source", "value"),
    [
        ("decimal('0.1') + decimal('0.2')", "0.3"),
        ("decimal('0.10') * 3", "0.30"),
        ("decimal(0.1) + decimal(event.d)", "19900.65"),
        ("decimal(event.i)", "-7"),
        ("decimal(10.0)", "10.0"),
        ("decimal('1e3')", "1000"),
        ("decimal('-0')", "0"),
        ("decimal('.5') - 1", "-0.5"),
        ("decimal('1.00') / 4", "0.25"),
        ("decimal('1.00') / 1", "1.00"),
        ("decimal('2') / 3", "0.666666666666666667"),
        ("decimal('-2') / 3", "-0.666666666666666667"),
        ("decimal('1') / decimal('1e18') / 2", "0.000000000000000000"),
        ("decimal('3') / decimal('1e18') / 2", "0.000000000000000002"),
        ("decimal('0.125').round(2)", "0.12"),
        ("decimal('0.135').round(2)", "0.14"),
        ("decimal('-0.125').round(2, 'half_up')", "-0.13"),
        ("decimal('1').round(3)", "1.000"),
        ("decimal('200').divide(3, 2, 'down')", "66.66"),
        ("decimal('-200').divide(3, 2, 'up')", "-66.67"),
        ("decimal('1').divide(decimal('8'), 2)", "0.12"),
        ("decimal('1') > decimal('0.5') && decimal('1.0') >= 1 && 2 > decimal('1.5')", True),
        ("decimal('1.0') == decimal('1')", True),
        ("decimal('1.0') in [decimal('1')]", True),
        ("[decimal('1.0'), decimal('1')].distinct().size()", 1),
        ("[decimal('2'), decimal('1.5')].sort()", ["1.5", "2"]),
        ("event.l.sortBy(x, decimal(x))", ["1.1", "1.25", "10"]),
        ("event.l.map(x, decimal(x)).sum()", "12.35"),
        ("event.l.map(x, decimal(x)).avg()", "4.116666666666666667"),
        ("event.l.map(x, decimal(x)).min()", "1.1"),
        ("'%s %d %.1f'.format([decimal('1.50'), decimal('2.5'), decimal('0.25')])", "1.50 2.5 0.2"),
        ("string(decimal('100000000000000000000000.00'))", "100000000000000000000000.00"),
        ("type(decimal('1')) == type(decimal('2'))", True),
        ("{'total': decimal('1.50'), 'all': [decimal('2')]}", {"total": "1.50", "all": ["2"]}),
    ],
)
def test_arithmetic_is_exact(source: str, value: Any) -> None:
    assert value_of(source, d=19900.55, i=-7, l=["10", "1.1", "1.25"]) == value


@pytest.mark.parametrize(
    ("source", "code"),
    [
        ("decimal(null)", "no_overload"),
        ("decimal('')", "invalid_value"),
        ("decimal('1,5')", "invalid_value"),
        ("decimal(' 1')", "invalid_value"),
        ("decimal('NaN')", "invalid_value"),
        ("decimal(1.0 / 0.0)", "invalid_value"),
        ("decimal('1') / 0", "division_by_zero"),
        ("decimal('1').divide(0, 2)", "division_by_zero"),
        ("decimal('1').round(-1)", "out_of_range"),
        ("decimal('1').round(101)", "out_of_range"),
        ("decimal('1').round(2, 'up and down')", "invalid_value"),
        ("decimal('1e99') * 10", "out_of_range"),
        ("decimal('1e-99') / 10 * decimal('0.1') * decimal('1e-99')", "out_of_range"),
        ("int(decimal('1e30'))", "out_of_range"),
    ],
)
def test_what_is_no_decimal_or_too_long_fails(source: str, code: str) -> None:
    assert error_of(source) == code


def test_a_decimal_of_the_data_keeps_its_digits() -> None:
    long = Decimal("0.12345678901234567890123")
    assert value_of("event.x", x=long) == str(long)
    assert value_of("string(event.x + decimal('1'))", x=long) == "1.12345678901234567890123"
    assert error_of("event.x", x=Decimal("NaN")) == error_of("event.x", x=Decimal("1e400")) == "out_of_range"


@given(MONEY, MONEY)
def test_it_calculates_as_fractions_do(one: str, two: str) -> None:
    def of(operator: str) -> Fraction:
        return Fraction(value_of(f"decimal(event.a) {operator} decimal(event.b)", a=one, b=two))

    a, b = Fraction(one), Fraction(two)
    assert of("+") == a + b
    assert of("-") == a - b
    assert of("*") == a * b
    if b:
        assert abs(of("/") - a / b) <= Fraction("0.5e-18")
    assert value_of("decimal(event.a) < decimal(event.b)", a=one, b=two) is (a < b)
    assert value_of("string(decimal(event.a))", a=one) == (one if a else "0.0000")


def test_maps_are_compared_in_the_order_of_their_keys_however_they_were_decoded() -> None:
    source = "event.m == {'x': decimal('1'), 'y': 2}"
    for m in ({"x": 1.5, "y": 3}, {"y": 3, "x": 1.5}):
        assert error_of(source, m=m) == "no_overload"
    source = "event.m == {'y': decimal('1'), 'x': 2}"
    for m in ({"x": 3, "y": 1.5}, {"y": 1.5, "x": 3}):
        assert value_of(source, m=m) is False
