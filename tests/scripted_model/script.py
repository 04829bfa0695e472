"""What the scripted server is told to answer."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

Trouble = Literal[
    "cut",  # the connection is closed after `pieces_until` pieces, where the next one is half sent
    "cut_cleanly",  # the body ends there, as if that were all
    "open_end",  # the whole answer, but what follows its end never comes
    "silence",  # nothing more comes after `pieces_until` pieces
    "no_head",  # nothing comes at all, not even the head of the answer
    "keepalive",  # only keep-alives come after `pieces_until` pieces
    "endless_text",
    "endless_calls",
    "endless_arguments",
    "endless_line",  # one event that never ends
    "not_json",  # an event that is no JSON
    "wrong_json",  # an event that is JSON of another kind
    "html",  # a page instead of an answer
    "gzip",  # an answer that says it is compressed
    "error_event",  # an error within the stream
    "bad_checksum",  # Bedrock: a message with a wrong checksum
    "redirect",  # an answer that leads elsewhere
]


@dataclass(frozen=True)
class Call:
    """A call of a tool; `arguments` is written as it stands, so it may be no JSON."""

    name: str
    arguments: str
    id: str = ""


@dataclass(frozen=True)
class Answer:
    """One answer of the script."""

    text: str = ""
    calls: tuple[Call, ...] = ()
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    error: str = "refused by the script"  # the message of an answer whose status is no 200
    trouble: Trouble | None = None
    pieces_until: int = 2  # pieces of the answer before its trouble
    piece_chars: int = 4
    stop: str = ""  # the provider's own reason; empty: the usual one
    usage: dict[str, int] | None = field(default_factory=lambda: {"input": 11, "output": 7, "cached": 0, "written": 0})
    thinking: str = ""
    index_always_zero: bool = False  # as some servers number every call
    raw: dict[str, Any] | None = None  # sent as the whole answer, where it is not streamed
