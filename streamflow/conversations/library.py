"""All conversations, as the records of the topic make them. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from streamflow.conversations.conversation import Conversation
from streamflow.conversations.decisions import unknown
from streamflow.conversations.entries import Entry, Records, decode_entry, encode_entry, key_of, read_key
from streamflow.conversations.events import Event, Spent
from streamflow.errors import Rejected

MOST = 10_000  # conversations


class Library:
    """All conversations. A deleted one stays deleted: what is written for it later is not taken."""

    def __init__(self) -> None:
        self._entries: dict[str, list[Entry]] = {}
        self._states: dict[str, Conversation] = {}
        self._deleted: set[str] = set()

    def take(self, key: str, value: bytes | None) -> str | None:
        """Takes a record; the conversation that it belongs to, None: it cannot be read. One whose key can be read makes
        its conversation a damaged one. The same record again changes nothing."""
        found = read_key(key)
        if found is None:
            return None
        id, seq = found
        if value is None:
            self._deleted.add(id)
            self._entries.pop(id, None)
            self._states.pop(id, None)
            return id
        if id in self._deleted:
            return id
        state = self._states.setdefault(id, Conversation(id))
        try:
            entry = decode_entry(value)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            state.damaged, state.seq = True, max(state.seq, seq)
            return None
        if seq <= state.seq and self._has(id, entry):
            return id
        if entry.seq != seq or seq <= state.seq:
            state.damaged, state.seq = True, max(state.seq, seq)
            return None
        self._entries.setdefault(id, []).append(entry)
        state.take(entry)
        return id

    def _has(self, id: str, entry: Entry) -> bool:
        """Whether the entry was taken already: who wrote it takes it at once, and reads it later."""
        found = self._entries.get(id, ())
        first = found[0].seq if found else 0
        return any(one == entry for one in found[max(0, entry.seq - first - 1) : entry.seq - first + 1])

    def conversations(self) -> list[Conversation]:
        """All that there are, the one that changed last first."""
        there = (one for one in self._states.values() if one.current in one.revisions)
        return sorted(there, key=lambda one: (-one.updated_ms, one.id))

    def known(self, id: str) -> Conversation:
        """A conversation, not to be changed. Raises Rejected (`conversation_unknown`)."""
        found = self._states.get(id)
        if found is None or found.current not in found.revisions:
            raise unknown(id)
        return found

    def entries(self, id: str, after: int, most: int) -> list[Entry]:
        """The entries of a conversation from the one behind number `after` on, at most `most`. Raises Rejected
        (`conversation_unknown`)."""
        self.known(id)
        found = self._entries[id]
        first = next((place for place in range(min(after, len(found)), -1, -1) if _is_first(found, place, after)), 0)
        return found[first : first + most]

    def shared(self, token_sha: str, now_ms: int) -> Conversation:
        """The conversation that a link leads to. Raises Rejected (`share_unknown`)."""
        for one in self.conversations():
            if one.share is not None and one.share.token_sha == token_sha and one.share.until_ms > now_ms:
                return one
        raise Rejected("share_unknown", "The link is invalid or has expired. Ask its sender for a new one.")

    def spent(self) -> Iterator[tuple[str, Spent]]:
        """What answers of models took, each with its conversation."""
        for one in self._states.values():
            yield from ((one.id, each) for each in one.spent)


def _is_first(entries: list[Entry], place: int, after: int) -> bool:
    """Whether the entries behind `after` begin at this place."""
    return place == 0 or entries[place - 1].seq <= after


def begun(library: Library, id: str, events: Sequence[Event], *, by: str, now_ms: int) -> Records:
    """The records of a new conversation. Raises Rejected (`too_many_conversations`)."""
    if len(library.conversations()) >= MOST:
        raise Rejected(
            "too_many_conversations", f"There are {MOST} conversations, which is the limit. Delete some of them."
        )
    return _records(Conversation(id), events, by, now_ms)


def added(library: Library, id: str, events: Sequence[Event], *, by: str, now_ms: int) -> Records:
    """The records of more events. Raises Rejected (`conversation_unknown`)."""
    return _records(library.known(id), events, by, now_ms)


def deleted(library: Library, id: str) -> Records:
    """The tombstones of a conversation, one for each of its entries. Raises Rejected (`conversation_unknown`)."""
    state = library.known(id)
    return {key_of(id, seq): None for seq in range(1, state.seq + 1)}


def _records(state: Conversation, events: Sequence[Event], by: str, now_ms: int) -> Records:
    return {
        key_of(state.id, seq): encode_entry(Entry(seq=seq, at_ms=now_ms, by=by, event=event))
        for seq, event in enumerate(events, state.seq + 1)
    }
