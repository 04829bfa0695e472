"""A place in a list, as text that a caller gives back."""

from __future__ import annotations

import base64
import binascii
from typing import Annotated, Any

import msgspec

from streamflow.errors import Rejected

_Number = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]  # that a column holds


def encode_cursor(sort: str, entry: tuple[Any, ...]) -> str:
    """A place in a list, as text."""
    return base64.urlsafe_b64encode(msgspec.json.encode([sort, *entry])).decode().rstrip("=")


def decode_cursor(cursor: str, sort: str) -> tuple[int, int]:
    """The place that a cursor names. Raises Rejected (`cursor_invalid`)."""
    try:
        of, value, no = msgspec.json.decode(_bytes(cursor), type=tuple[str, _Number, _Number])
    except (ValueError, binascii.Error) as error:
        raise _cursor_invalid() from error
    if of != sort:
        raise _cursor_invalid()
    return value, no


def decode_text_cursor(cursor: str, of: str) -> tuple[int, str]:
    """The same of a list whose rows have a text as their name. Raises Rejected (`cursor_invalid`)."""
    try:
        found, value, name = msgspec.json.decode(_bytes(cursor), type=tuple[str, _Number, str])
    except (ValueError, binascii.Error) as error:
        raise _cursor_invalid() from error
    if found != of:
        raise _cursor_invalid()
    return value, name


def _bytes(cursor: str) -> bytes:
    return base64.urlsafe_b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4))


def _cursor_invalid() -> Rejected:
    return Rejected(
        "cursor_invalid",
        "expected a cursor as the page before gave it, with the same sort, but found another text. Begin with the "
        "first page.",
    )
