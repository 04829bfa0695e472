"""Looks at a broker's files: the only way to know what it holds while it does not answer."""

from __future__ import annotations

import struct
from pathlib import Path

_HEADER = 61
_TRANSACTIONAL, _CONTROL = 0x10, 0x20


def open_transaction(broker: Path, topic: str) -> list[str]:
    """The partitions of `topic` whose last batch is part of a transaction that has no end yet. For partitions with one
    writer."""
    return [folder.name for folder in sorted((broker / "data").glob(f"{topic}-*")) if _ends_open(folder)]


def _ends_open(folder: Path) -> bool:
    attributes = 0
    for segment in sorted(folder.glob("*.log"), reverse=True):
        data = segment.read_bytes()
        place = 0
        while place + _HEADER <= len(data):
            size = struct.unpack_from(">i", data, place + 8)[0]
            if size <= 0:  # preallocated
                break
            attributes = struct.unpack_from(">h", data, place + 21)[0]
            place += 12 + size
        if place:
            break
    return bool(attributes & _TRANSACTIONAL) and not attributes & _CONTROL
