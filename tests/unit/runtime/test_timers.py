"""Timers of a partition: fired when due by the clock they are given, a bounded number on their way, and planned anew
when that clock jumps back."""

from __future__ import annotations

import pytest

from streamflow.engine.commands import AdvanceWatermark, FireTimer
from streamflow.engine.overlay import Overlay
from streamflow.engine.state import OWN, Own, Timer, timer_key
from streamflow.engine.watermarks import advance_watermark
from streamflow.runtime.timers import IN_FLIGHT, LOOK_MS, Timers
from streamflow.simulation.store import MemoryStore

NOW = 1_000_000_000_000
YEAR_MS = 365 * 86_400_000


class Desk:
    """Timers over state in memory; `arm` and `decide` change it as decisions do."""

    def __init__(self) -> None:
        self.overlay = Overlay(MemoryStore({}))
        self.timers = Timers(self.overlay, NOW)

    def arm(self, run: str, due_ms: int, *events: str) -> bool:
        changes = {timer_key(due_ms, run, "pause"): Timer(run, "pause", due_ms, events=events)}
        self.overlay.apply({**changes, OWN: self.overlay.own})
        return self.timers.note(changes)

    def reach(self, now_ms: int, event: str, at_ms: int) -> None:
        """The watermark of `event`, which comes from one topic of its name, is told to be at `at_ms`."""
        command = AdvanceWatermark("w", event, 1, {"0": at_ms}, {event: (event,)})
        self.overlay.apply({OWN: Own(watermarks=advance_watermark(self.overlay.own.watermarks, command))})
        self.timers.unblock(now_ms)

    def decide(self, command: FireTimer) -> None:
        changes = {timer_key(command.due_ms, command.run, command.step): None}
        self.overlay.apply({**changes, OWN: Own()})
        self.timers.note(changes)
        self.timers.decided(command, "", NOW)

    def fired(self, now_ms: int) -> list[str]:
        return [command.run for command in self.timers.due(now_ms)]


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_a_timer_is_fired_once_when_it_is_due(desk: Desk) -> None:
    assert desk.arm("a", NOW + 700)
    assert desk.timers.next_ms(NOW) == NOW + 700
    assert [desk.fired(NOW + after) for after in (699, 700, 701)] == [[], ["a"], []]


def test_one_far_away_is_found_when_its_time_comes_near(desk: Desk) -> None:
    desk.arm("far", NOW + 200_000)
    assert all(desk.fired(now) == [] for now in range(NOW, NOW + 200_000, LOOK_MS))
    assert desk.fired(NOW + 200_000) == ["far"]


def test_one_refused_as_early_is_fired_again_at_the_time_that_is_said(desk: Desk) -> None:
    desk.arm("a", NOW)
    (command,) = desk.timers.due(NOW)
    desk.timers.decided(command, "early", NOW + 50)
    assert [desk.fired(NOW + after) for after in (49, 50)] == [[], ["a"]]


def test_one_that_ingress_may_still_have_an_event_for_is_not_fired_before_the_watermark_has_reached_it(
    desk: Desk,
) -> None:
    desk.arm("a", NOW, "paid")
    desk.arm("b", NOW + 5, "paid")
    desk.arm("c", NOW, "paid", "signed")
    assert desk.fired(NOW + 10) == []
    desk.reach(NOW + 20, "paid", NOW - 1)
    assert desk.fired(NOW + 20) == []
    desk.reach(NOW + 30, "paid", NOW)
    assert desk.fired(NOW + 30) == ["a"]
    desk.reach(NOW + 40, "paid", NOW + 5)
    assert desk.fired(NOW + 40) == ["b"]
    desk.reach(NOW + 50, "signed", NOW)
    assert desk.fired(NOW + 50) == ["c"]


def test_held_timers_cost_nothing_while_they_wait(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(500):
        desk.arm(f"r{number:03d}", NOW + 1, "paid")
    assert desk.fired(NOW + 10) == []
    read = 0
    get = desk.overlay.get

    def counted(key: str) -> object:
        nonlocal read
        read += 1
        return get(key)

    monkeypatch.setattr(desk.overlay, "get", counted)
    for second in range(1, 11):
        desk.reach(NOW + second * 1000, "paid", NOW)
        assert desk.fired(NOW + second * 1000) == []
    assert read == 0
    desk.reach(NOW + 11_000, "paid", NOW + 1)
    assert len(desk.fired(NOW + 11_000)) == IN_FLIGHT


def test_one_refused_as_behind_waits_for_the_watermark(desk: Desk) -> None:
    desk.reach(NOW, "paid", NOW)
    desk.arm("a", NOW, "paid")
    (command,) = desk.timers.due(NOW)
    desk.overlay.apply({OWN: Own()})
    desk.timers.decided(command, "behind", NOW + 1)
    assert desk.fired(NOW + 10) == []
    desk.reach(NOW + 20, "paid", NOW)
    assert desk.fired(NOW + 20) == ["a"]


def test_of_many_that_fall_due_at_once_a_bounded_number_is_on_its_way(desk: Desk) -> None:
    for number in range(IN_FLIGHT + 10):
        desk.arm(f"r{number:04d}", NOW)
    first = desk.timers.due(NOW)
    assert len(first) == IN_FLIGHT
    assert desk.fired(NOW) == []
    assert desk.timers.next_ms(NOW) == NOW + LOOK_MS  # nothing to do before one of them is decided
    desk.decide(first[0])
    assert desk.timers.next_ms(NOW) == NOW
    assert len(desk.fired(NOW)) == 1
    for command in first[1:11]:
        desk.decide(command)
    assert len(desk.fired(NOW)) == 9


def test_one_that_nothing_can_be_decided_on_makes_room_and_is_not_fired_again(desk: Desk) -> None:
    for number in range(IN_FLIGHT):
        desk.arm(f"r{number:04d}", NOW)
    for command in desk.timers.due(NOW):
        desk.timers.decided(command, "decision_failed", NOW)
    assert desk.fired(NOW) == []
    desk.arm("next", NOW + 1)
    assert desk.fired(NOW + 1) == ["next"]


@pytest.mark.parametrize("jump_ms", [60_000, 3_600_000, YEAR_MS])
def test_a_clock_that_was_ahead_and_jumped_back_delays_nothing(desk: Desk, jump_ms: int) -> None:
    desk.arm("before", NOW + 3000)
    ahead = NOW + jump_ms
    desk.arm("during", NOW + 4000)
    for command in desk.timers.due(ahead):
        desk.timers.decided(command, "early", ahead + command.due_ms - NOW)
    assert desk.timers.next_ms(NOW + 1000) <= NOW + 1000 + LOOK_MS
    assert [desk.fired(NOW + after) for after in (1000, 3000, 4000)] == [[], ["before"], ["during"]]


def test_what_waits_for_a_watermark_goes_on_waiting_when_the_clock_jumps_back(desk: Desk) -> None:
    desk.arm("a", NOW + 10, "paid")
    assert desk.fired(NOW + 3_600_000) == []
    assert desk.fired(NOW + 20) == []
    desk.reach(NOW + 30, "paid", NOW + 10)
    assert desk.fired(NOW + 30) == ["a"]
    assert desk.fired(NOW + 40) == []
