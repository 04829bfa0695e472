"""Records of mailboxes in the state of a partition, and their keys.

    box/<mailbox>                       open runs, an index of the events that are kept, whether a Continue is due
    mail/<mailbox>/<offset>             a kept event, written once
    due/<ms>/<mailbox>/<offset>         when keeping it ends, in that order
    seen/<bucket>/<mailbox>/<identity>  an event that was consumed or is kept
    trail/<bucket>/<mailbox>/<identity> one that nobody consumed
    window/<definition>                 how long its events are remembered, and in which buckets they are
    tally/<definition>                  how its deliveries ended, counted

`<mailbox>` is the definition and the key, the key preceded by its length: a key with slashes is no prefix of another.
A `<bucket>` is the time at which it is over, so that a changed window shortens the life of no record.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import Literal

from msgspec import Struct

from streamflow.engine.commands import Event
from streamflow.engine.trace import Trace

Position = tuple[str, int, int]  # topic id, partition and offset of a source record
Memory = Literal["seen", "trail"]
Taken = Literal["", "start", "one"]


def mailbox_name(definition: str, key: str) -> str:
    """The mailbox of a business key, as it stands in the keys of records."""
    return f"{definition}/{len(key.encode())}:{key}"


def erased_name(mailbox: str) -> str:
    """The name under which the memory of events continues when the key of their mailbox is erased: a digest, which says
    nothing of the key and is none of `mailbox_name`'s."""
    return f"~{hashlib.blake2b(mailbox.encode(), digest_size=16).hexdigest()}"


def box_key(mailbox: str) -> str:
    return f"box/{mailbox}"


def mail_key(mailbox: str, offset: int) -> str:
    return f"mail/{mailbox}/{offset}"


def due_key(at_ms: int, mailbox: str, offset: int) -> str:
    return f"due/{at_ms:015d}/{mailbox}/{offset}"


@lru_cache(maxsize=64)
def memory_prefix(memory: Memory, end_ms: int) -> str:
    return f"{memory}/{end_ms:015d}/"


def memory_key(memory: Memory, end_ms: int, mailbox: str, identity: str) -> str:
    return f"{memory_prefix(memory, end_ms)}{mailbox}/{identity}"


@lru_cache(maxsize=1 << 10)
def window_key(definition: str) -> str:
    return f"window/{definition}"


@lru_cache(maxsize=1 << 10)
def tally_key(definition: str) -> str:
    return f"tally/{definition}"


def mailbox_of(key: str) -> tuple[str, str]:
    """The mailbox that a key of `due`, `seen` or `trail` names, and what follows it (an offset or an identity)."""
    mailbox, _, last = key.split("/", 2)[2].rpartition("/")
    return mailbox, last


def names_of(mailbox: str) -> tuple[str, str]:
    """Definition and business key of a mailbox."""
    definition, _, key = mailbox.partition("/")
    return definition, key.partition(":")[2]


class Miss(Struct, frozen=True, gc=False, array_like=True):
    """Why a run, or all of them, did not take an event."""

    reason: str  # one of outcomes.NEAREST, or where_failed:<code>
    run: str | None = None
    step: str | None = None


class Entry(Struct, frozen=True, gc=False, array_like=True):
    """A kept event, without its payload. `until_ms` and `copies_until_ms` are the ends of its keeping for waits that
    take the original and for those that take copies; None: it is kept for open runs only."""

    offset: int  # of its delivery in `commands`: the place in the one order that there is
    name: str
    at_ms: int  # partition time of its arrival
    size: int  # bytes of its payload
    until_ms: int | None
    copies_until_ms: int | None
    taken: Taken = ""  # who has the original: a start, or a wait with `take: one`
    claims: int = 0  # how many waits took it, copies included
    miss: Miss | None = None  # the nearest that a wait came to taking it

    @property
    def due_ms(self) -> int | None:
        """When keeping it ends for all."""
        return max((end for end in (self.until_ms, self.copies_until_ms) if end is not None), default=None)


class OpenRun(Struct, frozen=True, gc=False, array_like=True):
    """An open run of the mailbox."""

    run: str
    start: int  # offset of its start command
    took: tuple[int, ...] = ()  # offsets of entries that are still there and that it has taken


class Box(Struct, frozen=True, gc=False, array_like=True):
    """The index of a mailbox."""

    runs: tuple[OpenRun, ...] = ()  # oldest first
    entries: tuple[Entry, ...] = ()  # in the order of their arrival
    continue_due: bool = False  # a ContinueDelivery is on its way; until it is decided, events are only kept


EMPTY = Box()


class Mail(Struct, frozen=True, gc=False):
    """A kept event, as it was delivered."""

    event: Event
    identity: str
    position: Position
    window_ms: int  # how long it is remembered once it is consumed
    trace: Trace | None = None  # the span that delivered it


class Window(Struct, frozen=True, gc=False, omit_defaults=True):
    """How the events of a definition are remembered. Buckets that have been swept may still be named."""

    window_ms: int  # with which an event was remembered last
    seen: tuple[int, ...] = ()  # when each of its buckets is over, oldest first
    trail: tuple[int, ...] = ()


class Remembered(Struct, frozen=True, gc=False, array_like=True):
    """What is remembered of an event by its identity."""

    outcome: str  # how its delivery ended, or `kept`
    offset: int  # of the delivery
    last: int  # offset of the command that ended it
    at_ms: int  # partition time of that
    # of the source record, or of the record of a start that was forwarded, in the partition that it was sent to; None:
    # a start that a user or another program asked for
    position: Position | None = None
