"""A load run from its first event to its report."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from streamflow.errors import OperationError
from streamflow.kafka.interrupts import kept_interrupts
from streamflow.kafka.publication import read_log
from streamflow.load.generator import Generator, Load
from streamflow.load.reader import RunsReader
from streamflow.load.report import Report, report_of
from streamflow.load.tally import Tally
from streamflow.ops.lag import PartitionLag, measure_lag
from streamflow.settings import Settings

_LOOK_S = 0.05
_LAST_FLUSH_S = 5.0  # after an interruption


@dataclass(frozen=True, slots=True, kw_only=True)
class Board:
    """Where a load run is."""

    phase: str  # sending, or waiting for the runs to end
    passed_s: float
    begun: int  # instances of scenarios
    accepted: int  # events
    started: int  # runs
    ended: int
    behind_s: float  # of the event that was sent last, behind its time


def perform(load: Load, *, drain_s: float, show: Callable[[Board], None], warn: Callable[[str], None]) -> Report:
    """Sends the whole plan, waits up to `drain_s` seconds for its runs to end, and reports. Ctrl-C ends it early, with
    a report of what was measured; a second one ends it without.

    Raises OperationError when events cannot be sent, or `runs` cannot be read."""
    tally = Tally()
    definition = load.definition
    with RunsReader(load.settings, tally, definition=definition, mark=load.plan.asked.naming.mark) as reader:
        generator = Generator(load, tally)

        def look(phase: str) -> None:
            if reader.error is not None:
                raise reader.error
            late = tally.samples["lateness"]
            show(
                Board(
                    phase=phase,
                    passed_s=time.monotonic() - generator.began_s,
                    begun=tally.begun,
                    accepted=tally.accepted,
                    started=tally.started,
                    ended=tally.ended.total(),
                    behind_s=late[-1] if late else 0.0,
                )
            )

        interrupted = False
        try:
            with kept_interrupts():
                for _ in generator.run():
                    look("sending")
                for _ in generator.flush():
                    look("waiting for the broker")
                _await_ends(load, tally, drain_s, look)
        except KeyboardInterrupt:
            interrupted = True
            for _ in generator.flush(_LAST_FLUSH_S):
                pass
        return report_of(
            definition,
            load.plan,
            generator,
            tally,
            _lag(load.settings, warn),
            interrupted=interrupted,
            unreadable=reader.unreadable.count,
        )


def _await_ends(load: Load, tally: Tally, drain_s: float, look: Callable[[str], None]) -> None:
    """Waits until as many runs have begun and ended as the simulator had, or the time is over."""
    expected = load.plan.expected(tally.begun)
    ends = expected.total() - expected["open"]
    deadline = time.monotonic() + drain_s
    while (tally.started < expected.total() or tally.ended.total() < ends) and time.monotonic() < deadline:
        look("waiting for runs to end")
        time.sleep(_LOOK_S)


def _lag(settings: Settings, warn: Callable[[str], None]) -> list[PartitionLag] | None:
    try:
        return measure_lag(settings, read_log(settings))
    except OperationError as error:
        warn(f"the lag at the end is not known: {error.message}")
        return None
