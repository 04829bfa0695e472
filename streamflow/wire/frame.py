"""The frame in which clients of a schema registry put a payload: the magic byte 0, the id of its schema in four bytes,
and the payload. A payload of Protobuf begins with the place of its message in the schema."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from streamflow.wire.codec import DecodeError

SCHEMA_NAME = "streamflow.schema"
"""The header that a framed record has for its reader: what its schema calls it, such as `shop.OrderPlaced`."""


class Unframe(Protocol):
    """What reads framed values, by the schemas of a registry."""

    def read(self, value: bytes) -> Any:
        """The payload as data. Raises DecodeError."""

    def name(self, value: bytes) -> str:
        """What its schema calls it; empty when it says nothing. Raises DecodeError when there is no such schema."""


MAGIC = b"\0"
HEAD_BYTES = 5  # the magic byte and the id
_MOST_INDEXES = 32  # messages within messages
_VARINT_BYTES = 10


def framed_schema(value: bytes | None) -> int | None:
    """The id of the schema that `value` was written with; None when it is not framed. JSON never begins so."""
    if value is None or value[:1] != MAGIC or len(value) < HEAD_BYTES:
        return None
    return int.from_bytes(value[1:HEAD_BYTES], "big")


def head(schema_id: int) -> bytes:
    """What comes before a payload that was written with this schema."""
    return MAGIC + schema_id.to_bytes(HEAD_BYTES - 1, "big")


def message_indexes(value: bytes) -> tuple[tuple[int, ...], int]:
    """Which message of its schema a framed value of Protobuf is (an index for each level), and where its bytes begin.

    Raises DecodeError (`schema_decode_failed`)."""
    count, at = _varint(value, HEAD_BYTES)
    if count == 0:
        return (0,), at
    if not 0 < count <= _MOST_INDEXES:
        raise _bad_place()
    indexes = []
    for _ in range(count):
        index, at = _varint(value, at)
        if index < 0:
            raise _bad_place()
        indexes.append(index)
    return tuple(indexes), at


def encoded_indexes(indexes: Sequence[int]) -> bytes:
    """What comes before the bytes of the message at `indexes`: one byte 0 for the first message."""
    if tuple(indexes) == (0,):
        return b"\0"
    return b"".join(_zigzag(number) for number in (len(indexes), *indexes))


def _varint(value: bytes, at: int) -> tuple[int, int]:
    """The zigzag number at `at`, and where it ends."""
    number = 0
    for nth in range(_VARINT_BYTES):
        if at + nth >= len(value):
            raise _bad_place()
        byte = value[at + nth]
        number |= (byte & 0x7F) << (7 * nth)
        if byte < 0x80:
            return (number >> 1) ^ -(number & 1), at + nth + 1
    raise _bad_place()


def _zigzag(number: int) -> bytes:
    left, encoded = number << 1, bytearray()
    while left > 0x7F:
        encoded.append(left & 0x7F | 0x80)
        left >>= 7
    encoded.append(left)
    return bytes(encoded)


def _bad_place() -> DecodeError:
    return DecodeError(
        "schema_decode_failed",
        "The value does not say which message of its Protobuf schema it is, as a schema registry's serializer writes "
        "it. Send it with such a serializer.",
    )
