"""Values as plain JSON data."""

from __future__ import annotations

import base64
import math
from decimal import Decimal
from types import NoneType
from typing import Any

from streamflow.definition.evaluator.budget import Exhausted
from streamflow.definition.evaluator.decimals import decimal_text
from streamflow.definition.evaluator.times import duration_text, timestamp_text
from streamflow.definition.evaluator.values import Duration, OptionalValue, Timestamp, TypeName, Uint
from streamflow.definition.plan import ExpressionError

RESULT_BYTES = 8 << 20  # of one result, each value counted as often as it stands in it
_VALUE_BYTES = 16  # of any value, beside the characters of a text

_AS_IT_IS = frozenset({int, bool, NoneType})
_WRITTEN = frozenset({Uint, Decimal, Timestamp, Duration, bytes})


def plain(value: Any) -> Any:
    """`value` as JSON data: timestamps as RFC 3339 text in UTC, durations as text of seconds, bytes as base64 text,
    decimals as text with all their digits. What is JSON already is not copied.

    Raises ExpressionError: `not_json` for what JSON has no place for, `failed` for what came in and is no JSON,
    `too_costly` beyond `RESULT_BYTES`."""
    return _converted(value) if _measure(value) else value


def _measure(value: Any) -> bool:
    """Whether something in `value` has to be converted. Raises ExpressionError, whatever the order of maps is."""
    size, convert, wrong = 0, False, ""
    pending = [value]
    for item in pending:
        kind = item.__class__
        if kind is str:
            if item.isascii():
                size += len(item)
            else:
                size += 4 * len(item)
                wrong = wrong if _is_text(item) else "failed"
        elif kind is dict:
            size += _VALUE_BYTES * len(item)
            for key in item:
                if key.__class__ is str:
                    size += len(key)
                else:
                    wrong = wrong or "not_json"
            if size <= RESULT_BYTES:
                pending.extend(item.values())
        elif kind is list:
            size += _VALUE_BYTES * len(item)
            if size <= RESULT_BYTES:
                pending.extend(item)
        elif kind is float:
            if not math.isfinite(item):
                wrong = wrong or "not_json"
        elif kind in _WRITTEN:
            size += len(item) * 2 if kind is bytes else _VALUE_BYTES
            convert = True
        elif kind is OptionalValue or kind is TypeName:
            wrong = wrong or "not_json"
        elif kind not in _AS_IT_IS:
            wrong = "failed"
        if size > RESULT_BYTES:
            raise Exhausted
    if wrong:
        raise ExpressionError(wrong)
    return convert


def _is_text(text: str) -> bool:
    """Whether `text` has no half of a surrogate pair, which UTF-8 cannot write."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _converted(value: Any) -> Any:
    kind = value.__class__
    if kind is list:
        return [_converted(item) for item in value]
    if kind is dict:
        return {key: _converted(item) for key, item in value.items()}
    if kind is Uint:
        return int(value)
    if kind is Decimal:
        return decimal_text(value)
    if kind is Timestamp:
        return timestamp_text(value)
    if kind is Duration:
        return duration_text(value)
    if kind is bytes:
        return base64.b64encode(value).decode()
    return value
