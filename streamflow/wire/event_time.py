"""The time of an event, as its producer writes it: RFC 3339 text, or a number since 1970 in the unit that the catalog
names."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

from streamflow.definition.catalog import TimeUnit
from streamflow.definition.evaluator.times import epoch_ns
from streamflow.definition.evaluator.values import TIMESTAMP_MAX, TIMESTAMP_MIN
from streamflow.definition.json_kinds import json_kind
from streamflow.wire.codec import DecodeError

_NS: dict[TimeUnit, int] = {"s": 1_000_000_000, "ms": 1_000_000, "us": 1000, "ns": 1}
_MILLISECOND = 1_000_000  # nanoseconds
# Without a unit a number means what lies between 1990 and 2100: that is so in one unit at most.
_GUESSED_FROM_S, _GUESSED_TO_S = 631_152_000, 4_102_444_800
_NUMBER = re.compile(r"[+-]?[0-9]{1,30}(\.[0-9]{1,30})?")


def epoch_ms(value: Any, unit: TimeUnit | None = None) -> int:
    """The milliseconds since 1970 of `value`, rounded down: RFC 3339 text, or a number (also as text) in `unit`.
    Without a unit it is in seconds, milli-, micro- or nanoseconds, whichever puts it between 1990 and 2100.

    Raises DecodeError (`bad_time`); its message never holds the value."""
    number = None if value.__class__ is str and value[4:5] == "-" else _number(value)
    if number is None:
        ns = epoch_ns(value) if isinstance(value, str) else None
        if ns is None or not TIMESTAMP_MIN <= ns <= TIMESTAMP_MAX:
            raise DecodeError(
                "bad_time",
                f"The event's time is {_kind(value)}. Send RFC 3339 with Z or an offset, such as "
                "2026-01-31T08:30:00Z, or a number since 1970 and its unit in the catalog.",
            )
        return ns // _MILLISECOND
    ns = _in_ns(number, unit)
    if not TIMESTAMP_MIN <= ns <= TIMESTAMP_MAX:
        raise DecodeError(
            "bad_time", f"The event's time, in {unit}, is beyond the years 1 to 9999. Correct the unit in the catalog."
        )
    return ns // _MILLISECOND


def _number(value: Any) -> Decimal | None:
    if value.__class__ is int and abs(value) < 10**30:
        return Decimal(value)
    if value.__class__ is float and abs(value) < 1e30:  # by its digits: a double times 1000 may lose a millisecond
        return Decimal(repr(value))
    if value.__class__ is str and _NUMBER.fullmatch(value):
        return Decimal(value)
    return None


def _in_ns(number: Decimal, unit: TimeUnit | None) -> int:
    if unit is not None:
        return int((number * _NS[unit]).to_integral_value("ROUND_FLOOR"))
    for factor in _NS.values():
        ns = int((number * factor).to_integral_value("ROUND_FLOOR"))
        if _GUESSED_FROM_S * _NS["s"] <= ns < _GUESSED_TO_S * _NS["s"]:
            return ns
    raise DecodeError(
        "bad_time",
        "The event's time is a number that lies between 1990 and 2100 in no unit. Name its unit in the catalog "
        "(`time: {path: ..., unit: us}`), or send RFC 3339.",
    )


def _kind(value: Any) -> str:
    if value is None:
        return "missing"
    return "a text that is no RFC 3339" if isinstance(value, str) else json_kind(value)
