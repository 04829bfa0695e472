"""For how long the published definitions remember an event that they consumed."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import NamedTuple

from streamflow.definition.content import received_events
from streamflow.definition.duration import parse_ms
from streamflow.errors import OperationError
from streamflow.kafka.definitions import Snapshot


class Memory(NamedTuple):
    """The shortest memory of an event."""

    window_ms: int
    definition: str  # which has it; empty: none takes the event, and the settings say it


class _Version(NamedTuple):
    published_ms: int
    window_ms: int
    events: frozenset[str]  # that start its runs, or that they wait for
    is_current: bool  # its definition starts runs with it


class EventMemory:
    """The windows of the versions in `log`, which are read once; `window_ms` is that of a version that does not say
    it."""

    def __init__(self, log: Snapshot, window_ms: int) -> None:
        self._window_ms = window_ms
        self._versions: dict[str, list[_Version]] = {}
        for (name, version), record in sorted(log.versions.items(), key=lambda one: one[1].published_ms):
            try:
                definition, _ = log.read_version(name, version)
            except OperationError:
                continue  # it takes no event either
            current = log.names.get(name)
            self._versions.setdefault(name, []).append(
                _Version(
                    published_ms=record.published_ms,
                    window_ms=window_ms if definition.window is None else parse_ms(definition.window),
                    events=frozenset(received_events(definition)),
                    is_current=current is not None and current.version == version,
                )
            )

    def shortest(self, events: Collection[str], since_ms: int) -> Memory:
        """The shortest window with which one of `events` may have been consumed since `since_ms` (epoch milliseconds):
        that of a version that was the newest of its definition then or later."""
        found = [
            Memory(version.window_ms, name)
            for name, versions in self._versions.items()
            if any(not version.events.isdisjoint(events) for version in versions)
            for version in _newest_since(versions, since_ms)
        ]
        return min(found, default=Memory(self._window_ms, ""))


def _newest_since(versions: list[_Version], since_ms: int) -> Iterator[_Version]:
    """Those of a definition, in the order of their publication, that were its newest at a time or later."""
    for place, version in enumerate(versions):
        is_last = place + 1 == len(versions)
        if version.is_current or is_last or versions[place + 1].published_ms > since_ms:
            yield version
