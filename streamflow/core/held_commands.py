"""Commands whose partition of `commands` takes nothing now, because the engine is far behind there: kept in order and
in bounds while others are sent.

A source partition is stopped only when a record of it has a command for a partition whose bound is reached. Sources
whose keys belong elsewhere are never stopped.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from typing import NamedTuple

COMMANDS_MOST = 5_000  # of one partition
BYTES_MOST = 8 << 20  # of all partitions together


class Held(NamedTuple):
    """One command, and the record that it came of."""

    key: str
    value: bytes
    source: tuple[str, int]  # topic and partition
    offset: int


class HeldCommands:
    """By partition of `commands`. `blocked` are the partitions that take nothing now."""

    def __init__(self, *, commands_most: int = COMMANDS_MOST, bytes_most: int = BYTES_MOST) -> None:
        self.blocked: frozenset[int] = frozenset()
        self._commands_most = commands_most
        self._bytes_most = bytes_most
        self._held: dict[int, deque[Held]] = {}
        self._bytes = 0

    def __len__(self) -> int:
        return sum(len(held) for held in self._held.values())

    def must_hold(self, partition: int) -> bool:
        """Whether a command for `partition` has to wait, or wait behind others."""
        return partition in self.blocked or partition in self._held

    def room(self, partition: int) -> bool:
        """Whether one more may wait there."""
        return len(self._held.get(partition, ())) < self._commands_most and self._bytes < self._bytes_most

    def hold(self, partition: int, held: Held) -> None:
        self._held.setdefault(partition, deque()).append(held)
        self._bytes += len(held.value)

    @property
    def releasable(self) -> bool:
        """Whether `take` would give anything."""
        return any(partition not in self.blocked for partition in self._held)

    def take(self) -> list[tuple[int, Held]]:
        """Those of partitions that are no longer blocked, in order; they are forgotten here."""
        taken: list[tuple[int, Held]] = []
        for partition in [partition for partition in self._held if partition not in self.blocked]:
            for held in self._held.pop(partition):
                self._bytes -= len(held.value)
                taken.append((partition, held))
        return taken

    def sources(self) -> Mapping[int, frozenset[tuple[str, int]]]:
        """The sources that have commands waiting, by partition of `commands`."""
        return {partition: frozenset(one.source for one in held) for partition, held in self._held.items()}

    def drop(self) -> None:
        """Forget everything: it is read again from the committed offsets."""
        self._held.clear()
        self._bytes = 0


def behind(
    committed: Mapping[int, int], begins: Mapping[int, int], ends: Mapping[int, int], limit: int
) -> dict[int, int]:
    """The partitions of `commands` in which the engine is more than `limit` commands behind, and how many. One whose
    end nobody knows now is none of them."""
    lags = {
        partition: end - max(committed.get(partition, -1), begins.get(partition, 0)) for partition, end in ends.items()
    }
    return {partition: lag for partition, lag in lags.items() if lag > limit}


def resumable(stopped: Iterable[tuple[tuple[str, int], int]], held: HeldCommands) -> list[tuple[str, int]]:
    """Of the sources that were stopped by a partition of `commands`, those that may be read on."""
    return [source for source, partition in stopped if held.room(partition)]
