"""Partitions that nothing works on."""

from __future__ import annotations

from streamflow.notifications.stalled import Stalled


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def ids(stalled: Stalled, **positions: tuple[int, int]) -> list[str]:
    found = {int(name[1:]): position for name, position in positions.items()}
    return [one.id for one in stalled.look(found, 5)]


def test_a_partition_stands_still_when_nothing_is_committed_for_a_while() -> None:
    clock = Clock()
    stalled = Stalled(60, clock)
    assert ids(stalled, p0=(3, 9), p1=(9, 9), p2=(-1, 4), p3=(-1, 0)) == []
    clock.now += 59
    assert ids(stalled, p0=(3, 20), p1=(9, 9), p2=(-1, 4), p3=(-1, 0)) == []
    clock.now += 1
    assert ids(stalled, p0=(3, 30), p1=(9, 10), p2=(-1, 4), p3=(-1, 0)) == ["partition/0/3", "partition/2/-1"]


def test_a_partition_that_moves_does_not() -> None:
    clock = Clock()
    stalled = Stalled(60, clock)
    for committed in range(100):
        assert ids(stalled, p0=(committed, 1000)) == []
        clock.now += 50


def test_it_is_not_known_to_be_over_before_the_first_look() -> None:
    clock = Clock()
    stalled = Stalled(60, clock)
    stalled.look({0: (3, 9)}, 5)
    clock.now += 60
    (found,) = stalled.look({0: (3, 9)}, 5)
    assert not Stalled(60, clock).is_over(found)


def test_it_is_over_when_it_moves_on() -> None:
    clock = Clock()
    stalled = Stalled(60, clock)
    stalled.look({0: (3, 9)}, 5)
    clock.now += 60
    (found,) = stalled.look({0: (3, 9)}, 5)
    assert not stalled.is_over(found)
    stalled.look({0: (4, 9)}, 5)
    assert stalled.is_over(found)
    stalled.look({0: (9, 9)}, 5)
    assert stalled.is_over(found)
