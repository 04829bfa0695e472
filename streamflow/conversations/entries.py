"""What happens in a conversation, as records of the topic `authoring`. Pure.

Each entry has its own key, `<conversation>/<seq>`, so compaction removes only what a tombstone names. The numbers
of a conversation begin at 1 and have no gaps.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec
from msgspec import Struct

from streamflow.conversations.events import Event

_KEY = re.compile(r"([a-z0-9]{8,32})/([1-9][0-9]{0,8})")


class Entry(Struct, frozen=True, kw_only=True):
    """An event at its place."""

    seq: int
    """Counted from 1 within the conversation."""

    at_ms: int
    """When, in epoch milliseconds by the clock of a sidecar."""

    by: str
    """The principal who did it, or for whom the assistant did."""

    event: Event
    """What happened."""

    def facts(self) -> dict[str, Any]:
        """The entry as JSON data. Who has the hash of a link's token still lacks the token; it stays here all
        the same."""
        event = msgspec.to_builtins(self.event)
        event.pop("token_sha", None)
        return {"seq": self.seq, "at_ms": self.at_ms, "by": self.by, **event}


Records = dict[str, bytes | None]
"""Records by key; None deletes."""

encode_entry = msgspec.json.Encoder().encode
decode_entry = msgspec.json.Decoder(Entry).decode


def key_of(conversation: str, seq: int) -> str:
    """The key of an entry."""
    return f"{conversation}/{seq}"


def read_key(key: str) -> tuple[str, int] | None:
    """The conversation and the number that a key names; None if it names none."""
    found = _KEY.fullmatch(key)
    return (found[1], int(found[2])) if found else None
