"""Values as plain JSON data."""

from __future__ import annotations

import base64
import math
from decimal import Decimal
from types import NoneType
from typing import Any

from streamflow.definition.evaluator.budget import text_size
from streamflow.definition.evaluator.decimals import decimal_text
from streamflow.definition.evaluator.times import duration_text, timestamp_text
from streamflow.definition.evaluator.values import Duration, Timestamp, Uint
from streamflow.definition.plan import ExpressionError

RESULT_BYTES = 8 << 20  # of one result, each value counted as often as it stands in it
_VALUE_BYTES = 16  # of any value, beside the characters of a text

_AS_IT_IS = frozenset({NoneType, bool, int})


def plain(value: Any) -> Any:
    """`value` as JSON data: timestamps as RFC 3339 text in UTC, durations as text of seconds, bytes as base64 text,
    decimals as text with all their digits. What is JSON already is not copied.

    Raises ExpressionError: `not_json` for what JSON has no place for, `failed` for what came in and is no JSON,
    `too_costly` beyond `RESULT_BYTES`."""
    return _plain(value, [RESULT_BYTES])


def _plain(value: Any, left: list[int]) -> Any:
    left[0] -= _VALUE_BYTES
    if left[0] < 0:
        raise ExpressionError("too_costly")
    kind = value.__class__
    if kind is str:
        left[0] -= text_size(value)
        if not value.isascii():
            _check_text(value)
        return value
    if kind in _AS_IT_IS:
        return value
    if kind is float:
        if not math.isfinite(value):
            raise ExpressionError("not_json")
        return value
    if kind is list:
        items = [_plain(item, left) for item in value]
        return value if all(map(_is, items, value)) else items
    if kind is dict:
        if any(key.__class__ is not str for key in value):
            raise ExpressionError("not_json")
        left[0] -= sum(map(text_size, value))
        fields = {key: _plain(item, left) for key, item in value.items()}
        return value if all(map(_is, fields.values(), value.values())) else fields
    return _written(kind, value)


def _is(one: Any, two: Any) -> bool:
    return one is two


def _check_text(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ExpressionError("failed") from None


def _written(kind: type, value: Any) -> Any:
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
    raise ExpressionError("failed" if not kind.__module__.startswith("streamflow.") else "not_json")
