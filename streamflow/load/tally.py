"""What a load run measures. Pure: its callers say what happened and when, in seconds of one monotonic clock.

All latencies are measured from intended times to the moment in which this process sees the answer, so that no two
clocks are compared, and what a consumer of `runs` would wait for is in them.
"""

from __future__ import annotations

import math
from array import array
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

Latency = Literal["lateness", "accepted", "first_transition", "end"]
LATENCIES: dict[Latency, str] = {
    "lateness": "sent by this generator, after its time",
    "accepted": "event accepted by the broker",
    "first_transition": "first transition of its run seen",
    "end": "end of its run seen, after its last event",
}
SHARES = (0.5, 0.9, 0.99, 0.999)


@dataclass(frozen=True, slots=True, kw_only=True)
class Percentiles:
    """Of one latency, in milliseconds: the smallest value that so many of all do not exceed (nearest rank)."""

    count: int
    p50: float
    p90: float
    p99: float
    p999: float
    max: float


def percentiles(values_s: Sequence[float]) -> Percentiles | None:
    """The percentiles of values in seconds; None without any."""
    if not values_s:
        return None
    ordered = sorted(values_s)
    at = [round(ordered[max(0, math.ceil(len(ordered) * share) - 1)] * 1000, 3) for share in SHARES]
    return Percentiles(
        count=len(ordered), p50=at[0], p90=at[1], p99=at[2], p999=at[3], max=round(ordered[-1] * 1000, 3)
    )


@dataclass(slots=True)
class _Instance:
    """One instance of a scenario: when its events were to be sent, and their ids."""

    intended: list[float] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    runs: int = 0  # of it that are open
    closed: bool = False  # nothing more is sent of it


class Tally:
    """Called by the sender (`begin`, `intend`, `sent`, `accept`, `refuse`) and by the reader of `runs` (`start`, `end`,
    `park`), which may be two threads: each has its own fields."""

    def __init__(self) -> None:
        self.begun = 0  # instances
        self.sent = 0  # events and requests for runs
        self.accepted = 0
        self.refused: Counter[str] = Counter()  # by the broker's name of the error
        self.started = 0  # runs
        self.ended: Counter[str] = Counter()  # runs by status
        self.samples: dict[Latency, array[float]] = {name: array("d") for name in LATENCIES}
        self._instances: dict[int, _Instance] = {}
        self._events: dict[str, tuple[_Instance, float]] = {}
        self._runs: dict[str, _Instance] = {}
        self._parked: set[str] = set()
        self._over: set[int] = set()  # hashes of the ids of runs that have ended: a copy of a transition may come late

    @property
    def open(self) -> int:
        """Runs that have begun and not ended."""
        return len(self._runs)

    @property
    def parked(self) -> int:
        """Runs with a step that waits for a person because it cannot continue."""
        return len(self._parked)

    # -- the sender

    def intend(self, number: int, id_: str, at_s: float) -> None:
        """An event of instance `number` is to be sent at that time. Before it is sent."""
        instance = self._instances.get(number)
        if instance is None:
            instance = self._instances[number] = _Instance()
            self.begun += 1
        instance.intended.append(at_s)
        instance.ids.append(id_)
        self._events[id_] = (instance, at_s)

    def send(self, intended_s: float, at_s: float) -> None:
        """It is handed to the client."""
        self.sent += 1
        self.samples["lateness"].append(max(0.0, at_s - intended_s))

    def accept(self, intended_s: float, at_s: float) -> None:
        """The broker has it."""
        self.accepted += 1
        self.samples["accepted"].append(at_s - intended_s)

    def refuse(self, error: str) -> None:
        """The broker does not take it."""
        self.refused[error] += 1

    def close(self, number: int) -> None:
        """Instance `number` sends nothing more."""
        instance = self._instances.pop(number, None)
        if instance is not None:
            instance.closed = True

    # -- the reader of runs

    def start(self, run: str, event_id: str, at_s: float) -> None:
        """The first transition of a run was seen."""
        found = self._events.get(event_id)
        if found is None or run in self._runs or hash(run) in self._over:
            return  # not of this load run, or a copy
        instance, intended_s = found
        instance.runs += 1
        self.started += 1
        self._runs[run] = instance
        self.samples["first_transition"].append(at_s - intended_s)

    def end(self, run: str, status: str, at_s: float) -> None:
        """The last transition of a run was seen."""
        instance = self._runs.pop(run, None)
        if instance is None:
            return
        self._parked.discard(run)
        self._over.add(hash(run))
        self.ended[status] += 1
        # an instance may send more after a run of it has ended
        self.samples["end"].append(at_s - max((one for one in instance.intended if one <= at_s), default=at_s))
        instance.runs -= 1
        if instance.closed and not instance.runs:
            for id_ in instance.ids:
                self._events.pop(id_, None)

    def park(self, run: str) -> None:
        """A step of a run was parked."""
        if run in self._runs:
            self._parked.add(run)
