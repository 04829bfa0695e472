"""Arithmetic, conversions to numbers, and numbers as text."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from streamflow.definition.evaluator import decimals
from streamflow.definition.evaluator.budget import ITEM_BYTES, Frame, claim, scan, text_size
from streamflow.definition.evaluator.values import (
    INT_MIN,
    NUMBERS,
    WHOLE,
    Duration,
    Timestamp,
    Uint,
    duration,
    int64,
    no_overload,
    timestamp,
    uint64,
)
from streamflow.definition.plan import ExpressionError

_DIGITS = 400  # characters of a number as text
_WHOLE_TEXT = re.compile(r"[+-]?[0-9]{1,40}")
_DOUBLE_TEXT = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?|[+-]?(inf|infinity)|nan", re.I)


def add(frame: Frame, a: Any, b: Any) -> Any:
    """`a + b`: numbers of one kind, texts, bytes, lists, times."""
    kind = a.__class__
    if kind is b.__class__:
        if kind is int:
            return int64(a + b)
        if kind is float:
            return a + b
        if kind is str:
            claim(frame, text_size(a) + text_size(b))
            return a + b
        if kind is list:
            claim(frame, ITEM_BYTES * (len(a) + len(b)))
            return a + b
        if kind is bytes:
            claim(frame, len(a) + len(b))
            return a + b
        if kind is Duration:
            return duration(a.ns + b.ns)
        if kind is Uint:
            return uint64(int(a) + int(b))
    if kind is Timestamp and b.__class__ is Duration:
        return timestamp(a.ns + b.ns)
    if kind is Duration and b.__class__ is Timestamp:
        return timestamp(a.ns + b.ns)
    return decimals.add(frame, a, b)


def subtract(frame: Frame, a: Any, b: Any) -> Any:
    """`a - b`: numbers of one kind, times."""
    kind = a.__class__
    if kind is b.__class__:
        if kind is int:
            return int64(a - b)
        if kind is float:
            return a - b
        if kind is Uint:
            return uint64(int(a) - int(b))
        if kind is Timestamp or kind is Duration:
            return duration(a.ns - b.ns)
    if kind is Timestamp and b.__class__ is Duration:
        return timestamp(a.ns - b.ns)
    return decimals.subtract(frame, a, b)


def multiply(frame: Frame, a: Any, b: Any) -> Any:
    """`a * b`: numbers of one kind."""
    kind = a.__class__
    if kind is b.__class__:
        if kind is int:
            return int64(a * b)
        if kind is float:
            return a * b
        if kind is Uint:
            return uint64(int(a) * int(b))
    return decimals.multiply(frame, a, b)


def divide(frame: Frame, a: Any, b: Any) -> Any:
    """`a / b`: numbers of one kind; whole numbers towards zero."""
    kind = a.__class__
    if kind is b.__class__:
        if kind in WHOLE:
            if b == 0:
                raise ExpressionError("division_by_zero")
            quotient = abs(int(a)) // abs(int(b))
            quotient = quotient if (a < 0) == (b < 0) else -quotient
            return uint64(quotient) if kind is Uint else int64(quotient)
        if kind is float:
            return _quotient(a, b)
    return decimals.divide(frame, a, b)


def _quotient(a: float, b: float) -> float:
    if b:
        return a / b
    if a == 0 or a != a:
        return math.nan
    return math.copysign(math.inf, a) * math.copysign(1.0, b)


def remainder(frame: Frame, a: Any, b: Any) -> Any:
    """`a % b`: whole numbers, with the sign of `a`."""
    kind = a.__class__
    if kind is not b.__class__ or kind not in WHOLE:
        raise no_overload()
    if b == 0:
        raise ExpressionError("division_by_zero")
    if a == INT_MIN and b == -1:
        raise ExpressionError("out_of_range")
    rest = abs(int(a)) % abs(int(b))
    return Uint(rest) if kind is Uint else rest if a >= 0 else -rest


def negate(frame: Frame, value: Any) -> Any:
    """`-value`."""
    kind = value.__class__
    if kind is int:
        return int64(-value)
    if kind is float:
        return -value
    if kind is Decimal:
        return decimals.negate(value)
    raise no_overload()


def to_int(frame: Frame, value: Any) -> int:
    """`int(value)`: of a double or a decimal the part before the point, of a timestamp the seconds since 1970."""
    kind = value.__class__
    if kind is int:
        return int(value)
    if kind is Uint:
        return int64(int(value))
    if kind is float:
        if not -9.223372036854775808e18 < value < 9.223372036854775808e18:
            raise ExpressionError("out_of_range")
        return int(value)
    if kind is str:
        scan(frame, value)
        return int64(int(_matched(_WHOLE_TEXT, value)))
    if kind is Timestamp:
        return int(value.ns // 1_000_000_000)
    if kind is Decimal:
        return int64(int(decimals.fitting(value)))
    raise no_overload()


def to_uint(frame: Frame, value: Any) -> Uint:
    """`uint(value)`."""
    kind = value.__class__
    if kind in WHOLE:
        return uint64(int(value))
    if kind is float:
        if not 0 <= value < 18446744073709551616.0:
            raise ExpressionError("out_of_range")
        return Uint(value)
    if kind is str:
        scan(frame, value)
        return uint64(int(_matched(_WHOLE_TEXT, value)))
    raise no_overload()


def to_double(frame: Frame, value: Any) -> float:
    """`double(value)`."""
    kind = value.__class__
    if kind is str:
        scan(frame, value)
        return float(_matched(_DOUBLE_TEXT, value))
    if kind in NUMBERS or kind is Decimal:
        try:
            return float(value)
        except OverflowError:
            raise ExpressionError("out_of_range") from None
    raise no_overload()


def _matched(form: re.Pattern[str], text: str) -> str:
    if len(text) > _DIGITS or form.fullmatch(text) is None:
        raise ExpressionError("invalid_value")
    return text


def number_text(value: float) -> str:
    """The shortest decimal number that is `value`, with all its digits; an exponent only from 1e21 on and below
    1e-6."""
    if value != value:
        return "NaN"
    if value in (math.inf, -math.inf):
        return "Infinity" if value > 0 else "-Infinity"
    if value == 0:
        return "-0" if math.copysign(1, value) < 0 else "0"
    if not 1e-6 <= abs(value) < 1e21:
        return repr(value)
    text = format(Decimal(repr(value)), "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "_-_": subtract,
    "_*_": multiply,
    "_/_": divide,
    "_%_": remainder,
    "-_": negate,
    "int": to_int,
    "uint": to_uint,
    "double": to_double,
}
