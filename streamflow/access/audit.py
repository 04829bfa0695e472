"""The account of changes: entries of the topic `audit` that form a chain. Each names who changed what, how it was
before and is after, and the digest of the entry before it, so an entry that was changed, taken out or put in is found.
Pure.

A chain shows changes to anyone who kept a later digest. The topic `access` keeps the last one, which finds an end that
was cut off; `streamflow audit verify --expect` compares with one that was kept elsewhere."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from streamflow.access.records import AuditHead
from streamflow.wire.decoding import Headers, Record
from streamflow.wire.transitions import rfc3339

TYPE = "streamflow.Audited"
_encoder = msgspec.json.Encoder(order="sorted")
_TEXT_CHARS = 8000


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One change."""

    number: int  # from 1, without gaps
    at_ms: int  # epoch milliseconds, by the clock of the writer
    who: str  # name of the user; `token`, `local`, or `command line: <user>@<host>`
    user: str = ""  # id of the user, if it is one
    via: str = ""  # how they proved it: `session`, the visible part of a key, ...
    action: str  # such as `user.added`
    target: str  # what was changed
    before: Any = None
    after: Any = None
    previous: str  # digest of the entry before; empty for the first
    digest: str = ""  # SHA-256 in hex of the entry as JSON with sorted names, this one empty


class Actor(msgspec.Struct, frozen=True, kw_only=True):
    """Who changes something."""

    who: str  # as in Entry
    user: str = ""
    via: str = ""


def entry(
    head: AuditHead, actor: Actor, *, at_ms: int, action: str, target: str, before: Any = None, after: Any = None
) -> Entry:
    """The entry that follows `head`."""
    made = Entry(
        number=head.number + 1,
        at_ms=at_ms,
        who=actor.who,
        user=actor.user,
        via=actor.via,
        action=action,
        target=target[:_TEXT_CHARS],
        before=_bounded(before),
        after=_bounded(after),
        previous=head.digest,
    )
    return msgspec.structs.replace(made, digest=digest_of(made))


def _bounded(value: Any) -> Any:
    """What is too large for an account is kept as its digest."""
    encoded = _encoder.encode(value)
    if len(encoded) <= _TEXT_CHARS:
        return value
    return {"sha256": hashlib.sha256(encoded).hexdigest(), "bytes": len(encoded)}


def digest_of(found: Entry) -> str:
    """The digest that belongs to an entry."""
    return hashlib.sha256(_encoder.encode(msgspec.structs.replace(found, digest=""))).hexdigest()


def head_of(found: Entry) -> AuditHead:
    """What the topic `access` keeps of the last entry."""
    return AuditHead(found.number, found.digest)


def encode_entry(found: Entry) -> tuple[bytes, bytes, Headers]:
    """(key, value, headers) of the record, a CloudEvent in binary mode."""
    headers = (
        ("ce_id", str(found.number).encode()),
        ("ce_source", b"/streamflow/audit"),
        ("ce_specversion", b"1.0"),
        ("ce_time", rfc3339(found.at_ms)),
        ("ce_type", TYPE.encode()),
        ("content-type", b"application/json"),
    )
    return found.action.encode(), _encoder.encode(found), headers


def is_entry(record: Record) -> bool:
    """Whether a record of `audit` says that it is an entry of the chain."""
    return any(name == "ce_type" and value == TYPE.encode() for name, value in record.headers)


def decode_entry(value: bytes) -> Entry:
    """The entry in a record. Raises what `wire.unreadable.UNREADABLE` lists."""
    return msgspec.json.decode(value, type=Entry)


@dataclass(frozen=True, slots=True)
class Break:
    """A place where the chain is broken."""

    number: int
    why: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a verification found: how many entries, from which number to which, and where the chain is broken."""

    entries: int
    first: int
    last: int
    digest: str
    breaks: tuple[Break, ...]


def verify(entries: Iterable[Entry], head: AuditHead, expected: Sequence[AuditHead] = ()) -> Verdict:
    """Whether `entries`, all that are kept in order, are one chain that ends at `head` and has the `expected` digests.
    The first may be a later one than number 1: older entries are deleted in their time."""
    breaks: list[Break] = []
    wanted = {one.number: one.digest for one in expected}
    last: Entry | None = None
    first = count = 0
    for found in entries:
        count += 1
        if last is None:
            first = found.number
            if first == 1 and found.previous:
                breaks.append(Break(1, "the first entry names one before it"))
        elif found.number != last.number + 1:
            breaks.append(Break(found.number, f"the entry before it is number {last.number}"))
        elif found.previous != last.digest:
            breaks.append(Break(found.number, "it names another entry before it"))
        if found.digest != digest_of(found):
            breaks.append(Break(found.number, "its content does not have its digest"))
        if found.number in wanted and wanted.pop(found.number) != found.digest:
            breaks.append(Break(found.number, "its digest is not the expected one"))
        last = found
    ended = AuditHead(0, "") if last is None else head_of(last)
    if ended != head:
        breaks.append(Break(ended.number, f"the chain ends here, but entry {head.number} was written"))
    breaks += [Break(number, "it was expected and is not there") for number in wanted if number >= first]
    return Verdict(count, first, ended.number, ended.digest, tuple(breaks))
