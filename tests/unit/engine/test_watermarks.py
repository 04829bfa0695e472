"""Watermarks by the names of events: an event is read up to the lowest of the topics that feed it now."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamflow.engine.commands import AdvanceWatermark
from streamflow.engine.state import Watermark
from streamflow.engine.watermarks import advance_watermark, held_by, reached

Feeds = dict[str, tuple[str, ...]]


def told(
    topic: str, at_ms: int, feeds: Feeds, *, bound: int = 0, partitions: int = 1, floor_ms: int = 0
) -> AdvanceWatermark:
    times = {"0": at_ms} if partitions else {}
    return AdvanceWatermark(
        id="w", topic=topic, partitions=partitions, at_ms=times, feeds=feeds, bound=bound, floor_ms=floor_ms
    )


def after(commands: Iterable[AdvanceWatermark]) -> dict[str, Watermark]:
    watermarks: dict[str, Watermark] = {}
    for command in commands:
        watermarks = advance_watermark(watermarks, command)
    return watermarks


def test_an_event_of_two_topics_is_read_up_to_the_lower_one() -> None:
    feeds: Feeds = {"paid": ("a", "b"), "signed": ("b",)}
    one = after([told("a", 9, {"paid": ("a", "b")})])
    assert reached(one, "paid") == 0  # nothing is known of b
    both = advance_watermark(one, told("b", 5, feeds))
    assert (reached(both, "paid"), reached(both, "signed")) == (5, 5)
    assert held_by(both, ["signed", "paid"], 5) is None
    assert held_by(both, ["signed", "paid"], 6) == "paid"


def test_an_event_that_nobody_told_of_holds_its_waits() -> None:
    assert held_by({}, ["paid"], 1) == "paid"
    assert held_by({}, [], 1) is None


def test_a_topic_that_feeds_an_event_no_more_does_not_hold_it_and_is_forgotten() -> None:
    watermarks = after(
        [
            told("old", 5, {"paid": ("old",)}, bound=1),
            told("new", 9, {"paid": ("new",)}, bound=2),
        ]
    )
    assert watermarks.keys() == {"new"}
    assert reached(watermarks, "paid") == 9


def test_an_ingress_that_knows_less_changes_no_binding() -> None:
    newer = after([told("new", 9, {"paid": ("new",)}, bound=2)])
    mixed = advance_watermark(newer, told("old", 5, {"paid": ("old",)}, bound=1))
    assert reached(mixed, "paid") == 9
    late = advance_watermark(mixed, told("new", 12, {"paid": ("new", "old")}, bound=1))
    assert reached(late, "paid") == 12  # its time counts, its binding does not


def test_a_topic_that_does_not_exist_holds_nothing_up_to_when_it_was_looked_for() -> None:
    feeds: Feeds = {"paid": ("a",)}
    missing = after([told("a", 0, feeds, partitions=0, floor_ms=7)])
    assert reached(missing, "paid") == 7
    # it is created: a partition that was not reported yet holds what came after
    created = advance_watermark(
        missing, AdvanceWatermark(id="w", topic="a", partitions=2, at_ms={"0": 30}, feeds=feeds)
    )
    assert reached(created, "paid") == 7
    read = advance_watermark(created, AdvanceWatermark(id="w", topic="a", partitions=2, at_ms={"1": 20}, feeds=feeds))
    assert reached(read, "paid") == 20


@pytest.mark.parametrize("topics", [1, 7])
def test_what_is_kept_does_not_grow_with_history(topics: int) -> None:
    commands = [
        told(
            f"t{number % topics}-{number // 1000}", number, {"paid": (f"t{number % topics}-{number // 1000}",)}, bound=n
        )
        for n, number in enumerate(range(0, 20_000, 10))
    ]
    assert len(after(commands)) <= 1 + topics


@given(st.permutations([("a", 3), ("a", 8), ("b", 5), ("b", 2), ("a", 1)]))
def test_the_order_in_which_reports_come_changes_nothing(reports: list[tuple[str, int]]) -> None:
    feeds: Feeds = {"paid": ("a", "b")}
    assert reached(after(told(topic, at_ms, feeds) for topic, at_ms in reports), "paid") == 5
