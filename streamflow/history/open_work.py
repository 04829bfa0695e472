"""How much is open and how old the oldest of it is, by definition and step: from the history store, for metrics."""

from __future__ import annotations

import time
from collections.abc import Callable

from streamflow.core.metrics import Metrics
from streamflow.engine.address import split_address
from streamflow.history.database import Database

_SHARE = 30  # a look that takes a second is followed by so many without one

_RUNS = """SELECT definition, CASE WHEN parked_step IS NULL THEN 'open' ELSE 'parked' END AS state, COUNT(*),
    MIN(started_ms) FROM run WHERE status = 'open' GROUP BY 1, 2"""
_STEPS = """SELECT run.definition, step_now.step, step_now.state, COUNT(*), MIN(step_now.since_ms) FROM step_now
    JOIN run ON run.run = step_now.run GROUP BY 1, 2, 3"""

Labels = tuple[tuple[str, str], ...]


class OpenWork:
    """Looked at between batches, every `every_s` seconds, and more seldom if a look takes long. `clock` gives the time
    in seconds."""

    def __init__(self, metrics: Metrics, every_s: float, clock: Callable[[], float] = time.time) -> None:
        self._metrics = metrics
        self._every_s = every_s
        self._clock = clock
        self._next_s = 0.0
        self._found: dict[str, set[Labels]] = {"run": set(), "step": set()}
        self._gone: dict[str, set[Labels]] = {"run": set(), "step": set()}

    def step(self, database: Database) -> None:
        """Look, if it is time. Raises OperationError."""
        began = self._clock()
        if began < self._next_s:
            return
        runs: dict[Labels, tuple[int, int]] = {}
        for definition, status, count, since_ms in database.rows(_RUNS, ()):
            runs[("definition", str(definition)), ("status", str(status))] = int(count), int(since_ms)
        steps: dict[Labels, tuple[int, int]] = {}
        for definition, address, state, count, since_ms in database.rows(_STEPS, ()):
            labels = ("definition", str(definition)), ("step", split_address(str(address))[1]), ("state", str(state))
            before, oldest = steps.get(labels, (0, int(since_ms)))
            steps[labels] = before + int(count), min(oldest, int(since_ms))
        now = self._clock()
        self._set_runs(runs, now)
        self._set_steps(steps, now)
        self._next_s = now + max(self._every_s, _SHARE * (now - began))

    def _set_runs(self, found: dict[Labels, tuple[int, int]], now: float) -> None:
        for labels, (count, since_ms) in self._with_gone("run", found):
            self._metrics.gauge("open_runs", count, **dict(labels))
            self._metrics.gauge("oldest_open_run_age_seconds", _age(count, since_ms, now), **dict(labels))

    def _set_steps(self, found: dict[Labels, tuple[int, int]], now: float) -> None:
        for labels, (count, since_ms) in self._with_gone("step", found):
            self._metrics.gauge("open_steps", count, **dict(labels))
            self._metrics.gauge("oldest_open_step_age_seconds", _age(count, since_ms, now), **dict(labels))

    def _with_gone(self, kind: str, found: dict[Labels, tuple[int, int]]) -> list[tuple[Labels, tuple[int, int]]]:
        """What was found, and nothing of what was found before and is not there now; at the next look that is dropped,
        so that it makes room."""
        for labels in self._gone[kind] - found.keys():
            self._metrics.forget(**dict(labels))
        gone = self._gone[kind] = self._found[kind] - found.keys()
        self._found[kind] = set(found)
        return [*found.items(), *((labels, (0, 0)) for labels in sorted(gone))]


def _age(count: int, since_ms: int, now: float) -> float:
    return max(0.0, now - since_ms / 1000) if count else 0.0
