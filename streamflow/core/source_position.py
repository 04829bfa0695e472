"""What has been read of one source partition, and what of it may be committed.

Commands of a record may be held back because the engine's partition that they belong to is far behind, while later
records are read on. The committed offset is then that of the first such record, and its counts are those up to it, so
that offset and counts are one cut for the next reader (law one-outcome).
"""

from __future__ import annotations

import json
from collections import deque
from typing import NamedTuple

from streamflow.wire.unreadable import UNREADABLE


class Counts(NamedTuple):
    """Outcomes of the records of a partition, of all time: read = matched + ignored + dead."""

    read: int = 0
    matched: int = 0  # some command came of it
    ignored: int = 0  # no version in use wants it
    dead: int = 0  # a dead letter, and no command
    outdated: int = 0  # beside those: how often an older version could not read one


NO_COUNTS = Counts()
_PLACES = {name: place for place, name in enumerate(Counts._fields)}


class Stored(NamedTuple):
    """What the group remembers of a partition with its offset."""

    topic_id: str
    counts: Counts
    partitions: int  # that the topic had when reading of it began; those above came later


class Waiting(NamedTuple):
    """A record with commands that are held back, and the counts before it."""

    offset: int
    before: Counts


class SourcePosition:
    """One partition, as this ingress has read it."""

    def __init__(
        self,
        topic: str,
        partition: int,
        topic_id: str,
        next: int,
        committed: int,
        counts: Counts = NO_COUNTS,
        partitions: int = 0,
    ) -> None:
        self.topic = topic
        self.partition = partition
        self.topic_id = topic_id
        self.next = next  # the offset to be read next
        self.committed = committed  # the offset that the group has
        self.partitions = partitions  # that the topic had when reading of it began
        self._tally = list(counts)
        self._waiting: deque[Waiting] = deque()
        self._held: dict[int, int] = {}  # how many commands of an offset are held back

    @property
    def counts(self) -> Counts:
        """Outcomes of all records that were read."""
        return Counts(*self._tally)

    def count(self, offset: int, outcome: str, outdated: int = 0, records: int = 1) -> None:
        """The record at `offset`, or that many `records` which end there, had `outcome` (`matched`, `ignored` or
        `dead`)."""
        tally = self._tally
        tally[0] += records
        tally[_PLACES[outcome]] += records
        tally[4] += outdated
        self.next = offset + 1

    def hold(self, offset: int) -> None:
        """A command of the record at `offset` is held back. To be called before `count`."""
        if offset not in self._held:
            self._waiting.append(Waiting(offset, self.counts))
        self._held[offset] = self._held.get(offset, 0) + 1

    def release(self, offset: int) -> None:
        """A command that was held back is acknowledged."""
        self._held[offset] -= 1
        if not self._held[offset]:
            del self._held[offset]
        while self._waiting and self._waiting[0].offset not in self._held:
            self._waiting.popleft()

    @property
    def committable(self) -> int:
        """The offset below which everything is done."""
        return self._waiting[0].offset if self._waiting else self.next

    def position(self) -> tuple[int, str]:
        """What is committed: an offset, and as its metadata the counts up to it."""
        counts = self._waiting[0].before if self._waiting else self.counts
        metadata = {"topic_id": self.topic_id, "partitions": self.partitions, **counts._asdict()}
        return self.committable, json.dumps(metadata, sort_keys=True, separators=(",", ":"))


def stored_of(metadata: str) -> Stored | None:
    """What the metadata of a committed offset says; None when ingress did not write it (an operator's tool sets offsets
    without it)."""
    try:
        found = json.loads(metadata)
        counts = Counts(*(int(found[name]) for name in ("read", "matched", "ignored", "dead")))
        counts = counts._replace(outdated=int(found.get("outdated", 0)))
        return Stored(str(found["topic_id"]), counts, int(found.get("partitions", 0)))
    except (*UNREADABLE, AttributeError):
        return None
