"""Whether what a consumer gives out goes on where the last of it ended. Pure.

A batch that is given out in a rebalance may be dropped by whoever asked for it, and the consumer is past it all the
same; what follows then has a hole in front of it. Only the log itself can say that a hole is real: by the first batch
after a seek to where reading was to go on.
"""

from __future__ import annotations

from enum import Enum


class Verdict(Enum):
    """What is to be done with a batch."""

    TAKE = "take"
    SEEK = "seek"  # go back to what is expected
    HOLE = "hole"  # take it: the log holds nothing before it


class Contiguity:
    """One consumer's partitions."""

    def __init__(self) -> None:
        self._sought: dict[int, int] = {}

    def sought(self, partition: int, offset: int) -> None:
        """The consumer was told to go on at `offset`."""
        self._sought[partition] = offset

    def judge(self, partition: int, expected: int, first: int, *, current: bool) -> Verdict:
        """What to do with a batch that begins at `first`. `current`: it was asked for after the last seek of all
        partitions."""
        if first <= expected:
            self._sought.pop(partition, None)
            return Verdict.TAKE
        if current and self._sought.pop(partition, None) == expected:
            return Verdict.HOLE
        return Verdict.SEEK
