"""What a load run found, as facts and as text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from streamflow.load.generator import Generator
from streamflow.load.plan import Plan
from streamflow.load.tally import LATENCIES, Latency, Percentiles, Tally, percentiles
from streamflow.ops.lag import PartitionLag
from streamflow.ops.lag_rows import totals

_BEHIND = 0.98  # of the rate that was asked for, below which this generator did not keep up
_LATE_MS = 100.0  # the same for the 99th percentile of its lateness


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """One load run. Rates are a second's."""

    definition: str
    mark: str  # every key of it begins with it
    interrupted: bool  # it was ended before its time
    asked_rate: float  # scenarios begun
    achieved_rate: float
    seconds: float  # from the first instance to the last
    begun: int  # instances of scenarios
    missed: int  # instances that did not begin, because the generator was behind
    events_sent: int
    events_accepted: int
    events_refused: Mapping[str, int]  # by the broker's name of the error
    started: int  # runs
    ended: Mapping[str, int]  # runs by status
    open: int
    parked: int
    expected: Mapping[str, int]  # runs by status, as the simulator ended them
    latencies: Mapping[Latency, Percentiles | None]
    lag: tuple[tuple[str, str, int, float | None], ...] | None  # role, topic, records, seconds; None: not measured
    unreadable: int  # records of `runs` that could not be read

    @property
    def kept_up(self) -> bool:
        """Whether the generator sent what it was asked to, when it was asked to."""
        late = self.latencies["lateness"]
        return (
            not self.missed
            and self.achieved_rate >= self.asked_rate * _BEHIND
            and (late is None or late.p99 <= _LATE_MS)
        )

    def facts(self) -> dict[str, Any]:
        """As JSON has it."""
        lag = None
        if self.lag is not None:
            names = ("role", "topic", "records", "seconds")
            lag = [dict(zip(names, one, strict=True)) for one in self.lag]
        return asdict(self) | {"kept_up": self.kept_up, "lag": lag}


def report_of(
    definition: str,
    plan: Plan,
    generator: Generator,
    tally: Tally,
    lag: Sequence[PartitionLag] | None,
    *,
    interrupted: bool,
    unreadable: int,
) -> Report:
    """What there is to say at the end of a load run."""
    # n instances span n - 1 intervals of the rate
    span_s = generator.last_begun_s + 1 / plan.asked.rate
    return Report(
        definition=definition,
        mark=plan.asked.naming.mark,
        interrupted=interrupted,
        asked_rate=plan.asked.rate,
        achieved_rate=tally.begun / span_s,
        seconds=generator.last_begun_s,
        begun=tally.begun,
        missed=generator.missed,
        events_sent=tally.sent,
        events_accepted=tally.accepted,
        events_refused=dict(tally.refused),
        started=tally.started,
        ended=dict(tally.ended),
        open=tally.open,
        parked=tally.parked,
        expected=dict(plan.expected(tally.begun)),
        latencies={name: percentiles(tally.samples[name]) for name in LATENCIES},
        lag=None if lag is None else tuple((*place, *amount) for place, amount in totals(lag).items()),
        unreadable=unreadable,
    )
