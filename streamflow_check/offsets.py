"""Reads committed offsets with their metadata from Kafka's own log of them.

Kafka's Python client can be asked for them too, but it takes the metadata for text that ends with a zero byte, which
librdkafka does not put there: what follows in memory comes with it (measured with confluent-kafka 2.16).
"""

from __future__ import annotations

import struct
from collections.abc import Iterable

TOPIC = "__consumer_offsets"
_FLEXIBLE = 4  # the first version of a value with compact strings


def partition_of(group: str, partitions: int) -> int:
    """Where Kafka keeps the offsets of a group: the absolute value of Java's hash of its name."""
    found = 0
    for letter in group:
        found = (31 * found + ord(letter)) & 0xFFFFFFFF
    signed = found - (1 << 32) if found >> 31 else found
    return 0 if signed == -(1 << 31) else abs(signed) % partitions


class Commits:
    """What groups have committed, by (group, topic) and partition: the last offset and its metadata, and the partitions
    for which an offset was once committed without metadata, as tools that set offsets do."""

    def __init__(self) -> None:
        self.last: dict[tuple[str, str], dict[int, tuple[int, str]]] = {}
        self.bare: dict[tuple[str, str], set[int]] = {}


def committed(records: Iterable[tuple[bytes | None, bytes | None]]) -> Commits:
    """The commits in these keys and values. Raises ValueError for a format that is not known."""
    commits = Commits()
    found = commits.last
    for key, value in records:
        if key is None or struct.unpack_from(">h", key)[0] > 1:  # not an offset
            continue
        group, place = _string(key, 2)
        topic, place = _string(key, place)
        partition = struct.unpack_from(">i", key, place)[0]
        if value is None:
            found.get((group, topic), {}).pop(partition, None)
        else:
            found.setdefault((group, topic), {})[partition] = _value(value)
            if not found[group, topic][partition][1]:
                commits.bare.setdefault((group, topic), set()).add(partition)
    return commits


def _value(value: bytes) -> tuple[int, str]:
    version, offset = struct.unpack_from(">hq", value)
    if version not in (3, _FLEXIBLE):
        raise ValueError(f"expected a committed offset of version 3 or 4 but found {version}")
    place = 14  # version, offset, leader epoch
    return offset, _compact_string(value, place) if version == _FLEXIBLE else _string(value, place)[0]


def _string(data: bytes, place: int) -> tuple[str, int]:
    size = struct.unpack_from(">h", data, place)[0]
    return data[place + 2 : place + 2 + size].decode(), place + 2 + size


def _compact_string(data: bytes, place: int) -> str:
    size, shift = 0, 0
    while True:
        byte = data[place]
        size |= (byte & 0x7F) << shift
        place, shift = place + 1, shift + 7
        if byte < 0x80:
            return data[place : place + size - 1].decode()
