"""The topic `unclaimed`, read: events that no run took, and how near one came to taking them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import msgspec

from streamflow.engine.effects import Unclaimed
from streamflow.ids import partition_of
from streamflow.kafka.topics import UNCLAIMED, topic_name
from streamflow.ops.topic_reader import Progress, Reading
from streamflow.settings import Settings
from streamflow.wire.decoding import Record
from streamflow.wire.unclaimed import decode_unclaimed
from streamflow.wire.unreadable import UNREADABLE, Unreadable

_REASONS = {
    "where_false": "the condition of a wait did not hold",
    "where_failed": "the condition of a wait could not be evaluated",
    "late": "it came after the limit of a wait",
    "before_since": "it came before the point from which a wait counts events",
    "taken": "another run had taken it",
    "stopping": "the run was being stopped",
    "no_wait": "no open run waited for it",
    "no_run": "no run was open",
    "run_open": "a run was open already",
    "too_many_open": "too many runs were open",
}


class UnclaimedEvent(NamedTuple):
    """An event that no run took. `partition` is that of its delivery in `commands`."""

    partition: int
    event: Unclaimed

    def described(self) -> dict[str, Any]:
        """As JSON would have it."""
        return {"partition": self.partition, **msgspec.to_builtins(self.event)}

    def reason_words(self) -> str:
        """Why no run took it, for people, without the run that came nearest."""
        code, _, detail = self.event.reason.partition(":")
        return _REASONS.get(code, code) + (f" ({detail})" if detail else "")

    def words(self) -> str:
        """Why no run took it, for people."""
        text = self.reason_words()
        near = ".".join(part for part in (self.event.run, self.event.step) if part)
        return f"{text}: {near}" if near else text


def read_unclaimed(
    settings: Settings,
    *,
    key: str | None = None,
    progress: Progress | None = None,
    unreadable: Unreadable | None = None,
) -> Iterator[UnclaimedEvent]:
    """The events that are kept in the topic, of `key` or of all keys, oldest first within a partition, copies once. A
    record that is none is skipped, and counted in `unreadable`.

    Raises OperationError."""
    entry = None if key is None else partition_of(key, settings.topics.partitions)
    with Reading(settings, topic_name(settings, UNCLAIMED), entry=entry) as reading:
        for one in unclaimed_events(reading.to_end(progress), unreadable or Unreadable(UNCLAIMED)):
            if key in (None, one.event.key):
                yield one


def unclaimed_events(records: Iterable[Record], unreadable: Unreadable) -> Iterator[UnclaimedEvent]:
    """The events in records of the topic, copies once. A record that is none is skipped, and counted in
    `unreadable`."""
    seen: set[tuple[int, int]] = set()
    for record in records:
        try:
            event = decode_unclaimed(record.value or b"", record.headers)
        except UNREADABLE as error:
            unreadable.skip(record.partition, record.offset, error)
            continue
        place = (record.partition, event.offset)
        if place not in seen:
            seen.add(place)
            yield UnclaimedEvent(record.partition, event)
