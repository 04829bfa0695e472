"""What the core and its hosts report about themselves, for whatever collects it. Nothing collects it by default.

commands{outcome, reason}       decided commands
decision_seconds                time of one decision
timer_lateness_seconds          partition time of a fired timer's command, less its due time
checkpoint_seconds              from the cut to the store
checkpoint_bytes                keys and values of one cut
restore_records                 records read from the changelog at an opening
restore_seconds                 time of an opening, from the fence to the first command
oldest_unacknowledged_seconds   age of the oldest output that the broker has not acknowledged
outbox_events{topic}            emitted events that a user's topic has not acknowledged
outbox_stalled{topic}           1 while a user's topic takes nothing, else 0
outbox_given_up{topic}          emitted events that became dead letters
set_aside{reason}               commands that could not be decided and became dead letters
"""

from __future__ import annotations

from typing import Protocol


class Metrics(Protocol):
    """Receives measurements. Called on every command, so it must be quick and must not raise."""

    def count(self, name: str, value: int = 1, **labels: str) -> None:
        """Add `value` to a counter."""

    def gauge(self, name: str, value: float, **labels: str) -> None:
        """Set a gauge."""

    def observe(self, name: str, value: float, **labels: str) -> None:
        """Add one observation to a distribution; times are in seconds, sizes in bytes."""


class NoMetrics:
    """Discards everything."""

    def count(self, name: str, value: int = 1, **labels: str) -> None:
        pass

    def gauge(self, name: str, value: float, **labels: str) -> None:
        pass

    def observe(self, name: str, value: float, **labels: str) -> None:
        pass
