"""Functions on texts and bytes, and conversions to text, bytes and bool."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from streamflow.definition.evaluator import decimals
from streamflow.definition.evaluator.budget import ITEM_BYTES, Frame, claim, scan, spend, text_size
from streamflow.definition.evaluator.numbers import number_text
from streamflow.definition.evaluator.times import duration_text, timestamp_text
from streamflow.definition.evaluator.values import WHOLE, Duration, Timestamp, no_overload
from streamflow.definition.plan import ExpressionError

_BOOLS = {
    **dict.fromkeys(("1", "t", "T", "true", "TRUE", "True"), True),
    **dict.fromkeys(("0", "f", "F", "false", "FALSE", "False"), False),
}
_SPACE = (  # what Unicode calls white space
    "\t\n\v\f\r \u0085\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006"
    "\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000"
)
_UPPER = {code: code - 32 for code in range(ord("a"), ord("z") + 1)}
_LOWER = {code: code + 32 for code in range(ord("A"), ord("Z") + 1)}
_QUOTED = {
    ord(character): written
    for character, written in {
        "\a": "\\a",
        "\b": "\\b",
        "\f": "\\f",
        "\n": "\\n",
        "\r": "\\r",
        "\t": "\\t",
        "\v": "\\v",
        "\\": "\\\\",
        '"': '\\"',
    }.items()
}
_NO_SPACE = dict.fromkeys(map(ord, "\t\n\v\f\r "))
_PIECE_BYTES = 50  # of a short text in a list, beside its characters


def to_text(frame: Frame, value: Any) -> str:
    """`string(value)`, with all digits of a number."""
    kind = value.__class__
    if kind is str:
        return str(value)
    if kind in WHOLE:
        return _whole_text(frame, value)
    if kind is float:
        return number_text(value)
    if kind is bool:
        return "true" if value else "false"
    if kind is Decimal:
        return decimals.decimal_text(value)
    if kind is Timestamp:
        return timestamp_text(value)
    if kind is Duration:
        return duration_text(value)
    if kind is bytes:
        claim(frame, len(value))
        try:
            return bytes(value).decode()
        except UnicodeDecodeError:
            raise ExpressionError("invalid_value") from None
    raise no_overload()


def _whole_text(frame: Frame, value: int) -> str:
    digits = value.bit_length() // 3
    spend(frame, digits)
    try:
        return str(int(value))
    except ValueError:  # the interpreter refuses thousands of digits
        raise ExpressionError("out_of_range") from None


def to_bytes(frame: Frame, value: Any) -> bytes:
    """`bytes(value)`: of a text its UTF-8."""
    if value.__class__ is bytes:
        return bytes(value)
    if value.__class__ is not str:
        raise no_overload()
    claim(frame, text_size(value))
    try:
        return value.encode()
    except UnicodeEncodeError:
        raise ExpressionError("invalid_value") from None


def to_bool(frame: Frame, value: Any) -> bool:
    """`bool(value)`."""
    if value.__class__ is bool:
        return bool(value)
    if value.__class__ is not str:
        raise no_overload()
    if value not in _BOOLS:
        raise ExpressionError("invalid_value")
    return _BOOLS[value]


def _texts(frame: Frame, *values: Any) -> None:
    for value in values:
        if value.__class__ is not str:
            raise no_overload()
        scan(frame, value)


def _search(frame: Frame, text: Any, part: Any) -> None:
    """Takes the steps for looking for `part` in `text`."""
    _texts(frame, text, part)
    spend(frame, len(text) * min(len(part), 100) // 1024)


def _whole(*values: Any) -> None:
    for value in values:
        if value.__class__ is not int:
            raise no_overload()


def contains(frame: Frame, text: Any, part: Any) -> bool:
    """`text.contains(part)`."""
    _search(frame, text, part)
    return part in text


def starts_with(frame: Frame, text: Any, part: Any) -> bool:
    """`text.startsWith(part)`."""
    _texts(frame, text, part)
    return bool(text.startswith(part))


def ends_with(frame: Frame, text: Any, part: Any) -> bool:
    """`text.endsWith(part)`."""
    _texts(frame, text, part)
    return bool(text.endswith(part))


def char_at(frame: Frame, text: Any, place: Any) -> str:
    """`text.charAt(place)`; empty at the end."""
    _texts(frame, text)
    _whole(place)
    if not 0 <= place <= len(text):
        raise ExpressionError("out_of_range")
    return str(text[place : place + 1])


def index_of(frame: Frame, text: Any, part: Any, start: Any = 0) -> int:
    """`text.indexOf(part, start)`; -1 when it is not there."""
    _search(frame, text, part)
    _whole(start)
    if not 0 <= start <= len(text):
        raise ExpressionError("out_of_range")
    return int(text.find(part, start))


def last_index_of(frame: Frame, text: Any, part: Any, start: Any = None) -> int:
    """`text.lastIndexOf(part, start)`: the last place that is not after `start`; -1 when there is none."""
    _search(frame, text, part)
    if start is not None:
        _whole(start)
        if not 0 <= start <= len(text):
            raise ExpressionError("out_of_range")
        text = text[: start + len(part)]
    # from the other end, because str.rfind may take the product of both lengths
    claim(frame, text_size(text) + text_size(part))
    place = text[::-1].find(part[::-1])
    return -1 if place < 0 else len(text) - len(part) - place


def lower(frame: Frame, text: Any) -> str:
    """`text.lowerAscii()`."""
    _texts(frame, text)
    claim(frame, text_size(text))
    return str(text.lower() if text.isascii() else text.translate(_LOWER))


def upper(frame: Frame, text: Any) -> str:
    """`text.upperAscii()`."""
    _texts(frame, text)
    claim(frame, text_size(text))
    return str(text.upper() if text.isascii() else text.translate(_UPPER))


def replace(frame: Frame, text: Any, old: Any, new: Any, times: Any = -1) -> str:
    """`text.replace(old, new, times)`; all when `times` is negative."""
    _search(frame, text, old)
    _texts(frame, new)
    _whole(times)
    found = len(text) + 1 if not old else text.count(old)
    found = found if times < 0 else min(found, times)
    spend(frame, found)
    claim(frame, text_size(text) + found * text_size(new))
    return str(text.replace(old, new, found))


def split(frame: Frame, text: Any, separator: Any, limit: Any = -1) -> list[str]:
    """`text.split(separator, limit)`: at most `limit` parts; all when it is negative. An empty separator gives the
    characters."""
    _search(frame, text, separator)
    _whole(limit)
    if limit == 0:
        return []
    parts = (max(len(text), 1) if not separator else text.count(separator) + 1) if limit < 0 else limit
    parts = min(parts, len(text) + 1)
    spend(frame, parts)
    claim(frame, text_size(text) + parts * (ITEM_BYTES + _PIECE_BYTES))
    if separator:
        return list(text.split(separator, parts - 1 if limit > 0 else -1))
    if limit < 0 or limit > len(text):
        return list(text) or [""]
    return [*text[: limit - 1], text[limit - 1 :]]


def substring(frame: Frame, text: Any, start: Any, end: Any = None) -> str:
    """`text.substring(start, end)`, without the character at `end`."""
    if text.__class__ is not str:
        raise no_overload()
    end = len(text) if end is None else end
    _whole(start, end)
    if not 0 <= start <= end <= len(text):
        raise ExpressionError("out_of_range")
    part = str(text[start:end])
    claim(frame, text_size(part))
    return part


def trim(frame: Frame, text: Any) -> str:
    """`text.trim()`: without white space at its ends."""
    _texts(frame, text)
    claim(frame, text_size(text))
    return str(text.strip(_SPACE))


def join(frame: Frame, items: Any, separator: Any = "") -> str:
    """`items.join(separator)` of texts."""
    if items.__class__ is not list:
        raise no_overload()
    spend(frame, len(items))
    _texts(frame, separator, *items)
    claim(frame, sum(map(text_size, items)) + text_size(separator) * len(items))
    return str(separator.join(items))


def reverse(frame: Frame, text: str) -> str:
    """`text.reverse()`."""
    scan(frame, text)
    claim(frame, text_size(text))
    return text[::-1]


def quote(frame: Frame, text: Any) -> str:
    """`strings.quote(text)`: as a literal of CEL."""
    _texts(frame, text)
    claim(frame, 2 * text_size(text) + 2)
    return f'"{text.translate(_QUOTED)}"'


def encode_base64(frame: Frame, value: Any) -> str:
    """`base64.encode(bytes)`."""
    if value.__class__ is not bytes:
        raise no_overload()
    claim(frame, 2 * len(value))
    return base64.b64encode(value).decode()


def decode_base64(frame: Frame, text: Any) -> bytes:
    """`base64.decode(text)`, with or without `=` at its end; spaces and line ends in it are left out."""
    _texts(frame, text)
    claim(frame, 2 * len(text))
    text = text.translate(_NO_SPACE)
    padding = "" if text.endswith("=") else "=" * (-len(text) % 4)
    try:
        return base64.b64decode(text + padding, validate=True)
    except (binascii.Error, ValueError):
        raise ExpressionError("invalid_value") from None


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "string": to_text,
    "bytes": to_bytes,
    "bool": to_bool,
    "contains": contains,
    "startsWith": starts_with,
    "endsWith": ends_with,
    "charAt": char_at,
    "indexOf": index_of,
    "lastIndexOf": last_index_of,
    "lowerAscii": lower,
    "upperAscii": upper,
    "replace": replace,
    "split": split,
    "substring": substring,
    "trim": trim,
    "join": join,
    "strings.quote": quote,
    "base64.encode": encode_base64,
    "base64.decode": decode_base64,
}
