"""How far a source is read, as it is told to the engine: by the times of acknowledgements and ends asked for after
them, and by no clock."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from streamflow.core.source_topics import FirstPosition, SourceBinding
from streamflow.core.source_watermarks import MISSING_MS, Progress, SourceWatermarks

BINDING = SourceBinding({"paid": ("a",), "other": ("b",)}, frozenset({"paid"}), {"a": FirstPosition(False, 0)})


class Desk:
    """One ingress that reads topic `a`."""

    def __init__(self, partitions: int = 2) -> None:
        self.marks = SourceWatermarks(2)
        self.partitions = {"a": partitions}

    def ask(self, times: Mapping[int, int], ends: Mapping[int, int], positions: Mapping[int, int]) -> None:
        asked = {("a", number): end for number, end in ends.items()}
        self.marks.asked(times, asked, progress(positions))

    def tell(
        self, positions: Mapping[int, int], held: Mapping[int, frozenset[tuple[str, int]]] | None = None
    ) -> dict[int, dict[str, int]]:
        """The times of partitions of the source, by partition of `commands`."""
        told = self.marks.advance(BINDING, 7, progress(positions), self.partitions, (0, 1), held or {}, probe=False)
        assert all(command.feeds == {"paid": ("a",)} and command.bound == 7 for _, command in told)
        assert all((command.topic, command.partitions) == ("a", self.partitions["a"]) for _, command in told)
        return {to: command.at_ms for to, command in told}


def progress(positions: Mapping[int, int]) -> list[Progress]:
    return [Progress("a", "id", number, position) for number, position in positions.items()]


def test_the_first_report_says_who_feeds_what_and_nothing_of_time() -> None:
    assert Desk().tell({0: 5, 1: 0}) == {0: {}, 1: {}}


def test_each_partition_of_commands_is_told_its_own_brokers_time() -> None:
    desk = Desk()
    desk.ask({0: 1000, 1: 9000}, {0: 5, 1: 0}, {0: 5, 1: 0})
    assert desk.tell({0: 5, 1: 0}) == {0: {"0": 1000, "1": 1000}, 1: {"0": 9000, "1": 9000}}


def test_a_watermark_stands_still_until_the_end_is_reached_that_was_asked_for_after_its_time() -> None:
    desk = Desk(1)
    desk.ask({0: 1000}, {0: 5}, {0: 4})
    assert desk.tell({0: 4}) == {0: {}, 1: {}}
    desk.ask({0: 2000}, {0: 9}, {0: 4})
    assert desk.tell({0: 5}) == {0: {"0": 1000}}
    assert desk.tell({0: 8}) == {}
    assert desk.tell({0: 9}) == {0: {"0": 2000}}


def test_a_source_that_always_grows_still_has_a_watermark() -> None:
    desk, told = Desk(1), []
    for second in range(200):
        position = second * 100
        desk.ask({0: second * 1000}, {0: position + 250}, {0: position})
        told += [at["0"] for at in desk.tell({0: position}).values() if at]
    assert told == sorted(told)
    assert told[-1] >= 190_000


def test_one_far_behind_remembers_the_first_end_and_the_last(capsys: Any) -> None:
    desk = Desk(1)
    for second in range(1, 1001):
        desk.ask({0: second * 1000}, {0: 100 + second}, {0: 0})
    assert desk.tell({0: 101})[0] == {"0": 1000}
    assert desk.tell({0: 1100})[0] == {"0": 1_000_000}


def test_only_what_moved_is_told() -> None:
    desk = Desk(1)
    desk.ask({0: 1000}, {0: 5}, {0: 5})
    assert desk.tell({0: 5})[0] == {"0": 1000}
    desk.ask({0: 1000}, {0: 5}, {0: 5})
    assert desk.tell({0: 5}) == {}


def test_each_partition_is_asked_for_a_newer_time_also_when_nothing_has_moved() -> None:
    desk = Desk(1)
    desk.ask({0: 1000, 1: 1000}, {0: 5}, {0: 5})
    desk.tell({0: 5})
    again = desk.marks.advance(BINDING, 7, progress({0: 5}), desk.partitions, (0, 1), {})
    assert [(to, command.at_ms) for to, command in again] == [(0, {"0": 1000}), (1, {"0": 1000})]


def test_a_partition_without_a_leader_holds_no_other() -> None:
    desk = Desk()
    desk.ask({0: 1000}, {0: 5}, {0: 5, 1: 3})
    assert desk.tell({0: 5, 1: 3})[0] == {"0": 1000}


def test_a_source_with_commands_that_are_not_sent_yet_is_not_told_to_their_partition() -> None:
    desk = Desk()
    desk.ask({0: 1000, 1: 1000}, {0: 5, 1: 5}, {0: 5, 1: 5})
    told = desk.tell({0: 5, 1: 5}, {1: frozenset({("a", 0)})})
    assert told == {0: {"0": 1000, "1": 1000}, 1: {"1": 1000}}
    assert desk.tell({0: 5, 1: 5}) == {1: {"0": 1000, "1": 1000}}


def test_what_was_asked_before_partitions_are_opened_again_is_void() -> None:
    desk = Desk(1)
    desk.ask({0: 1000}, {0: 5}, {0: 5})
    desk.marks.opened()
    assert desk.tell({0: 2}) == {0: {}, 1: {}}


def floors(marks: SourceWatermarks) -> dict[int, int]:
    told = marks.advance(BINDING, 7, [], {"a": 0}, (0, 1), {}, probe=False)
    assert all(command.partitions == 0 and not command.at_ms for _, command in told)
    return {to: command.floor_ms for to, command in told}


def test_a_missing_topic_is_passed_when_it_was_missed_for_a_while() -> None:
    marks = SourceWatermarks(2)
    for at in range(0, MISSING_MS, 1000):
        marks.missing({0: at, 1: at + 9}, ["a"])
    assert floors(marks) == {0: 0, 1: 0}
    for at in range(MISSING_MS, 2 * MISSING_MS + 1, 1000):
        marks.missing({0: at, 1: at + 9}, ["a"])
    assert floors(marks) == {0: MISSING_MS, 1: MISSING_MS + 9}


def test_a_topic_that_was_there_meanwhile_is_missed_from_then_on_only() -> None:
    marks = SourceWatermarks(2)
    for at in range(0, 2 * MISSING_MS, 1000):
        marks.missing({0: at}, ["a"])
    before = floors(marks)[0]
    marks.missing({0: 2 * MISSING_MS}, [])
    for at in range(2 * MISSING_MS + 1000, 3 * MISSING_MS, 1000):
        marks.missing({0: at}, ["a"])
    assert floors(marks) == {}
    marks.missing({0: 3 * MISSING_MS + 1000}, ["a"])
    assert floors(marks)[0] == 2 * MISSING_MS + 1000 > before


def test_nothing_is_told_of_a_topic_that_another_worker_reads_or_that_may_not_be_read() -> None:
    assert SourceWatermarks(2).advance(BINDING, 7, [], {"a": 2}, (0,), {}) == []
    assert SourceWatermarks(2).advance(BINDING, 7, [], {}, (0,), {}) == []
