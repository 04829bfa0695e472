"""Which values types of Avro and Protobuf hold exactly. Texts are read strictly: what Python reads beside their usual
form (underscores, other scripts' digits, letters in between) would come back as something else."""

from __future__ import annotations

import base64
import binascii
import math
import re
import struct
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any

WHOLE = re.compile(r"-?[0-9]{1,40}")
NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]{1,9})?")
DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
UUID_TEXT = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_CLOCK = r"[0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:[.](?P<fraction>[0-9]+))?)?"
_OFFSET = r"(?P<offset>[Zz]|[+-][0-9]{2}:[0-9]{2})?"
_TIME = re.compile(_CLOCK)
_MOMENT = re.compile(f"{DATE.pattern}[Tt ]{_CLOCK}{_OFFSET}")
_EXACT = 2**53  # whole numbers up to it are those of a double


class Unfit(ValueError):
    """Data that a schema has no place for; the text names the place and holds nothing of the data."""


def double_of(number: float) -> float | None:
    """`number` as a double; None for a whole one that no double is, and what is out of range."""
    try:
        found = float(number)
    except OverflowError:
        return None
    return found if math.isfinite(found) and (not isinstance(number, int) or int(found) == number) else None


def single_of(number: float) -> float | None:
    """`number` as a float of 32 bits. Those with a fraction are rounded to it, which is what the type is for; None for
    a whole one that none is, and what is out of range."""
    try:
        found: float = struct.unpack("<f", struct.pack("<f", number))[0]
    except OverflowError:
        return None
    is_whole = isinstance(number, int) or (number.is_integer() and abs(number) <= _EXACT)
    return found if math.isfinite(found) and (not is_whole or int(found) == number) else None


def base64_of(data: Any) -> bytes:
    """The bytes of base64. Raises ValueError for what they would not be written as."""
    if not isinstance(data, str):
        raise ValueError("no text")
    try:
        found = base64.b64decode(data, validate=True)
    except binascii.Error as error:
        raise ValueError("no base64") from error
    if base64.b64encode(found).decode() != data:
        raise ValueError("no base64")
    return found


def moment_of(text: str, digits: int, *, with_offset: bool) -> datetime:
    """The date and time of a text of RFC 3339, with or without its offset. Raises ValueError, also for a second with
    more than `digits` digits after the point that are not 0."""
    found = _MOMENT.fullmatch(text)
    if found is None or (found["offset"] is not None) is not with_offset:
        raise ValueError("no such moment")
    _check_fraction(found, digits)
    return datetime.fromisoformat(text.upper())


def time_of(text: str, digits: int) -> time:
    """The time of day of a text without an offset. Raises ValueError, as `moment_of`."""
    found = _TIME.fullmatch(text)
    if found is None:
        raise ValueError("no such time")
    _check_fraction(found, digits)
    return time.fromisoformat(text)


def date_of(text: str) -> date:
    """The date of a text of RFC 3339. Raises ValueError."""
    if DATE.fullmatch(text) is None:
        raise ValueError("no such date")
    return date.fromisoformat(text)


def decimal_of(data: Any) -> Decimal:
    """The decimal of a text or a number. Raises ValueError."""
    text = str(data) if isinstance(data, int | float) and not isinstance(data, bool) else data
    if not isinstance(text, str) or NUMBER.fullmatch(text) is None:
        raise ValueError("no decimal")
    found = Decimal(text)
    return found if found else abs(found)  # zero has no sign in Avro


def _check_fraction(found: re.Match[str], digits: int) -> None:
    if (found["fraction"] or "")[digits:].strip("0"):
        raise ValueError("more digits than it holds")
