"""Lag as people see it: a row for each role and topic, with how long the group takes to catch up."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import inf
from typing import Any

from streamflow.ops.lag import PartitionLag
from streamflow.ops.waiting import Progress, worst

Drains = Mapping[tuple[str, str], float | None]
"""Seconds until a group has caught up, by role and topic; infinite when it falls behind, None when that is not known.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredLag:
    """One measurement."""

    partitions: Sequence[PartitionLag]
    """By role, topic and partition."""

    drains: Drains
    """After the measurements before it, too."""


class Rates:
    """How long each group takes to catch up in each topic, from the measurements so far."""

    def __init__(self) -> None:
        self._progress: dict[tuple[str, str], Progress] = {}

    def drains(self, lags: Sequence[PartitionLag], at_s: float) -> Drains:
        """Seconds by role and topic, after the measurement `lags` at `at_s`; see `Progress.drain_s`. Where nothing is
        known to wait in a topic that cannot be read, that is not known."""
        committed: dict[tuple[str, str], int] = {}
        ends: dict[tuple[str, str], int] = {}
        for one in lags:
            place = one.role, one.topic
            committed[place] = committed.get(place, 0) + (one.committed or 0)
            ends[place] = ends.get(place, 0) + one.end
        found, wrong = dict[tuple[str, str], float | None](), states(lags)
        for place, (records, _) in totals(lags).items():
            progress = self._progress.setdefault(place, Progress())
            progress.note(at_s, committed[place], ends[place])
            found[place] = progress.drain_s(records) if records or place not in wrong else None
        self._progress = {place: progress for place, progress in self._progress.items() if place in found}
        return found


def states(lags: Iterable[PartitionLag]) -> dict[tuple[str, str], str]:
    """What keeps topics from being read, by role and topic; those that are well are left out."""
    return {(lag.role, lag.topic): lag.state for lag in lags if lag.state}


def totals(lags: Iterable[PartitionLag]) -> dict[tuple[str, str], tuple[int, float | None]]:
    """Records (summed) and seconds by role and topic: the worst that is known, None when records wait and the age of
    none is known."""
    found: dict[tuple[str, str], tuple[int, float | None]] = {}
    for lag in lags:
        records, seconds = found.get((lag.role, lag.topic), (0, 0.0))
        found[lag.role, lag.topic] = records + lag.records, worst(seconds, lag.seconds)
    return found


def rows_of(lags: Sequence[PartitionLag], drains: Drains) -> list[dict[str, Any]]:
    """A row for each role and topic. `seconds` is None when the age of what waits is not known; `drain_s` while the
    time to catch up is not known, and with `falls_behind` for ever. `state` is what keeps the topic from being read."""
    wrong = states(lags)
    rows = []
    for (role, topic), (records, seconds) in totals(lags).items():
        drain = drains.get((role, topic))
        rows.append(
            {
                "role": role,
                "topic": topic,
                "records": records,
                "seconds": None if seconds is None else round(seconds, 3),
                "drain_s": None if drain is None or drain == inf else round(drain, 1),
                "falls_behind": drain == inf,
                "state": wrong.get((role, topic), ""),
            }
        )
    return rows
