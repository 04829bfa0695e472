"""What the core and its hosts report about themselves, for whatever collects it. By default nothing does.

The names, labels and units are declared in `streamflow/metrics/registry.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

from streamflow.engine.outcome import Decision


class Metrics(Protocol):
    """Receives measurements. Nothing of it raises; `decided`, which is called for every command, has to be quick."""

    def count(self, name: str, value: float = 1, **labels: str) -> None:
        """Add `value`, which is not negative, to a counter."""

    def gauge(self, name: str, value: float, **labels: str) -> None:
        """Set a gauge."""

    def observe(self, name: str, value: float, **labels: str) -> None:
        """Add one observation to a distribution; times are in seconds, sizes in bytes."""

    def decided(self, decision: Decision, seconds: float | None) -> None:
        """Count one command: its outcome, what its transitions say of runs and steps, and the time that it took, if
        that was measured."""

    def forget(self, name: str | None = None, /, **labels: str) -> None:
        """Drop the gauges that have all of these labels: what they measured is not here any more. With a name, only
        those of that metric."""

    def together(self) -> AbstractContextManager[None]:
        """A context in which the measurements of this thread belong together: a scrape has all of them or none."""

    def sample(self, take: Callable[[], None]) -> Callable[[], None]:
        """Have `take` set gauges before each scrape, in another thread. Returns what ends that."""


class NoMetrics:
    """Discards everything."""

    def count(self, name: str, value: float = 1, **labels: str) -> None:
        pass

    def gauge(self, name: str, value: float, **labels: str) -> None:
        pass

    def observe(self, name: str, value: float, **labels: str) -> None:
        pass

    def decided(self, decision: Decision, seconds: float | None) -> None:
        pass

    def forget(self, name: str | None = None, /, **labels: str) -> None:
        pass

    def together(self) -> AbstractContextManager[None]:
        return nullcontext()

    def sample(self, take: Callable[[], None]) -> Callable[[], None]:
        return lambda: None
