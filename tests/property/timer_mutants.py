"""Partitions that forget timers; each must be caught by the laws."""

from __future__ import annotations

from typing import Any

from streamflow.core.timers import Timers
from streamflow.engine.commands import FireTimer
from streamflow.simulation.worker import Partition


class EarlyForgotten(Timers):
    def again(self, command: FireTimer, now_ms: int, early_ms: int) -> None:
        pass


class OverdueForgotten(Timers):
    def extend(self, now_ms: int) -> None:
        self._horizon_ms = max(self._horizon_ms, now_ms)
        super().extend(now_ms)


class NeverUnblocked(Timers):
    def unblock(self, reached: Any) -> bool:
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
