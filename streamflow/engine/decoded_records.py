"""Decoded records of which many commands need the same one: what started a run, outputs of its steps, lists, the
windows of definitions. They are seldom written; a decoded copy holds until then."""

from __future__ import annotations

from typing import Any

KINDS_HELD = ("out/", "list/", "window/")
HELD_BYTES = 2 << 20  # of stored records, in one partition; decoded they take several times as much


class DecodedRecords:
    """The records that were asked for last, by key, up to `limit` bytes as they are stored. They are shared between
    decisions: nobody changes them."""

    def __init__(self, limit: int = HELD_BYTES) -> None:
        self._limit = limit
        self._held: dict[str, tuple[Any, int]] = {}  # record and size, the one asked for last at the end
        self._size = 0

    def __contains__(self, key: str) -> bool:
        return key in self._held

    def get(self, key: str) -> Any:
        """The record under `key`. Raises KeyError when it is not held."""
        found = self._held[key] = self._held.pop(key)
        return found[0]

    def hold(self, key: str, record: Any, size: int) -> None:
        """Hold a record of `size` bytes, unless it is larger than all that may be held, and let those go that were
        asked for longest ago."""
        self.forget(key)
        if size > self._limit:
            return
        self._held[key] = (record, size)
        self._size += size
        while self._size > self._limit:
            self.forget(next(iter(self._held)))

    def forget(self, key: str) -> None:
        """The record under `key` was written or deleted."""
        if (held := self._held.pop(key, None)) is not None:
            self._size -= held[1]
