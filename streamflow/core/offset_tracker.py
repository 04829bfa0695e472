"""The completed tasks of one partition of a lane, and how they survive a restart of the worker. Pure.

Attempts end in any order. Everything between the lowest unfinished offset and the next one to be read is either open
here or finished, so only the open ones are kept. With each goes the highest source that was read before it: what a
worker has to know that begins there.
"""

from __future__ import annotations

from collections import Counter
from enum import StrEnum

from streamflow.wire.lane_position import LanePosition, Range
from streamflow.wire.tasks import Source


class Outcome(StrEnum):
    """How a record of a lane ends; each ends in exactly one way."""

    COMPLETED = "completed"
    FAILED = "failed"
    SUSPENDED = "suspended"
    EXPIRED = "expired"  # its time in the queue, or its deadline, had passed
    CANCELLED = "cancelled"
    COPY = "copies"
    CANCEL = "cancels"  # the request to cancel another one
    UNREADABLE = "unreadable"  # it is a dead letter


class Seen(StrEnum):
    """What a record is that was just read."""

    NEW = "new"
    COPY = "copy"
    FINISHED = "finished"  # already, as the committed position says, or read before


class OffsetTracker:
    """One partition, from a committed position on. `next` is the offset to be read next."""

    def __init__(self, position: LanePosition) -> None:
        self.topic_id = position.topic_id
        self.by = position.by
        self.next = position.offset
        self.source = position.source
        self.counts: Counter[str] = Counter(position.counts)
        self.changed = False  # since `position` was asked for
        self._open: dict[int, Source | None] = {}  # in order; with each the highest source before it
        self._ahead: list[Range] = list(reversed(position.finished))  # not yet read again

    @property
    def open(self) -> int:
        """How many are read and unfinished."""
        return len(self._open)

    @property
    def lowest(self) -> int:
        """The lowest unfinished offset."""
        return next(iter(self._open), self.next)

    def read(self, offset: int, source: Source | None) -> Seen:
        """Returns what the record at `offset` is, and notes it: a new one is open until `finish`, others are
        finished."""
        if offset < self.next:
            return Seen.FINISHED
        self.next = offset + 1
        before = self.source
        while self._ahead and self._ahead[-1][1] <= offset:
            self._ahead.pop()
        known = bool(self._ahead) and self._ahead[-1][0] <= offset
        copy = source is not None and before is not None and before.covers(source)
        if source is not None and not copy:
            self.source = source
        if known:
            self.changed = True
            return Seen.FINISHED
        if copy:
            self.changed = True
            self.counts[Outcome.COPY] += 1
            return Seen.COPY
        self._open[offset] = before
        return Seen.NEW

    def finish(self, offset: int, outcome: Outcome) -> None:
        """The record at `offset`, which was new, has ended, and the broker has its result."""
        del self._open[offset]
        self.counts[outcome] += 1
        self.changed = True

    def position(self) -> LanePosition:
        """What is to be committed now."""
        self.changed = False
        lowest = self.lowest
        source = self._open[lowest] if self._open else self.source
        return LanePosition(lowest, self.topic_id, self.by, source, tuple(self._ranges(lowest)), dict(self.counts))

    def _ranges(self, lowest: int) -> list[Range]:
        ranges: list[Range] = []
        at = lowest
        for offset in self._open:
            if offset > at:
                ranges.append((at, offset))
            at = offset + 1
        if self._open and self.next > at:
            ranges.append((at, self.next))
        for begin, end in reversed(self._ahead):
            begin = max(begin, self.next)
            if begin >= end:
                continue
            if ranges and ranges[-1][1] == begin:
                ranges[-1] = (ranges[-1][0], end)
            else:
                ranges.append((begin, end))
        return ranges
