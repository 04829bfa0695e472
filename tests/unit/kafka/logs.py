"""A definitions log in memory: what `publication` would write, read back as it would be."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from streamflow.kafka import publication
from streamflow.kafka.definitions import Snapshot
from streamflow.kafka.publication import Records
from streamflow.settings import Settings


class MemoryLog:
    """Takes the place of the broker for `publication.write`."""

    def __init__(self) -> None:
        self.snapshot = Snapshot()
        self.written: list[str] = []

    def write(self, settings: Settings, records: Callable[[Snapshot], Records]) -> tuple[Snapshot, dict[str, int]]:
        wanted = records(self.snapshot)
        offsets = {}
        for key, value in wanted.items():
            offsets[key] = self.snapshot.position
            self.snapshot.read(key.encode(), value, self.snapshot.position)
            self.written.append(key)
        return self.snapshot, offsets


@pytest.fixture
def memory_log(monkeypatch: pytest.MonkeyPatch) -> MemoryLog:
    log = MemoryLog()
    monkeypatch.setattr(publication, "write", log.write)
    return log
