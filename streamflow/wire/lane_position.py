"""How far a partition of a lane is done: the committed offset and its metadata, which Kafka keeps up to 4096 bytes.

The offset is the lowest unfinished one. The metadata is JSON: `done`, the finished offsets above it (unsigned varints
in base64, alternately how many are unfinished and how many finished), `source`, the highest that was read below it,
`counts` of how tasks ended, `topic` (the id of the lane's topic) and `by`, the worker that committed it. Ranges that do
not fit are left out: their tasks are done again, should the worker die.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from streamflow.wire.tasks import Source, read_source
from streamflow.wire.unreadable import UNREADABLE

METADATA_BYTES = 4096

Range = tuple[int, int]  # from, and to without it

_encoder = msgspec.json.Encoder(order="deterministic")


class _Metadata(msgspec.Struct, omit_defaults=True):
    topic: str
    by: str
    source: str = ""
    done: str = ""
    counts: dict[str, int] = {}


_decoder = msgspec.json.Decoder(_Metadata)


@dataclass(frozen=True, slots=True)
class LanePosition:
    """One partition at one moment. `finished` lie above `offset`, in order, not touching each other."""

    offset: int
    topic_id: str
    by: str
    source: Source | None = None
    finished: tuple[Range, ...] = ()
    counts: Mapping[str, int] = field(default_factory=dict)


def encode_position(position: LanePosition, limit_bytes: int = METADATA_BYTES) -> tuple[str, int]:
    """The metadata to be committed with `position.offset`, and how many finished offsets did not fit in."""
    source = "" if position.source is None else str(position.source)
    bare = _Metadata(position.topic_id, position.by, source, "-", dict(position.counts))
    room = (limit_bytes - len(_encoder.encode(bare))) // 4 * 3  # base64 makes four bytes of three
    packed, kept = _pack(position.offset, position.finished, room)
    bare.done = base64.b64encode(packed).decode()
    return _encoder.encode(bare).decode(), sum(end - begin for begin, end in position.finished[kept:])


def decode_position(offset: int, metadata: str) -> LanePosition | None:
    """The position of a committed offset; None when no worker of ours wrote its metadata (an operator's tool sets
    offsets without it)."""
    try:
        read = _decoder.decode(metadata)
        finished = tuple(_unpack(offset, base64.b64decode(read.done, validate=True)))
    except UNREADABLE:
        return None
    return LanePosition(offset, read.topic, read.by, read_source(read.source), finished, read.counts)


def _pack(offset: int, finished: Sequence[Range], room: int) -> tuple[bytes, int]:
    packed, at = bytearray(), offset
    for kept, (begin, end) in enumerate(finished):
        entry = _varint(begin - at) + _varint(end - begin)
        if len(packed) + len(entry) > room:
            return bytes(packed), kept
        packed += entry
        at = end
    return bytes(packed), len(finished)


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _unpack(offset: int, packed: bytes) -> Iterator[Range]:
    numbers: list[int] = []
    number = shift = 0
    for byte in packed:
        number |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            numbers.append(number)
            number = shift = 0
    if shift or len(numbers) % 2:
        raise ValueError("cut short")
    at = offset
    for gap, length in zip(numbers[::2], numbers[1::2], strict=True):
        yield at + gap, at + gap + length
        at += gap + length
