"""The values of CEL in Python, their equality and their order.

null, bool, int, double, string, list and map are None, bool, int, float, str, list and dict, as JSON is decoded; bytes
are bytes and a decimal is `decimal.Decimal`. The others are the classes below. A whole number of the data keeps all its
digits, also beyond 64 bits; only what is computed has to fit. Keys of a map are texts or numbers; true and false are
kept as `TRUE_KEY` and `FALSE_KEY`, because to Python they are the numbers 1 and 0.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from types import NoneType
from typing import Any

from streamflow.definition.evaluator.budget import ENTRY_BYTES, Frame, claim, scan, spend
from streamflow.definition.plan import ExpressionError

INT_MIN, INT_MAX, UINT_MAX = -(1 << 63), (1 << 63) - 1, (1 << 64) - 1
SECOND = 1_000_000_000  # nanoseconds
TIMESTAMP_MIN = -62_135_596_800 * SECOND  # 0001-01-01T00:00:00Z
TIMESTAMP_MAX = 253_402_300_800 * SECOND - 1  # 9999-12-31T23:59:59.999999999Z
DURATION_MAX = INT_MAX  # nanoseconds, as for a timestamp less another: 292 years


class Uint(int):
    """An unsigned whole number of 64 bits."""

    __slots__ = ()


@dataclass(frozen=True, slots=True, order=True)
class Timestamp:
    """A point in time. `ns`: nanoseconds since 1970-01-01T00:00:00Z."""

    ns: int


@dataclass(frozen=True, slots=True, order=True)
class Duration:
    """A length of time. `ns`: nanoseconds, negative ones too."""

    ns: int


@dataclass(frozen=True, slots=True)
class TypeName:
    """A type as a value, such as `int` or `type(x)`."""

    name: str


@dataclass(frozen=True, slots=True, eq=False)
class OptionalValue:
    """A value that may be absent: `.?field` and `optional.of` give one."""

    present: bool
    value: Any = None


NONE = OptionalValue(False)
TRUE_KEY, FALSE_KEY = (True,), (False,)
_BUILD_STEPS = 3  # for each item of a value that is compared or hashed
TYPE_NAMES: Mapping[type, str] = {
    NoneType: "null_type",
    bool: "bool",
    int: "int",
    Uint: "uint",
    float: "double",
    str: "string",
    bytes: "bytes",
    list: "list",
    dict: "map",
    Timestamp: "google.protobuf.Timestamp",
    Duration: "google.protobuf.Duration",
    OptionalValue: "optional_type",
    TypeName: "type",
    Decimal: "streamflow.Decimal",
}
NUMBERS = frozenset({int, float, Uint})
WHOLE = frozenset({int, Uint})
ORDERED = frozenset({int, float, Uint, str, bytes, bool, Timestamp, Duration, Decimal})
_PLAIN = frozenset({NoneType, bool, int, float, Uint, Timestamp, Duration, TypeName, Decimal})


def no_overload() -> ExpressionError:
    """The failure of an operator or function that does not take such values."""
    return ExpressionError("no_overload")


def type_of(value: Any) -> TypeName:
    """The type of `value`. Raises ExpressionError for what is no value of CEL."""
    name = TYPE_NAMES.get(value.__class__)
    if name is None:
        raise ExpressionError("failed")
    return TypeName(name)


def int64(value: int) -> int:
    """`value` if it fits. Raises ExpressionError."""
    if INT_MIN <= value <= INT_MAX:
        return value
    raise ExpressionError("out_of_range")


def uint64(value: int) -> Uint:
    """`value` as an unsigned number. Raises ExpressionError."""
    if 0 <= value <= UINT_MAX:
        return Uint(value)
    raise ExpressionError("out_of_range")


def timestamp(ns: int) -> Timestamp:
    """The point in time. Raises ExpressionError outside the years 1 to 9999."""
    if TIMESTAMP_MIN <= ns <= TIMESTAMP_MAX:
        return Timestamp(ns)
    raise ExpressionError("out_of_range")


def duration(ns: int) -> Duration:
    """The length of time. Raises ExpressionError beyond 292 years."""
    if -DURATION_MAX <= ns <= DURATION_MAX:
        return Duration(ns)
    raise ExpressionError("out_of_range")


def equal(frame: Frame, a: Any, b: Any) -> bool:
    """Equality of CEL: numbers by value, everything else by type and value.

    Raises ExpressionError for a decimal beside a double: which of the double's digits were meant is not known."""
    kind, other = a.__class__, b.__class__
    if kind is other:
        if kind is str or kind is bytes:
            scan(frame, a)
            return bool(a == b)
        if kind in _PLAIN:
            return bool(a == b)
        if kind is list:
            if len(a) != len(b):
                return False
            spend(frame, _BUILD_STEPS * len(a))
            return all(equal(frame, one, two) for one, two in zip(a, b, strict=True))
        if kind is dict:
            if len(a) != len(b):
                return False
            spend(frame, _BUILD_STEPS * len(a))
            # in the order of keys: which pair differs or fails first must not depend on how a map was decoded
            return a.keys() == b.keys() and all(equal(frame, value, b[map_key(key)]) for key, value in sorted_items(a))
        if kind is OptionalValue:
            return a.present == b.present and (not a.present or equal(frame, a.value, b.value))
        raise ExpressionError("failed")
    if kind in NUMBERS and other in NUMBERS:
        a, b = _as_doubles(a, b)
        return bool(a == b)
    if kind is Decimal or other is Decimal:
        return _decimal_equal(kind, other, a, b)
    return False


def _as_doubles(a: Any, b: Any) -> tuple[Any, Any]:
    """Two numbers of different kinds as CEL compares them: a whole number beside a double as the nearest double."""
    if a.__class__ is not float and b.__class__ is not float:
        return a, b
    try:
        return float(a), float(b)
    except OverflowError:
        return a, b


def _decimal_equal(kind: type, other: type, a: Any, b: Any) -> bool:
    if kind is float or other is float:
        raise no_overload()
    return (kind in WHOLE or other in WHOLE) and bool(a == b)


def ordered(a: Any, b: Any) -> tuple[Any, Any]:
    """The two as Python compares them. Raises ExpressionError unless `a < b` means something."""
    kind, other = a.__class__, b.__class__
    if kind is other and kind in ORDERED:
        return a, b
    if kind in NUMBERS and other in NUMBERS:
        return _as_doubles(a, b)
    if (kind is Decimal and other in WHOLE) or (kind in WHOLE and other is Decimal):
        return a, b
    raise no_overload()


def map_key(value: Any) -> Any:
    """`value` as a key to look up in a map. Raises ExpressionError for what can never be one."""
    kind = value.__class__
    if kind is str or kind in NUMBERS:
        return value
    if kind is bool:
        return TRUE_KEY if value else FALSE_KEY
    raise no_overload()


def new_key(value: Any) -> Any:
    """`value` as a key of a new map, which a double cannot be. Raises ExpressionError."""
    if value.__class__ is float:
        raise no_overload()
    return map_key(value)


def keys(mapping: Mapping[Any, Any]) -> list[Any]:
    """The keys of `mapping` in their order: false, true, numbers, texts. The order in which the map was built or
    decoded never shows."""
    try:
        found = sorted(mapping)
    except TypeError:
        return sorted((key[0] if key.__class__ is tuple else key for key in mapping), key=_place)
    return [key[0] for key in found] if found and found[0].__class__ is tuple else found


def sorted_items(mapping: Mapping[Any, Any]) -> Iterable[tuple[Any, Any]]:
    """The keys and values of `mapping` in the order of `keys`."""
    return [(key, mapping[map_key(key)]) for key in keys(mapping)]


def _place(key: Any) -> tuple[int, Any]:
    return (0 if key.__class__ is bool else 2 if key.__class__ is str else 1), key


def identity(frame: Frame, value: Any) -> Any:
    """What is equal, in Python's sense and with the same hash, exactly for values that are equal in CEL's."""
    kind = value.__class__
    if kind is list:
        spend(frame, _BUILD_STEPS * len(value))
        claim(frame, ENTRY_BYTES * len(value))
        return (list, *(identity(frame, item) for item in value))
    if kind is dict:
        spend(frame, _BUILD_STEPS * len(value))
        claim(frame, ENTRY_BYTES * len(value))
        return (dict, frozenset((key, identity(frame, item)) for key, item in value.items()))
    if kind is OptionalValue:
        return (OptionalValue, identity(frame, value.value) if value.present else NONE)
    if kind is bool:
        return TRUE_KEY if value else FALSE_KEY
    if kind is float:
        # not a number is equal to nothing
        return object() if value != value else int(value) if value.is_integer() else (float, value)
    if kind is str or kind is bytes:
        scan(frame, value)
    return value
