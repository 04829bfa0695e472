"""Whole numbers that do not fit into 64 bits: every function takes them, or fails with a code of its own."""

from __future__ import annotations

import inspect
from decimal import Decimal
from itertools import product
from typing import Any

import pytest

from streamflow.definition.evaluator.budget import BYTES, STEPS
from streamflow.definition.evaluator.functions import FUNCTIONS
from streamflow.definition.expression import ERRORS, compile_expression
from streamflow.definition.plan import ExpressionError

LARGE = 123456789012345678901234567890
VALUES: tuple[Any, ...] = (
    LARGE,
    -LARGE,
    1 << 64,
    10**4000,
    1e308,
    -1,
    "abc",
    ["a", 1],
    [LARGE, 1.5],
    Decimal(2),
    {"a": 1},
)


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_no_function_fails_for_a_large_number_without_a_code(name: str) -> None:
    function = FUNCTIONS[name]
    parameters = list(inspect.signature(function).parameters.values())[1:]
    least = sum(one.default is one.empty and one.kind is not one.VAR_POSITIONAL for one in parameters)
    most = 2 if any(one.kind is one.VAR_POSITIONAL for one in parameters) else len(parameters)
    for count in range(least, most + 1):
        for arguments in product(VALUES, repeat=min(count, 3)):
            given = (*arguments, *(VALUES[0] for _ in range(count - len(arguments))))
            try:
                function([{}, STEPS, BYTES], *given)
            except ExpressionError as error:
                assert error.code in ERRORS


@pytest.mark.parametrize(
    ("source", "wanted"),
    [
        ("event.n + 1", "out_of_range"),
        ("event.n - event.n", 0),
        ("-event.n", "out_of_range"),
        ("event.n / 3", "out_of_range"),
        ("uint(event.n)", "out_of_range"),
        ("timestamp(event.n)", "out_of_range"),
        ("math.bitAnd(event.n, 1)", "out_of_range"),
        ("math.bitNot(event.n)", "out_of_range"),
        ("math.bitShiftLeft(event.n, 1)", "out_of_range"),
        ("math.bitShiftRight(event.n, 1)", "out_of_range"),
        ("event.s.split('b', event.n)", ["a", "c"]),
        ("event.s.split('', event.n)", ["a", "b", "c"]),
        ("event.s.split('b', 1)", ["abc"]),
        ("event.s.split('b', 2)", ["a", "c"]),
        ("event.s.replace('b', 'x', event.n)", "axc"),
        ("event.s.substring(event.n)", "out_of_range"),
        ("event.s.charAt(event.n)", "out_of_range"),
        ("[1].slice(0, event.n)", "out_of_range"),
        ("event.n > 5 && event.n == event.n", True),
        ("string(event.n)", str(LARGE)),
        ("decimal(event.n) + 1", str(LARGE + 1)),
    ],
)
def test_what_is_computed_from_a_large_number_must_fit(source: str, wanted: Any) -> None:
    try:
        found = compile_expression(source).evaluate({"event": {"n": LARGE, "s": "abc"}})
    except ExpressionError as error:
        found = error.code
    assert found == wanted
