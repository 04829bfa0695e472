"""Arithmetic, conversions to numbers, and the functions `math.*`."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from streamflow.definition.evaluator import decimals
from streamflow.definition.evaluator.budget import ITEM_BYTES, Frame, claim, scan, text_size
from streamflow.definition.evaluator.values import (
    INT_MAX,
    INT_MIN,
    NUMBERS,
    WHOLE,
    Duration,
    Timestamp,
    Uint,
    duration,
    int64,
    no_overload,
    ordered,
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
    return decimals.add(a, b)


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
    return decimals.subtract(a, b)


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
    return decimals.multiply(a, b)


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
    return decimals.divide(a, b)


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


def _extreme(frame: Frame, values: tuple[Any, ...], is_better: Callable[[Any, Any], bool]) -> Any:
    items = values[0] if len(values) == 1 and values[0].__class__ is list else values
    if not items:
        raise no_overload()
    best = items[0]
    for item in items:
        if item.__class__ not in NUMBERS:
            raise no_overload()
        if is_better(*ordered(item, best)):
            best = item
    return best


def greatest(frame: Frame, *values: Any) -> Any:
    """`math.greatest` of numbers."""
    return _extreme(frame, values, lambda item, best: bool(item > best))


def least(frame: Frame, *values: Any) -> Any:
    """`math.least` of numbers."""
    return _extreme(frame, values, lambda item, best: bool(item < best))


def _of_double(function: Callable[[float], float]) -> Callable[[Frame, Any], float]:
    def apply(frame: Frame, value: Any) -> float:
        if value.__class__ is not float:
            raise no_overload()
        return function(value) if math.isfinite(value) else value

    return apply


def _rounded(value: float) -> float:
    whole = math.floor(abs(value))
    return math.copysign(float(whole + (abs(value) - whole >= 0.5)), value)


def absolute(frame: Frame, value: Any) -> Any:
    """`math.abs`."""
    if value.__class__ is int:
        return int64(abs(value))
    if value.__class__ is Uint:
        return value
    if value.__class__ is float:
        return abs(value)
    raise no_overload()


def sign(frame: Frame, value: Any) -> Any:
    """`math.sign`: -1, 0 or 1 of the kind of `value`."""
    kind = value.__class__
    if kind not in NUMBERS:
        raise no_overload()
    if value != value:
        return value
    return kind((value > 0) - (value < 0))


def root(frame: Frame, value: Any) -> float:
    """`math.sqrt`; not a number for what is negative."""
    number = to_double(frame, value) if value.__class__ in NUMBERS else None
    if number is None:
        raise no_overload()
    return math.sqrt(number) if number >= 0 else math.nan


def _test(function: Callable[[float], bool]) -> Callable[[Frame, Any], bool]:
    def apply(frame: Frame, value: Any) -> bool:
        if value.__class__ is not float:
            raise no_overload()
        return function(value)

    return apply


def _bits(function: Callable[[int, int], int]) -> Callable[[Frame, Any, Any], Any]:
    def apply(frame: Frame, a: Any, b: Any) -> Any:
        if a.__class__ is not b.__class__ or a.__class__ not in WHOLE:
            raise no_overload()
        return a.__class__(function(int(a), int(b)))

    return apply


def invert_bits(frame: Frame, value: Any) -> Any:
    """`math.bitNot`."""
    if value.__class__ is int:
        return ~value
    if value.__class__ is Uint:
        return Uint(~int(value) & 0xFFFF_FFFF_FFFF_FFFF)
    raise no_overload()


def _shift(left: bool) -> Callable[[Frame, Any, Any], Any]:
    def apply(frame: Frame, value: Any, places: Any) -> Any:
        if value.__class__ not in WHOLE or places.__class__ is not int:
            raise no_overload()
        if places < 0:
            raise ExpressionError("out_of_range")
        bits = int(value) & 0xFFFF_FFFF_FFFF_FFFF
        shifted = 0 if places > 63 else (bits << places) & 0xFFFF_FFFF_FFFF_FFFF if left else bits >> places
        if value.__class__ is Uint:
            return Uint(shifted)
        return shifted - (1 << 64) if shifted > INT_MAX else shifted

    return apply


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "_-_": subtract,
    "_*_": multiply,
    "_/_": divide,
    "_%_": remainder,
    "-_": negate,
    "int": to_int,
    "uint": to_uint,
    "double": to_double,
    "math.@max": greatest,
    "math.@min": least,
    "math.ceil": _of_double(lambda value: float(math.ceil(value))),
    "math.floor": _of_double(lambda value: float(math.floor(value))),
    "math.round": _of_double(_rounded),
    "math.trunc": _of_double(lambda value: float(math.trunc(value))),
    "math.abs": absolute,
    "math.sign": sign,
    "math.sqrt": root,
    "math.isNaN": _test(math.isnan),
    "math.isInf": _test(math.isinf),
    "math.isFinite": _test(math.isfinite),
    "math.bitAnd": _bits(lambda a, b: a & b),
    "math.bitOr": _bits(lambda a, b: a | b),
    "math.bitXor": _bits(lambda a, b: a ^ b),
    "math.bitNot": invert_bits,
    "math.bitShiftLeft": _shift(left=True),
    "math.bitShiftRight": _shift(left=False),
}
