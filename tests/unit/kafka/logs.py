"""A definitions log in memory: what `publication` would write, read back as it would be."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import pytest

from streamflow.definition.catalog import TopicEnds
from streamflow.kafka import engine_records, publication, rollback
from streamflow.kafka.definitions import Snapshot
from streamflow.kafka.log_writing import Records
from streamflow.kafka.topic_ends import Ends
from streamflow.settings import Settings


class MemoryLog:
    """Takes the place of `log_writing.write`."""

    def __init__(self) -> None:
        self.snapshot = Snapshot()
        self.written: list[str] = []
        self.cluster = frozenset[str]()  # the topics of all installations
        self.ends: dict[str, TopicEnds] = {}  # of users' topics
        self.now_ms = 0  # the broker's time

    def write(self, settings: Settings, records: Callable[[Snapshot], Records]) -> tuple[Snapshot, dict[str, int]]:
        wanted = records(self.snapshot)
        offsets = {}
        for key, value in wanted.items():
            offsets[key] = self.snapshot.position
            self.snapshot.read(key.encode(), value, self.snapshot.position, self.now_ms)
            self.written.append(key)
        return self.snapshot, offsets

    def topic_ends(self, settings: Settings, topics: Iterable[str]) -> Ends:
        wanted = set(topics)
        found = {topic: self.ends[topic] for topic in wanted if topic in self.ends}
        return Ends(found, dict.fromkeys(wanted - found.keys(), "TOPIC_AUTHORIZATION_FAILED"))


def take_the_brokers_place(patch: pytest.MonkeyPatch) -> MemoryLog:
    """A log that `publication` writes to and asks, as long as `patch` holds."""
    log = MemoryLog()
    for module in (publication, engine_records, rollback):
        patch.setattr(module, "write", log.write)
    patch.setattr(publication, "cluster_topics", lambda _settings: log.cluster)
    patch.setattr(publication, "topic_ends", log.topic_ends)
    return log


@pytest.fixture
def memory_log(monkeypatch: pytest.MonkeyPatch) -> MemoryLog:
    return take_the_brokers_place(monkeypatch)
