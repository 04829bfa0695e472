"""Bugs planted in what waits: timers that fall due, and events for a user's topic."""

from __future__ import annotations

from typing import Any

from streamflow.core.outbox import PREFIX as OUTBOX
from streamflow.core.outbox import Outbox, topic_in_plan
from streamflow.core.timers import Timers
from streamflow.engine.commands import FireTimer
from streamflow.simulation.store import MemoryStore
from streamflow.simulation.worker import Partition


class EarlyForgotten(Timers):
    def again(self, command: FireTimer, at_ms: int) -> None:
        pass


class OverdueForgotten(Timers):
    def extend(self, now_ms: int) -> None:
        self._horizon_ms = max(self._horizon_ms, now_ms)
        super().extend(now_ms)


class NeverUnblocked(Timers):
    def unblock(self, still: Any, now_ms: int) -> bool:
        return False


class WithTimers(Partition):
    """A core whose timers are of another kind."""

    timers: type[Timers]

    def serve(self) -> None:
        super().serve()
        self.core.timers = self.timers(self.overlay, self.worker.now_ms)


class TimerSentOnce(WithTimers):
    """A timer that was refused as early is not sent again."""

    timers = EarlyForgotten


class TimersOfADowntime(WithTimers):
    """Timers that fell due while nobody owned the partition are not armed again."""

    timers = OverdueForgotten


class TimerStaysBlocked(WithTimers):
    """A timer that waits for ingress goes on waiting when ingress has come there."""

    timers = NeverUnblocked


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
        self.core.outbox = Outbox(MemoryStore(), topic_in_plan, 0)


class EventsNotDeleted(Partition):
    """What a user's topic has acknowledged stays in the outbox."""

    def commit(self) -> None:
        cut = self._captured()
        cut._batches = [
            [(key, value) for key, value in batch if value is not None or not key.startswith(OUTBOX)]
            for batch in cut._batches
        ]
        super().commit()


class OutboxBehind(Partition):
    """A new owner sends what it decides before what it finds in the outbox."""

    def serve(self) -> None:
        super().serve()
        self._found = self.core.outbox
        self.core.outbox = Outbox(MemoryStore(), topic_in_plan, 0)

    def publish(self, count: int | None = None) -> int:
        sent = super().publish(count)
        if not sent:
            own, self.core.outbox = self.core.outbox, self._found
            sent = super().publish(count)
            self.core.outbox = own
        return sent
