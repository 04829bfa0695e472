"""The records of the reference."""

from __future__ import annotations

from typing import Any, NamedTuple

from tests.model.mailbox.words import Mailbox

RECORD, WRITES = 700, 52  # bytes of a record and writes of a command: neither depends on history
MEMORIES = ("seen", "trail")

Key = tuple[Any, ...]
Bucket = tuple[int, int]  # when it is over, and how long its records live


class Entry(NamedTuple):
    """A kept event in the index of its mailbox; -1 where there is no keep."""

    offset: int
    name: str
    at: int
    until: int
    copies_until: int
    taken: str = ""  # start | one
    claims: int = 0


class Box(NamedTuple):
    """The index of a mailbox."""

    runs: tuple[tuple[str, int], ...] = ()  # (run, offset of its start)
    entries: tuple[Entry, ...] = ()
    more: bool = False  # claims are due, by a Continue


class Begun(NamedTuple):
    """A begun wait."""

    wait: int
    offset: int
    at: int
    limit: int | None


class Run(NamedTuple):
    """The head of a run."""

    definition: str
    key: str
    version: int
    start: int
    at: int
    tag: int
    stopping: bool
    waits: tuple[Begun, ...]
    begun: tuple[int, ...]  # how often each wait of the plan has begun
    took: tuple[int, ...]  # offsets of entries

    @property
    def box(self) -> Mailbox:
        return self.definition, self.key


EMPTY = Box()
