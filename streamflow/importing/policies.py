"""Retries and lengths of time of a foreign step, as a call has them. Numbers are milliseconds, as JavaScript counts."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from streamflow.definition.duration import PATTERN, format_ms
from streamflow.importing.report import Refused

_UNITS = {
    "ms": 1,
    "s": 1000,
    "sec": 1000,
    "second": 1000,
    "m": 60_000,
    "min": 60_000,
    "minute": 60_000,
    "h": 3_600_000,
    "hour": 3_600_000,
    "day": 86_400_000,
}
_AGAIN = ("retries", "maxRetries", "max_retries", "limit")  # after the first attempt
_ATTEMPTS = ("attempts", "maxAttempts", "max_attempts", "max")  # the first included
_PAUSE = (
    "delay",
    "delayMs",
    "delay_ms",
    "backoffMs",
    "backoff_ms",
    "interval",
    "initialInterval",
    "initialDelay",
    "minTimeout",
    "wait",
)
_FACTOR = ("factor", "multiplier", "backoffFactor", "backoffCoefficient")
_LONGEST = ("maxDelay", "max_delay", "maxDelayMs", "maxInterval", "maxTimeout")
_KINDS = {"exponential": 2, "fixed": 1, "constant": 1, "linear": 1}
_MOST = 1000


def length(value: Any) -> str:
    """A length of time: a number of milliseconds, `30s`, or `30 seconds`. Raises Refused."""
    if isinstance(value, int | float) and not isinstance(value, bool) and value > 0 and value == int(value):
        return format_ms(int(value))
    if isinstance(value, str):
        text = value.strip().lower()
        if re.fullmatch(PATTERN, text) or re.fullmatch(r"\d+", text):
            return text if not text.isdigit() else length(int(text))
        worded = re.fullmatch(r"(\d+)\s*([a-z]+?)s?", text)
        if worded is not None and (unit := _UNITS.get(worded[2])) is not None and int(worded[1]) > 0:
            return format_ms(int(worded[1]) * unit)
    raise Refused(
        f"{_shown(value)} is no length of time.", "Write milliseconds as a whole number, or a text such as 30s."
    )


def retry(value: Any) -> tuple[dict[str, Any], list[str]]:
    """A `retry` of a call, and what of it is not quite the same. Raises Refused."""
    notes: list[str] = []
    if isinstance(value, bool) or value is None:
        if value:
            return {}, ["it does not say how often: the operation's own retries hold."]
        return {"attempts": 1}, notes
    if not isinstance(value, Mapping):
        return {"attempts": _count(value, 1)}, notes
    left = dict(value)
    found: dict[str, Any] = {}
    for name in (*_AGAIN, *_ATTEMPTS):
        if name in left:
            if "attempts" in found:
                raise Refused(f"it says how often twice, `{name}` the second time.", "Keep one of the two.")
            found["attempts"] = _count(left.pop(name), 1 if name in _AGAIN else 0)
            if name == "max":
                notes.append("`max` is taken for the number of attempts, the first included.")
    kind = left.pop("backoff", left.pop("strategy", left.pop("type", None)))
    if isinstance(kind, Mapping):
        left |= {name: item for name, item in kind.items() if name != "type"}
        kind = kind.get("type")
    if isinstance(kind, str) and kind.lower() in _KINDS:
        found["factor"] = _KINDS[kind.lower()]
        if kind.lower() == "linear":
            notes.append("linear pauses become pauses of one length.")
    elif kind is not None:
        found["backoff"] = length(kind)
    for names, target in ((_PAUSE, "backoff"), (_LONGEST, "longest")):
        for name in names:
            if name in left:
                found[target] = length(left.pop(name))
    for name in _FACTOR:
        if name in left:
            found["factor"] = _factor(left.pop(name), notes)
    if left:
        raise Refused(
            f"`{next(iter(left))}` has no place in a retry.", "Remove it, or write the step's `retry` by hand."
        )
    if {"backoff", "factor"} & found.keys():
        notes.append("each pause is shortened by chance, by up to a half.")
    return found, notes


def _count(value: Any, first: int) -> int:
    if isinstance(value, str) and value.isdigit():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value + first <= _MOST:
        raise Refused(f"{_shown(value)} is no number of tries.", f"Write a whole number, at most {_MOST}.")
    return value + first


def _factor(value: Any, notes: list[str]) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 1 <= value <= 10:
        raise Refused(f"{_shown(value)} is no factor between pauses.", "Write a whole number from 1 to 10.")
    if value != int(value):
        notes.append(f"the factor {value} is rounded up: factors are whole.")
    return int(value) + (value != int(value))


def _shown(value: Any) -> str:
    text = str(value)
    return f"`{text if len(text) <= 40 else text[:37] + '...'}`"
