"""Whether a fetched batch continues where the last one ended (law contiguous-input).

A batch that a consumer hands out during a rebalance may be dropped, and the consumer's position is past it all the
same; what follows then has a hole in front of it. Only the log itself can say that a hole is real: by the first batch
after a seek to the expected offset.
"""

from __future__ import annotations

from enum import Enum


class Verdict(Enum):
    """What to do with a batch."""

    TAKE = "take"
    SEEK = "seek"  # go back to the expected offset
    HOLE = "hole"  # take it: the log has no records before it


def judge(expected: int, first: int, sought: int | None) -> Verdict:
    """What to do with a batch that begins at `first` when `expected` is next. `sought` is the offset that its fetch
    began at, if it was the first one after a seek."""
    if first <= expected:
        return Verdict.TAKE
    return Verdict.HOLE if sought == expected else Verdict.SEEK


class GapCheck:
    """One consumer's partitions."""

    def __init__(self) -> None:
        self._sought: dict[int, int] = {}

    def sought(self, partition: int, offset: int) -> None:
        """The consumer was told to continue at `offset`."""
        self._sought[partition] = offset

    def judge(self, partition: int, expected: int, first: int, *, current: bool) -> Verdict:
        """What to do with a batch that begins at `first`. `current`: it was fetched after the last seek of all
        partitions."""
        sought = self._sought.get(partition) if current else None
        verdict = judge(expected, first, sought)
        if verdict is Verdict.TAKE or current:
            self._sought.pop(partition, None)
        return verdict
