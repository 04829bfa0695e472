"""Partitions that lose, repeat or reorder emitted events; each must be caught by the laws."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from streamflow.core.outbox import PREFIX as OUTBOX
from streamflow.core.outbox import Entry, Outbox
from streamflow.core.partition import PartitionCore
from streamflow.simulation.store import MemoryStore
from streamflow.simulation.worker import Partition


class EventsNotKept(Partition):
    """Law one-cut: a cut does not hold the events that a user's topic has not acknowledged."""

    def commit(self) -> None:
        cut = self._captured()
        cut._batches = [[(key, value) for key, value in batch if not key.startswith(OUTBOX)] for batch in cut._batches]
        super().commit()


class EventsForgotten(Partition):
    """A new owner does not send what it finds in the outbox."""

    def serve(self) -> None:
        super().serve()
        self.core.emitted.outbox = Outbox(MemoryStore(), self.core.topic_of, 0)


class EventsNotDeleted(Partition):
    """What a user's topic has acknowledged stays in the outbox."""

    def commit(self) -> None:
        cut = self._captured()
        cut._batches = [
            [(key, value) for key, value in batch if value is not None or not key.startswith(OUTBOX)]
            for batch in cut._batches
        ]
        super().commit()


class DropsRefused(PartitionCore):
    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self.emitted.refused = self._drop  # type: ignore[method-assign]

    def _drop(self, entries: Iterable[Entry], message: str) -> None:
        for entry in entries:
            self.emitted.outbox.drop(entry)


class RefusedForgotten(Partition):
    """Law one-outcome: an event that its topic refuses is dropped."""

    kind = DropsRefused


class OutboxBehind(Partition):
    """A new owner sends what it decides before what it finds in the outbox."""

    def serve(self) -> None:
        super().serve()
        self._found = self.core.emitted.outbox
        self.core.emitted.outbox = Outbox(MemoryStore(), self.core.topic_of, 0)

    def publish(self, count: int | None = None) -> int:
        sent = super().publish(count)
        if not sent:
            own, self.core.emitted.outbox = self.core.emitted.outbox, self._found
            sent = super().publish(count)
            self.core.emitted.outbox = own
        return sent
