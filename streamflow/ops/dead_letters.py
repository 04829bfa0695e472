"""The topic `dead-letters`, read: what could not be read, placed or done, where it came from and why."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from streamflow.kafka.topics import DEAD_LETTERS, topic_name
from streamflow.ops.reading import Progress, Reading
from streamflow.settings import Settings
from streamflow.wire.dead_letter import OWN_PREFIXES, PREFIX
from streamflow.wire.decoding import Record
from streamflow.wire.unreadable import Unreadable


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


def read_dead_letters(
    settings: Settings, progress: Progress | None = None, unreadable: Unreadable | None = None
) -> Iterator[Record]:
    """All dead letters that are kept, oldest first. Copies of one (the same `id` in its facts) are given once. A record
    that does not say why it is there is skipped, and counted in `unreadable`: Streamflow did not write it.

    Raises OperationError."""
    with Reading(settings, topic_name(settings, DEAD_LETTERS)) as reading:
        yield from letters(reading.to_end(progress), unreadable or Unreadable(DEAD_LETTERS))


def letters(records: Iterable[Record], unreadable: Unreadable) -> Iterator[Record]:
    """The dead letters among `records`; see `read_dead_letters`."""
    seen: set[str] = set()
    for letter in records:
        facts = facts_of(letter)
        if "reason" not in facts or "id" not in facts:
            unreadable.skip(letter.partition, letter.offset, ValueError("it does not say why it is a dead letter"))
        elif facts["id"] not in seen:
            seen.add(facts["id"])
            yield letter


def described(letter: Record) -> dict[str, Any]:
    """A dead letter as JSON would have it, without its bytes."""
    return {"letter": letter.offset, "at_ms": letter.timestamp_ms, **facts_of(letter)}
