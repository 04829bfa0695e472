"""Decompression with a bound: what a compressed batch of records says, or that it is more than may be held.

aiokafka and its codecs inflate whatever a batch holds in one go, and a few hundred kilobytes may say hundreds of
megabytes. Here no more than the bound is ever allocated: gzip (RFC 1952) is inflated in parts, snappy names its length
before its data, lz4 and zstd (RFC 8878) write into a buffer of the bound.
"""

from __future__ import annotations

import mmap
import struct
import zlib
from collections.abc import Callable
from typing import Any

import cramjam

GZIP, SNAPPY, LZ4, ZSTD = 1, 2, 3, 4
NAMES = {GZIP: "gzip", SNAPPY: "snappy", LZ4: "lz4", ZSTD: "zstd"}
"""Kafka's numbers of the codecs, in the attributes of a batch."""

_XERIAL = b"\x82SNAPPY\x00"  # the framing of Java's snappy: this, two versions, then blocks with their lengths
_XERIAL_HEADER_BYTES = 16
_GZIP_WINDOW = 31  # zlib's number for a gzip header and the largest window


class Oversize(Exception):
    """The data has more bytes than the bound."""


class Undecodable(Exception):
    """The data is not of the codec that it claims."""


def inflate(codec: int, data: bytes, limit_bytes: int) -> bytes:
    """What `data` says, at most `limit_bytes`. Raises Oversize or Undecodable."""
    decode = _DECODERS.get(codec)
    if decode is None:
        raise Undecodable(f"codec {codec} is not one of {', '.join(NAMES.values())}")
    try:
        return decode(data, limit_bytes)
    except (ValueError, zlib.error, struct.error, EOFError, OSError, cramjam.DecompressionError) as error:
        raise Undecodable(f"{NAMES[codec]}: {error}") from error


def _gzip(data: bytes, limit_bytes: int) -> bytes:
    parts: list[bytes] = []
    left = limit_bytes
    while data:
        member = zlib.decompressobj(_GZIP_WINDOW)
        part = member.decompress(data, left + 1)
        if len(part) > left:
            raise Oversize
        if not member.eof:
            raise ValueError("the data ends within a member")
        parts.append(part)
        left -= len(part)
        data = member.unused_data.lstrip(b"\0")  # padding, as Python's gzip reads it
    return b"".join(parts)


def _snappy(data: bytes, limit_bytes: int) -> bytes:
    if not data.startswith(_XERIAL):
        return _snappy_block(data, limit_bytes)
    parts: list[bytes] = []
    left, at = limit_bytes, _XERIAL_HEADER_BYTES
    while at < len(data):
        (size,) = struct.unpack_from(">i", data, at)
        at += 4
        if not 0 < size <= len(data) - at:
            raise ValueError(f"a block of {size} bytes, and {len(data) - at} are left")
        parts.append(_snappy_block(data[at : at + size], left))
        left -= len(parts[-1])
        at += size
    return b"".join(parts)


def _snappy_block(data: bytes, limit_bytes: int) -> bytes:
    if cramjam.snappy.decompress_raw_len(data) > limit_bytes:
        raise Oversize
    return bytes(cramjam.snappy.decompress_raw(data))


def _into_buffer(codec: Any) -> Callable[[bytes, int], bytes]:
    def decode(data: bytes, limit_bytes: int) -> bytes:
        # Anonymous memory: only the pages that are written are ever taken.
        with mmap.mmap(-1, limit_bytes + 1) as buffer:
            try:
                size = codec.decompress_into(data, buffer)
            except cramjam.DecompressionError as error:
                if "write whole buffer" in str(error):
                    raise Oversize from error
                raise
            if size > limit_bytes:
                raise Oversize
            return buffer[:size]

    return decode


_DECODERS: dict[int, Callable[[bytes, int], bytes]] = {
    GZIP: _gzip,
    SNAPPY: _snappy,
    LZ4: _into_buffer(cramjam.lz4),
    ZSTD: _into_buffer(cramjam.zstd),
}
