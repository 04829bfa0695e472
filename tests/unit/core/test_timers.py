"""Timers of a partition: fired when due by the clock they are given, a bounded number on their way, and planned anew
when that clock jumps back."""

from __future__ import annotations

import pytest

from streamflow.core.timers import IN_FLIGHT, LOOK_MS, Timers
from streamflow.engine.commands import FireTimer
from streamflow.engine.overlay import Overlay
from streamflow.engine.record_keys import timer_key
from streamflow.engine.state import OWN, PartitionState, Timer
from streamflow.simulation.store import MemoryStore

NOW = 1_000_000_000_000
YEAR_MS = 365 * 86_400_000
PAID = frozenset({"paid"})


class Desk:
    """Timers over state in memory; `arm` and `decide` change it as decisions do."""

    def __init__(self) -> None:
        self.overlay = Overlay(MemoryStore({}))
        self.timers = Timers(self.overlay, NOW)

    def arm(self, run: str, due_ms: int) -> bool:
        changes = {timer_key(due_ms, run, "pause"): Timer(run=run, address="pause", due_ms=due_ms)}
        self.overlay.apply({**changes, OWN: PartitionState()})
        return self.timers.note(changes)

    def decide(self, command: FireTimer) -> None:
        changes = {timer_key(command.due_ms, command.run, command.address): None}
        self.overlay.apply({**changes, OWN: PartitionState()})
        self.timers.note(changes)
        self.timers.decided(command)

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
    desk.timers.decided(command)
    desk.timers.again(command, NOW, 50)
    assert [desk.fired(NOW + after) for after in (49, 50)] == [[], ["a"]]


def blocked(desk: Desk, now_ms: int) -> None:
    (command,) = desk.timers.due(now_ms)
    desk.timers.decided(command)
    desk.timers.block(command, PAID)


def test_one_refused_as_behind_waits_until_its_events_are_read_so_far(desk: Desk) -> None:
    desk.arm("a", NOW)
    blocked(desk, NOW)
    assert not desk.timers.unblock({PAID: NOW - 1}.__getitem__)
    assert desk.fired(NOW + 10) == []
    assert desk.timers.unblock({PAID: NOW}.__getitem__)
    assert desk.fired(NOW + 20) == ["a"]


def test_what_ingress_may_still_have_an_event_for_costs_no_command(desk: Desk) -> None:
    signed = frozenset({"signed"})
    desk.arm("a", NOW)
    desk.arm("b", NOW + 5)
    desk.arm("c", NOW)
    waits = {"a": PAID, "b": PAID, "c": signed}
    assert desk.timers.due(NOW + 10, lambda timer: waits[timer.run]) == []
    assert desk.timers.due(NOW + 11, lambda timer: waits[timer.run]) == []
    assert desk.timers.unblock({PAID: NOW, signed: NOW - 1}.__getitem__)
    assert desk.fired(NOW + 20) == ["a"]
    assert desk.timers.unblock({PAID: NOW + 5, signed: NOW + 5}.__getitem__)
    assert sorted(desk.fired(NOW + 30)) == ["b", "c"]


def test_however_many_are_blocked_a_watermark_that_frees_none_of_them_reads_none_of_them(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(500):
        desk.arm(f"r{number:03d}", NOW + 1)
    assert desk.timers.due(NOW + 10, lambda timer: PAID) == []
    asked = 0

    def reached(events: frozenset[str]) -> int:
        nonlocal asked
        asked += 1
        return NOW

    monkeypatch.setattr(desk.overlay, "get", lambda key: pytest.fail("a blocked timer was read"))
    for second in range(1, 11):
        assert not desk.timers.unblock(reached)
        assert desk.fired(NOW + second * 1000) == []
    assert asked == 10


def test_a_blocked_timer_is_not_fired_however_much_time_passes(desk: Desk) -> None:
    desk.arm("a", NOW)
    blocked(desk, NOW)
    assert [desk.fired(now) for now in range(NOW, NOW + 600_000, 1000)] == [[]] * 600
    assert desk.timers.next_due_ms() is None


def test_timers_that_fell_due_while_nobody_owned_the_partition_are_fired_by_the_next_owner(desk: Desk) -> None:
    desk.arm("long ago", NOW - YEAR_MS)
    desk.arm("just now", NOW - 1)
    desk.arm("soon", NOW + 1000)
    restored = MemoryStore()
    restored.write(desk.overlay.capture())
    heir = Timers(Overlay(restored), NOW)
    assert [command.run for command in heir.due(NOW)] == ["long ago", "just now"]
    assert [command.run for command in heir.due(NOW + 1000)] == ["soon"]


def test_virtual_time_knows_the_next_timer_however_far_away_it_is(desk: Desk) -> None:
    assert desk.timers.next_due_ms() is None
    desk.arm("far", NOW + YEAR_MS)
    assert desk.timers.next_due_ms() == NOW + YEAR_MS
    desk.arm("near", NOW + 10)
    assert desk.timers.next_due_ms() == NOW + 10
    (command,) = desk.timers.due(NOW + 10)
    desk.decide(command)
    assert desk.timers.next_due_ms() == NOW + YEAR_MS


def test_nothing_is_remembered_of_timers_that_were_decided(desk: Desk) -> None:
    for number in range(3 * IN_FLIGHT):
        desk.arm(f"r{number:04d}", NOW + number)
        (command,) = desk.timers.due(NOW + number)
        desk.timers.decided(command)
    assert desk.timers.fired == 0


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
        desk.timers.decided(command)
    assert desk.fired(NOW) == []
    desk.arm("next", NOW + 1)
    assert desk.fired(NOW + 1) == ["next"]


@pytest.mark.parametrize("jump_ms", [60_000, 3_600_000, YEAR_MS])
def test_a_clock_that_was_ahead_and_jumped_back_delays_nothing(desk: Desk, jump_ms: int) -> None:
    desk.arm("before", NOW + 3000)
    ahead = NOW + jump_ms
    desk.arm("during", NOW + 4000)
    for command in desk.timers.due(ahead):
        desk.timers.decided(command)
        desk.timers.again(command, ahead, command.due_ms - NOW)
    assert desk.timers.next_ms(NOW + 1000) <= NOW + 1000 + LOOK_MS
    assert [desk.fired(NOW + after) for after in (1000, 3000, 4000)] == [[], ["before"], ["during"]]


@pytest.mark.parametrize("ahead_ms", [60_000, 3_600_000])
def test_one_refused_by_a_clock_that_is_ahead_for_a_moment_is_fired_in_time(desk: Desk, ahead_ms: int) -> None:
    desk.arm("a", NOW + 50)
    (command,) = desk.timers.due(NOW + 60)
    desk.timers.decided(command)
    desk.timers.again(command, NOW + ahead_ms, 10)  # nothing was asked for while the clock was ahead
    assert desk.fired(NOW + 100) == ["a"]


def test_what_waits_for_a_watermark_goes_on_waiting_when_the_clock_jumps_back(desk: Desk) -> None:
    desk.arm("a", NOW + 10)
    blocked(desk, NOW + 3_600_000)
    assert desk.fired(NOW + 20) == []
    desk.timers.unblock({PAID: NOW + 10}.__getitem__)
    assert desk.fired(NOW + 30) == ["a"]
