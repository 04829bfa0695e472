"""Choices that follow from a seed alone, the same in every process and with every version of Python."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TypeVar

_Item = TypeVar("_Item")


class Dice:
    """A stream of numbers that `seed` determines."""

    def __init__(self, seed: str) -> None:
        self._seed, self._thrown = seed, 0

    def below(self, limit: int) -> int:
        """A number from 0 to `limit` - 1."""
        self._thrown += 1
        digest = hashlib.sha256(f"{self._thrown}/{self._seed}".encode("utf-8", "surrogatepass")).digest()
        return int.from_bytes(digest[:12], "big") % limit

    def between(self, low: int, high: int) -> int:
        """A number from `low` to `high`, both included."""
        return low + self.below(high - low + 1)

    def choice(self, items: Sequence[_Item]) -> _Item:
        """One of `items`, of which there is at least one."""
        return items[self.below(len(items))]
