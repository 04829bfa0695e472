"""Exact decimals, for money: `decimal(x)` and what can be done with one.

Sums, differences and products are exact. A quotient is exact where it has at most `QUOTIENT_SCALE` digits after the
point, and rounded half to even there otherwise. A decimal has at most `DIGITS` digits; beyond them a result is
`out_of_range`. A whole number may stand beside a decimal, a double may not.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import (
    ROUND_DOWN,
    ROUND_HALF_EVEN,
    ROUND_HALF_UP,
    ROUND_UP,
    Context,
    Decimal,
    DivisionByZero,
    InvalidOperation,
    Overflow,
)
from typing import Any

from streamflow.definition.evaluator.budget import Frame, scan, spend
from streamflow.definition.evaluator.values import WHOLE, no_overload
from streamflow.definition.plan import ExpressionError

DIGITS = 100  # before and after the point together, as written without an exponent
QUOTIENT_SCALE = 18  # digits after the point

_STEPS = 10  # of an operation on decimals
_TEXT = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,4})?")
_ROUNDINGS = {"half_even": ROUND_HALF_EVEN, "half_up": ROUND_HALF_UP, "down": ROUND_DOWN, "up": ROUND_UP}
_EXACT = Context(  # room for any product of two decimals
    prec=4 * DIGITS, Emax=9999, Emin=-9999, traps=[DivisionByZero, InvalidOperation, Overflow]
)


def to_decimal(frame: Frame, value: Any) -> Decimal:
    """`decimal(value)`: a text, a whole number, or another number of JSON by the digits that it is written with."""
    spend(frame, _STEPS)
    kind = value.__class__
    if kind is Decimal:
        return fitting(value)
    if kind in WHOLE:
        if abs(value) >= 10**DIGITS:
            raise ExpressionError("out_of_range")
        return Decimal(int(value))
    if kind is float:
        value = repr(value)
    elif kind is not str:
        raise no_overload()
    scan(frame, value)
    if _TEXT.fullmatch(value) is None:
        raise ExpressionError("invalid_value")
    if len(value) > 2 * DIGITS:
        raise ExpressionError("out_of_range")
    return fitting(Decimal(value))


def decimal_text(value: Decimal) -> str:
    """All digits of `value`, without an exponent. Raises ExpressionError when there are too many."""
    return format(fitting(value), "f")


def fitting(value: Decimal) -> Decimal:
    """`value`, written without an exponent. Raises ExpressionError when it has too many digits."""
    exponent = value.as_tuple().exponent
    if not isinstance(exponent, int):
        raise ExpressionError("out_of_range")
    if max(value.adjusted() + 1, 1) + max(-exponent, 0) > DIGITS:
        raise ExpressionError("out_of_range")
    if exponent > 0:
        value = value.quantize(Decimal(1), context=_EXACT)
    return value.copy_abs() if value.is_zero() else value


def _binary(function: Callable[[Decimal, Decimal], Decimal]) -> Callable[[Frame, Any, Any], Decimal]:
    def apply(frame: Frame, a: Any, b: Any) -> Decimal:
        return fitting(function(*_pair(frame, a, b)))

    return apply


def _pair(frame: Frame, a: Any, b: Any) -> tuple[Decimal, Decimal]:
    kinds = (a.__class__, b.__class__)
    if Decimal not in kinds or not all(kind is Decimal or kind in WHOLE for kind in kinds):
        raise no_overload()
    spend(frame, _STEPS)
    one, two = (item if item.__class__ is Decimal else Decimal(int(item)) for item in (a, b))
    return fitting(one), fitting(two)


add = _binary(_EXACT.add)
subtract = _binary(_EXACT.subtract)
multiply = _binary(_EXACT.multiply)


def negate(value: Decimal) -> Decimal:
    """`-value`."""
    return fitting(value.copy_negate())


def divide(frame: Frame, a: Any, b: Any) -> Decimal:
    """`a / b`, with no more zeros at its end than the longer of the two has digits after the point."""
    one, two = _pair(frame, a, b)
    rounded = _quotient(one, two, QUOTIENT_SCALE, ROUND_HALF_EVEN)
    scale = max(_scale(one), _scale(two))
    least = _EXACT.normalize(rounded)
    return fitting(rounded.quantize(Decimal(1).scaleb(-max(scale, _scale(least))), context=_EXACT))


def _quotient(a: Decimal, b: Decimal, scale: int, rounding: str) -> Decimal:
    if b.is_zero():
        raise ExpressionError("division_by_zero")
    # whole numbers, so that rounding happens once
    shift = scale + _scale(b) - _scale(a)
    top, bottom = int(a.scaleb(_scale(a))), int(b.scaleb(_scale(b)))
    top, bottom = (top * 10**shift, bottom) if shift >= 0 else (top, bottom * 10**-shift)
    whole, rest = divmod(abs(top), abs(bottom))
    up = {
        ROUND_DOWN: False,
        ROUND_UP: rest > 0,
        ROUND_HALF_UP: 2 * rest >= abs(bottom),
        ROUND_HALF_EVEN: 2 * rest > abs(bottom) or (2 * rest == abs(bottom) and whole % 2 == 1),
    }[rounding]
    whole = (whole + up) * (1 if (top < 0) == (bottom < 0) else -1)
    return fitting(Decimal(whole).scaleb(-scale, context=_EXACT))


def _scale(value: Decimal) -> int:
    exponent = value.as_tuple().exponent
    return max(-exponent, 0) if isinstance(exponent, int) else 0


def _rounding(scale: Any, mode: Any) -> str:
    if scale.__class__ is not int or mode.__class__ is not str:
        raise no_overload()
    if not 0 <= scale <= DIGITS:
        raise ExpressionError("out_of_range")
    if mode not in _ROUNDINGS:
        raise ExpressionError("invalid_value")
    return _ROUNDINGS[mode]


def rounded(frame: Frame, value: Any, scale: Any, mode: Any = "half_even") -> Decimal:
    """`value.round(scale, mode)`: with exactly `scale` digits after the point."""
    if value.__class__ is not Decimal:
        raise no_overload()
    spend(frame, _STEPS)
    rounding = _rounding(scale, mode)
    if max(value.adjusted() + 1, 1) + scale > DIGITS:
        raise ExpressionError("out_of_range")
    return fitting(fitting(value).quantize(Decimal(1).scaleb(-scale), rounding=rounding, context=_EXACT))


def divided(frame: Frame, a: Any, b: Any, scale: Any, mode: Any = "half_even") -> Decimal:
    """`a.divide(b, scale, mode)`: the quotient with exactly `scale` digits after the point."""
    if a.__class__ is not Decimal:
        raise no_overload()
    rounding = _rounding(scale, mode)
    one, two = _pair(frame, a, b)
    return _quotient(one, two, scale, rounding)


FUNCTIONS: dict[str, Callable[..., Any]] = {"decimal": to_decimal, "round": rounded, "divide": divided}
