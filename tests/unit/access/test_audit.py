"""The chain of the audit: every way to tamper with it is found."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest

from streamflow.access.audit import Actor, Entry, decode_entry, digest_of, encode_entry, entry, head_of, verify
from streamflow.access.records import AuditHead

ACTOR = Actor(who="alice", user="1", via="session")


def chain(count: int) -> list[Entry]:
    made: list[Entry] = []
    for number in range(count):
        head = head_of(made[-1]) if made else AuditHead(0, "")
        made.append(entry(head, ACTOR, at_ms=number, action="user.added", target=f"u{number}", after={"n": number}))
    return made


def test_a_chain_is_whole() -> None:
    entries = chain(5)
    found = verify(entries, head_of(entries[-1]), [head_of(entries[2])])
    assert (found.entries, found.first, found.last, found.breaks) == (5, 1, 5, ())
    assert verify([], AuditHead(0, "")).breaks == ()


def test_older_entries_may_be_deleted_in_their_time() -> None:
    entries = chain(5)
    found = verify(entries[2:], head_of(entries[-1]), [head_of(entries[0])])
    assert (found.first, found.breaks) == (3, ())


def _resealed(found: Entry, **changes: object) -> Entry:
    changed = msgspec.structs.replace(found, **changes)
    return msgspec.structs.replace(changed, digest=digest_of(changed))


def _rebuilt(entries: list[Entry], start: int, **changes: object) -> list[Entry]:
    """The chain with one entry changed and all digests after it made again, as somebody with write access could."""
    made = entries[:start]
    for found in entries[start:]:
        previous = made[-1].digest if made else ""
        made.append(_resealed(found, previous=previous, **changes))
        changes = {}
    return made


TAMPERED: dict[str, Callable[[list[Entry]], list[Entry]]] = {
    "who was changed": lambda e: [*e[:2], msgspec.structs.replace(e[2], who="bob"), *e[3:]],
    "a change and its own digest": lambda e: [*e[:2], _resealed(e[2], who="bob"), *e[3:]],
    "a change and every digest after it": lambda e: _rebuilt(e, 2, who="bob"),
    "the first, and every digest after it": lambda e: _rebuilt(e, 0, at_ms=99),
    "one taken out": lambda e: [*e[:2], *e[3:]],
    "one put in": lambda e: [*e[:3], _resealed(e[2], target="x"), *e[3:]],
    "two in another order": lambda e: [e[0], e[2], e[1], *e[3:]],
    "the end cut off": lambda e: e[:-1],
    "all of it gone": lambda _: [],
    "more than was written": lambda e: [*e, entry(head_of(e[-1]), ACTOR, at_ms=9, action="x", target="y")],
}


@pytest.mark.parametrize("tamper", TAMPERED.values(), ids=TAMPERED)
def test_tampering_is_found(tamper: Callable[[list[Entry]], list[Entry]]) -> None:
    entries = chain(5)
    assert verify(tamper(entries), head_of(entries[-1])).breaks


def test_a_chain_that_was_made_anew_with_its_head_is_found_by_a_digest_that_was_kept() -> None:
    entries = chain(5)
    forged = _rebuilt(entries, 1, who="bob")
    assert verify(forged, head_of(forged[-1])).breaks == ()
    assert verify(forged, head_of(forged[-1]), [head_of(entries[3])]).breaks
    assert verify(entries[:2], head_of(entries[1]), [head_of(entries[3])]).breaks


def test_an_entry_is_a_cloud_event_and_comes_back() -> None:
    (made,) = chain(1)
    _, value, headers = encode_entry(made)
    assert decode_entry(value) == made
    assert dict(headers)["ce_type"] == b"streamflow.Audited"


def test_what_is_too_large_is_kept_as_its_digest() -> None:
    made = entry(AuditHead(0, ""), ACTOR, at_ms=1, action="x", target="t" * 9000, after={"text": "x" * 20_000})
    assert set(made.after) == {"sha256", "bytes"}
    assert len(encode_entry(made)[1]) < 20_000
