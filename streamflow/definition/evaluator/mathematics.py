"""The functions `math.*`."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from streamflow.definition.evaluator.budget import Frame
from streamflow.definition.evaluator.numbers import to_double
from streamflow.definition.evaluator.values import INT_MAX, NUMBERS, WHOLE, Uint, int64, no_overload, ordered
from streamflow.definition.plan import ExpressionError


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
        return a.__class__(function(int(_of_64(a)), int(_of_64(b))))

    return apply


def _of_64(value: Any) -> Any:
    """`value`, whose bits are asked for. Raises ExpressionError: a whole number of the data may have more than 64."""
    return int64(value) if value.__class__ is int else value


def invert_bits(frame: Frame, value: Any) -> Any:
    """`math.bitNot`."""
    if value.__class__ is int:
        return ~int64(value)
    if value.__class__ is Uint:
        return Uint(~int(value) & 0xFFFF_FFFF_FFFF_FFFF)
    raise no_overload()


def _shift(left: bool) -> Callable[[Frame, Any, Any], Any]:
    def apply(frame: Frame, value: Any, places: Any) -> Any:
        if value.__class__ not in WHOLE or places.__class__ is not int:
            raise no_overload()
        if places < 0:
            raise ExpressionError("out_of_range")
        bits = int(_of_64(value)) & 0xFFFF_FFFF_FFFF_FFFF
        shifted = 0 if places > 63 else (bits << places) & 0xFFFF_FFFF_FFFF_FFFF if left else bits >> places
        if value.__class__ is Uint:
            return Uint(shifted)
        return shifted - (1 << 64) if shifted > INT_MAX else shifted

    return apply


FUNCTIONS: dict[str, Callable[..., Any]] = {
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
