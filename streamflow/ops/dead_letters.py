"""The topic `dead-letters`, read: what could not be read, placed or done, where it came from and why."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from streamflow.kafka.topics import DEAD_LETTERS, topic_name
from streamflow.ops.reading import Progress, Reading
from streamflow.settings import Settings
from streamflow.wire.dead_letter import OWN_PREFIXES, PREFIX
from streamflow.wire.decoding import Record


def facts_of(letter: Record) -> dict[str, str]:
    """What Streamflow says about a dead letter, by name: reason, message, stage, topic, partition, offset, and what
    else is known."""
    return {
        name.removeprefix(PREFIX): value.decode("utf-8", "replace")
        for name, value in letter.headers
        if name.startswith(PREFIX) and value is not None
    }


def original_headers(letter: Record) -> dict[str, str]:
    """The headers of the record that became this dead letter."""
    return {
        name: (value or b"").decode("utf-8", "replace")
        for name, value in letter.headers
        if not name.startswith(OWN_PREFIXES)
    }


def read_dead_letters(settings: Settings, progress: Progress | None = None) -> Iterator[Record]:
    """All dead letters that are kept, oldest first. Copies of one (the same `id` in its facts) are given once.

    Raises OperationError."""
    seen: set[str] = set()
    with Reading(settings, topic_name(settings, DEAD_LETTERS)) as reading:
        for letter in reading.to_end(progress):
            name = facts_of(letter).get("id", f"{letter.partition}/{letter.offset}")
            if name not in seen:
                seen.add(name)
                yield letter


def described(letter: Record) -> dict[str, Any]:
    """A dead letter as JSON would have it, without its bytes."""
    return {"letter": letter.offset, "at_ms": letter.timestamp_ms, **facts_of(letter)}
