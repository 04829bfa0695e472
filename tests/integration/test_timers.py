"""Timers on a real broker: they fire when their time has come by the broker's clock, never before, and also after a
restart."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from streamflow.engine import commands as c
from streamflow.ops.unclaimed import read_unclaimed
from streamflow.runtime.partition import Partition
from tests.integration.forked import altered
from tests.integration.workers import Bench, Worker, make_bench, now_ms

pytestmark = [pytest.mark.broker, pytest.mark.timeout(60)]

DELAYS = """
name: delays
version: "1"
on: [{id: placed, event: order.placed}]
steps:
  - id: pause
    delay: {for: 700ms}
  - id: bye
    needs: [pause]
    print: {text: '"bye"'}
"""

LIMITS = """
name: limits
version: "1"
on: [{id: placed, event: order.placed}]
steps:
  - id: paid
    wait: {within: 600ms, events: [{id: paid, event: order.paid}]}
  - id: thanks
    needs: [paid.paid]
    print: {text: '"thanks"'}
  - id: remind
    needs: [paid.timeout]
    print: {text: '"where is it?"'}
"""


LONGER = DELAYS.replace("name: delays", "name: longer").replace("700ms", "3s")


class Running(NamedTuple):
    bench: Bench
    worker: Worker
    delays: c.DefinitionRef
    limits: c.DefinitionRef
    longer: c.DefinitionRef

    def watermark(self, at_ms: int) -> None:
        """Ingress has read everything of the payments that was appended before `at_ms`."""
        feeds: dict[str, tuple[str, ...]] = {"order.paid": ("payments",)}
        self.bench.send(
            c.AdvanceWatermark(
                id=f"watermark/payments/{at_ms}", topic="payments", partitions=1, at_ms={"0": at_ms}, feeds=feeds
            )
        )


@pytest.fixture(scope="module")
def running(bootstrap: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with make_bench(bootstrap, tmp_path_factory.mktemp("timers")) as bench:
        delays, limits, longer = (bench.publish(text) for text in (DELAYS, LIMITS, LONGER))
        running = Running(bench, bench.worker(), delays, limits, longer)
        yield running
        bench.wait_saved()
        bench.workers[0].stop()
        bench.check_exact()
        bench.check_stores(bench.workers[0])


def times(bench: Bench, run: str) -> dict[str, dict[str, Any]]:
    """The fields of each transition, by its name."""
    return {transition.name: transition.fields for transition in bench.transitions(run)}


def test_a_delay_elapses_when_its_time_has_come_and_never_before(running: Running) -> None:
    bench = running.bench
    runs = [bench.start(running.delays, f"delay-{number}", "delays") for number in range(6)]
    for run in runs:
        bench.wait_history(run, "RunCompleted")
        told = times(bench, run)
        due = told["DelayStarted"]["data"]["until_ms"]
        assert due == told["RunStarted"]["at_ms"] + 700
        assert told["DelayElapsed"]["at_ms"] >= due


def test_a_delay_elapses_in_time_although_the_worker_was_killed_and_started_meanwhile(running: Running) -> None:
    bench = running.bench
    run = bench.start(running.longer, "over-a-restart", "longer")
    bench.wait_history(run, "DelayStarted")
    running.worker.kill()
    bench.restart(running.worker)
    bench.wait_history(run, "DelayElapsed", "LinePrinted", "RunCompleted")
    told = times(bench, run)
    assert told["DelayElapsed"]["at_ms"] >= told["DelayStarted"]["data"]["until_ms"]


def test_a_limit_does_not_fire_while_ingress_is_behind_it_and_fires_when_it_has_come_there(running: Running) -> None:
    bench = running.bench
    running.watermark(now_ms())
    run = bench.start(running.limits, "quiet", "limits")
    bench.wait_history(run, "WaitStarted")
    due = times(bench, run)["WaitStarted"]["data"]["due_ms"]
    bench.wait(lambda: now_ms() > due + 1000, "the limit to pass")
    running.watermark(due - 1)
    assert bench.history(run) == ["RunStarted", "WaitStarted"]
    assert bench.reasons()["behind"] == 0  # and no command is spent on it
    running.watermark(due)
    bench.wait_history(run, "RunCompleted")
    assert times(bench, run)["WaitTimedOut"]["at_ms"] >= due


def test_an_event_that_happened_in_time_satisfies_a_wait_although_it_came_late(running: Running) -> None:
    bench = running.bench
    running.watermark(now_ms())
    in_time, too_late = (bench.start(running.limits, key, "limits") for key in ("in-time", "too-late"))
    for run in (in_time, too_late):
        bench.wait_history(run, "WaitStarted")
    due = {run: times(bench, run)["WaitStarted"]["data"]["due_ms"] for run in (in_time, too_late)}
    bench.wait(lambda: now_ms() > max(due.values()), "the limits to pass")
    bench.deliver("in-time", "limits", time_ms=due[in_time])
    bench.deliver("too-late", "limits", time_ms=due[too_late] + 1)
    running.watermark(max(due.values()) + 1)
    assert "WaitSatisfied" in bench.wait_history(in_time, "RunCompleted")
    assert "WaitTimedOut" in bench.wait_history(too_late, "RunCompleted")
    assert times(bench, in_time)["WaitSatisfied"]["at_ms"] > due[in_time]
    for partition in range(bench.partitions):
        bench.deliver(bench.key_of(partition), "limits")  # watermarks alone are not worth a checkpoint
    bench.wait_saved()
    assert bench.deliveries("limits")["order.paid/unclaimed/late"] == 1
    (late,) = (one.event for one in read_unclaimed(bench.settings, key="too-late"))
    assert (late.outcome, late.reason, late.run, late.step) == ("unclaimed", "late", too_late, "paid")


def wrong_clock(state: Path) -> None:
    """The clock is ahead by the seconds that a file beside the state folder says."""
    known = Partition.__init__.__kwdefaults__
    assert known is not None
    known["clock"] = lambda: time.time() + float((state.parent / "ahead").read_text())


@pytest.fixture
def wrong(bootstrap: str, tmp_path: Path) -> Iterator[tuple[Bench, Path]]:
    """A bench, and the file that says what the clock of its worker is ahead."""
    with make_bench(bootstrap, tmp_path) as bench:
        yield bench, tmp_path / "ahead"


def test_a_worker_whose_clock_is_an_hour_behind_is_late_with_nothing(wrong: tuple[Bench, Path]) -> None:
    bench, ahead = wrong
    ahead.write_text("-3600")
    start = bench.publish(DELAYS)
    bench.worker(kind=altered(wrong_clock))
    for key in ("first", "second"):
        bench.wait_history(bench.start(start, key, "delays"), "RunCompleted")


def test_a_clock_that_was_a_year_ahead_for_a_while_delays_nothing(wrong: tuple[Bench, Path]) -> None:
    bench, ahead = wrong
    ahead.write_text(str(365 * 86_400))
    start = bench.publish(LONGER)
    bench.wait_open(bench.worker(kind=altered(wrong_clock)))  # else the delay may be over before the run is begun
    run = bench.start(start, "ahead", "longer")
    bench.wait(lambda: bench.reasons()["early"] > 0, "the timer to be refused because it is early")
    ahead.write_text("0")
    bench.wait_history(run, "RunCompleted")
