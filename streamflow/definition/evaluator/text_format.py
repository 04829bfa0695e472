"""`text.format(list)`: clauses `%s %d %f %e %b %o %x %X`, with a precision such as `%.2f`."""

from __future__ import annotations

import math
import re
from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import Any

from streamflow.definition.evaluator import decimals
from streamflow.definition.evaluator.budget import Frame, claim, spend, text_size
from streamflow.definition.evaluator.text import to_text
from streamflow.definition.evaluator.values import (
    NUMBERS,
    WHOLE,
    Duration,
    Timestamp,
    TypeName,
    no_overload,
    sorted_items,
)
from streamflow.definition.plan import ExpressionError

_ITEM_STEPS = 4  # for each item that is written
PRECISION = 100  # digits after the point

_CLAUSE = re.compile(r"%(?:%|(?:\.([0-9]{1,9}))?([a-zA-Z]))")
_EXACT = Context(prec=1000)
_NAMES = {math.inf: "Infinity", -math.inf: "-Infinity"}


def format_text(frame: Frame, text: Any, values: Any) -> str:
    """`text` with each clause replaced by the next of `values`.

    Raises ExpressionError when there are too few values, or one is not of the kind that its clause takes."""
    if text.__class__ is not str or values.__class__ is not list:
        raise no_overload()
    spend(frame, len(text) // 8)
    parts: list[str] = []
    at = place = 0
    while (percent := text.find("%", at)) >= 0:
        parts.append(text[at:percent])
        found = _CLAUSE.match(text, percent)
        if found is None:
            raise ExpressionError("invalid_value")
        at = found.end()
        if found[2] is None:
            parts.append("%")
            continue
        if place >= len(values):
            raise ExpressionError("out_of_range")
        written = _written(frame, values[place], found[2], None if found[1] is None else int(found[1]))
        claim(frame, text_size(written))
        parts.append(written)
        place += 1
    parts.append(text[at:])
    claim(frame, text_size(text))
    return "".join(parts)


def _written(frame: Frame, value: Any, clause: str, precision: int | None) -> str:
    if clause in ("f", "e"):
        return _number(frame, value, clause, 6 if precision is None else precision)
    if clause == "s":
        return _any(frame, value)
    kind = value.__class__
    if clause == "d":
        if kind in WHOLE:
            return to_text(frame, value)
        return _special(value) or _any_number(frame, value)
    if clause == "b" and kind is bool:
        return "1" if value else "0"
    if clause in ("b", "o", "x", "X") and kind in WHOLE:
        return format(int(value), clause)
    if clause in ("x", "X") and kind in (str, bytes):
        claim(frame, 8 * len(value))
        digits: str = (value.encode() if kind is str else value).hex()
        return digits.upper() if clause == "X" else digits
    raise no_overload()


def _any_number(frame: Frame, value: Any) -> str:
    if value.__class__ is Decimal or value.__class__ is float:
        return to_text(frame, value)
    raise no_overload()


def _special(value: Any) -> str:
    """NaN or an infinity by name, also when it is given as that text; else empty."""
    if value.__class__ is float and not math.isfinite(value):
        return _NAMES.get(value, "NaN")
    return str(value) if isinstance(value, str) and value in ("NaN", "Infinity", "-Infinity") else ""


def _number(frame: Frame, value: Any, clause: str, precision: int) -> str:
    if precision > PRECISION:
        raise ExpressionError("out_of_range")
    if name := _special(value):
        return name
    if value.__class__ not in NUMBERS and value.__class__ is not Decimal:
        raise no_overload()
    number = Decimal(value) if value.__class__ is float else decimals.to_decimal(frame, value)
    if clause == "e":
        mantissa, _, exponent = format(number, f".{precision}e").partition("e")
        return f"{mantissa}e{exponent[0]}{exponent[1:].rjust(2, '0')}"
    with_scale = number.quantize(Decimal(1).scaleb(-precision), rounding=ROUND_HALF_EVEN, context=_EXACT)
    return format(with_scale, "f")


def _any(frame: Frame, value: Any) -> str:
    """Any value as `%s` writes it: the fields of a map in their order."""
    kind = value.__class__
    if kind is list:
        spend(frame, _ITEM_STEPS * len(value))
        written = f"[{', '.join([_any(frame, item) for item in value])}]"
    elif kind is dict:
        spend(frame, 2 * _ITEM_STEPS * len(value))
        pairs = sorted((_any(frame, key), _any(frame, item)) for key, item in sorted_items(value))
        written = f"{{{', '.join(f'{key}: {item}' for key, item in pairs)}}}"
    elif value is None:
        return "null"
    elif kind is TypeName:
        return str(value.name)
    elif kind is bytes:
        written = bytes(value).decode(errors="replace")
    elif kind in NUMBERS or kind in (str, bool, Decimal, Timestamp, Duration):
        return to_text(frame, value)
    else:
        raise no_overload()
    claim(frame, text_size(written))
    return written
