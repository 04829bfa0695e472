"""Commands for a partition that takes nothing wait in order and in bounds; those for others pass."""

from __future__ import annotations

from streamflow.core.held_commands import Held, HeldCommands, behind, resumable


def one(offset: int, value: bytes = b"x", topic: str = "a") -> Held:
    return Held("k", value, (topic, 0), offset)


def test_what_waits_leaves_in_order_when_its_partition_takes_commands_again() -> None:
    held = HeldCommands()
    held.blocked = frozenset({1, 2})
    assert [held.must_hold(partition) for partition in (0, 1, 2)] == [False, True, True]
    held.hold(1, one(1))
    held.hold(2, one(2, topic="b"))
    held.hold(1, one(3))
    assert held.sources() == {1: {("a", 0)}, 2: {("b", 0)}}
    assert held.take() == []
    held.blocked = frozenset({2})
    assert held.must_hold(1)  # behind those that wait
    assert [(partition, held.offset) for partition, held in held.take()] == [(1, 1), (1, 3)]
    assert not held.must_hold(1)
    assert len(held) == 1


def test_a_full_partition_leaves_room_for_others_and_stops_its_own_sources_only() -> None:
    held = HeldCommands(commands_most=2)
    held.blocked = frozenset({0, 1})
    held.hold(0, one(0))
    held.hold(0, one(1))
    assert (held.room(0), held.room(1)) == (False, True)
    stopped = [(("a", 0), 0), (("b", 0), 1)]
    assert resumable(stopped, held) == [("b", 0)]
    held.blocked = frozenset()
    held.take()
    assert resumable(stopped, held) == [("a", 0), ("b", 0)]


def test_bytes_are_bounded_over_all_partitions_and_given_back() -> None:
    held = HeldCommands(bytes_most=10)
    held.blocked = frozenset({0, 1})
    held.hold(0, one(0, b"123456"))
    held.hold(1, one(1, b"1234"))
    assert not held.room(1)
    held.blocked = frozenset({1})
    held.take()
    assert held.room(1)
    held.hold(1, one(2, b"123456"))
    assert not held.room(1)
    held.drop()
    assert held.room(1)
    assert len(held) == 0


def test_lag_is_measured_by_partition() -> None:
    committed, begins, ends = {0: 90, 1: 0}, {0: 0, 1: 50, 2: 10}, {0: 100, 1: 100, 2: 100}
    assert behind(committed, begins, ends, limit=49) == {1: 50, 2: 90}
    assert behind(committed, begins, {0: 100}, limit=9) == {0: 10}  # of others nothing is known
