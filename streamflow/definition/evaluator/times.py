"""Timestamps and durations: reading and writing them as text, and their parts."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable
from typing import Any

from streamflow.definition.evaluator.budget import Frame
from streamflow.definition.evaluator.values import SECOND, Duration, Timestamp, duration, no_overload, timestamp
from streamflow.definition.plan import ExpressionError

_EPOCH = dt.datetime(1970, 1, 1)  # noqa: DTZ001  an hour on the clock of the zone that is asked for
_SECOND = dt.timedelta(seconds=1)
_RFC3339 = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt ]([0-9]{2}:[0-9]{2}):([0-9]{2})(?:\.([0-9]+))?"
    r"(?:[Zz]|([+-])([0-9]{2}):?([0-9]{2}))"
)
_LENGTH = re.compile(r"([+-]?)((?:(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:ns|us|µs|ms|s|m|h))+|0)")
_LENGTH_PART = re.compile(r"([0-9]*)(?:\.([0-9]*))?(ns|us|µs|ms|s|m|h)")
_UNITS = {"ns": 1, "us": 1000, "µs": 1000, "ms": 10**6, "s": SECOND, "m": 60 * SECOND, "h": 3600 * SECOND}
_ZONE = re.compile(r"([+-]?)([0-9]{2}):([0-9]{2})")
_TEXT = 100  # characters; no time is longer


def parse_timestamp(text: str) -> Timestamp | None:
    """The point in time that RFC 3339 `text` names, or None. Digits after the ninth are left out. A space may stand for
    the T, as RFC 3339 allows, and the colon of the offset may be missing, as in ISO 8601.

    A leap second, 23:59:60 in UTC, is the second after it, as in POSIX time."""
    found = _RFC3339.fullmatch(text) if len(text) <= _TEXT else None
    if found is None:
        return None
    day, time, second, fraction, sign, hours, minutes = found.groups()
    is_leap = second == "60"
    try:
        clock = dt.datetime.fromisoformat(f"{day}T{time}:{'59' if is_leap else second}")
    except ValueError:
        return None
    if sign and (int(hours) > 23 or int(minutes) > 59):
        return None
    offset = (int(hours) * 3600 + int(minutes) * 60) * (-1 if sign == "-" else 1) if sign else 0
    seconds = (clock - _EPOCH) // _SECOND - offset
    if is_leap:
        seconds += 1
        if seconds % 86_400:
            return None
    return timestamp(seconds * SECOND + (int(fraction[:9].ljust(9, "0")) if fraction else 0))


def to_timestamp(frame: Frame, value: Any) -> Timestamp:
    """`timestamp(value)`: RFC 3339 text, or seconds since 1970."""
    if value.__class__ is str:
        found = parse_timestamp(value)
        if found is None:
            raise ExpressionError("invalid_value")
        return found
    if value.__class__ is int:
        return timestamp(value * SECOND)
    if isinstance(value, Timestamp):
        return value
    raise no_overload()


def to_duration(frame: Frame, value: Any) -> Duration:
    """`duration(value)`: text such as `1h30m` or `-1.5s`."""
    if isinstance(value, Duration):
        return value
    if value.__class__ is not str:
        raise no_overload()
    found = _LENGTH.fullmatch(value) if len(value) <= _TEXT else None
    if found is None:
        raise ExpressionError("invalid_value")
    total = 0
    for whole, part, unit in _LENGTH_PART.findall(found[2]):
        total += int(whole or 0) * _UNITS[unit]
        total += int(part or 0) * _UNITS[unit] // 10 ** len(part)
    return duration(-total if found[1] == "-" else total)


def timestamp_text(value: Timestamp) -> str:
    """RFC 3339 in UTC, with three, six or nine digits of the second where they are not zero."""
    seconds, part = divmod(value.ns, SECOND)
    clock = (_EPOCH + seconds * _SECOND).isoformat()
    digits = f".{part:09}".removesuffix("000").removesuffix("000") if part else ""
    return f"{clock}{digits}Z"


def duration_text(value: Duration) -> str:
    """In seconds, such as `-1.5s`."""
    seconds, part = divmod(abs(value.ns), SECOND)
    digits = f".{part:09}".rstrip("0") if part else ""
    return f"{'-' if value.ns < 0 else ''}{seconds}{digits}s"


def _clock(value: Timestamp, zone: str) -> dt.datetime:
    offset = 0
    if zone not in ("UTC", "Z"):
        found = _ZONE.fullmatch(zone)
        if found is None:
            raise ExpressionError("invalid_value")
        offset = (int(found[2]) * 3600 + int(found[3]) * 60) * (-1 if found[1] == "-" else 1)
    try:
        return _EPOCH + (value.ns // SECOND + offset) * _SECOND
    except OverflowError:
        raise ExpressionError("out_of_range") from None


def _part(of_time: Callable[[dt.datetime], int], of_length: Callable[[int], int] | None = None) -> Callable[..., int]:
    def apply(frame: Frame, value: Any, zone: Any = "UTC") -> int:
        if value.__class__ is Duration and of_length is not None and zone == "UTC":
            parts = of_length(abs(value.ns))
            return -parts if value.ns < 0 else parts
        if value.__class__ is not Timestamp or zone.__class__ is not str:
            raise no_overload()
        return of_time(_clock(value, zone))

    return apply


def milliseconds(frame: Frame, value: Any, zone: Any = "UTC") -> int:
    """`getMilliseconds` of a time or of a duration: those within the second."""
    if value.__class__ is Duration and zone == "UTC":
        part = abs(value.ns) % SECOND // 10**6
        return -part if value.ns < 0 else part
    if value.__class__ is not Timestamp or zone.__class__ is not str:
        raise no_overload()
    _clock(value, zone)
    return int(value.ns % SECOND // 10**6)


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "timestamp": to_timestamp,
    "duration": to_duration,
    "getFullYear": _part(lambda clock: clock.year),
    "getMonth": _part(lambda clock: clock.month - 1),
    "getDate": _part(lambda clock: clock.day),
    "getDayOfMonth": _part(lambda clock: clock.day - 1),
    "getDayOfYear": _part(lambda clock: clock.timetuple().tm_yday - 1),
    "getDayOfWeek": _part(lambda clock: clock.isoweekday() % 7),
    "getHours": _part(lambda clock: clock.hour, lambda ns: ns // (3600 * SECOND)),
    "getMinutes": _part(lambda clock: clock.minute, lambda ns: ns // (60 * SECOND)),
    "getSeconds": _part(lambda clock: clock.second, lambda ns: ns // SECOND),
    "getMilliseconds": milliseconds,
}
ZONED = frozenset(name for name in FUNCTIONS if name.startswith("get"))
