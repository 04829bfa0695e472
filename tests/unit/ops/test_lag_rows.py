"""Lag as people see it: what waits, since when, until when, and what keeps a topic from being read."""

from __future__ import annotations

from math import inf

from streamflow.cli.lag import board
from streamflow.ops.fleet import group_lag_rows, lane_rows
from streamflow.ops.lag import PartitionLag
from streamflow.ops.lag_rows import MeasuredLag, Rates, rows_of, totals
from streamflow.settings import Mirror, Settings

SETTINGS = Settings(mirror=Mirror(topics=["runs"]))
ENGINE = PartitionLag("engine", "streamflow.commands", 0, 5, 7, 2, 1.5)
LANE = PartitionLag("tasks", "streamflow.tasks.default", 3, None, 9, 9, 40.0)
GONE = PartitionLag("ingress", "orders", -1, None, 0, 0, 0.0, "missing")
UNKNOWN = PartitionLag("ingress", "payments", 0, 5, 9, 4, None)


def test_rows_say_when_a_group_has_caught_up() -> None:
    rates = Rates()
    rates.drains([ENGINE, LANE, GONE], 0.0)
    later = [PartitionLag("engine", "streamflow.commands", 0, 6, 7, 1, 1.5), LANE, GONE]
    rows = rows_of(later, rates.drains(later, 10.0))
    assert [(row["role"], row["drain_s"], row["falls_behind"], row["state"]) for row in rows] == [
        ("engine", 10.0, False, ""),
        ("tasks", None, True, ""),
        ("ingress", None, False, "missing"),  # what waits in it is not known
    ]
    assert board(later, rates.drains(later, 11.0)).row_count == 3


def test_the_rate_of_a_topic_is_that_of_all_its_partitions() -> None:
    def lags(first: int, second: int) -> list[PartitionLag]:
        topic = "streamflow.tasks.default"
        return [
            PartitionLag("tasks", topic, 0, first, 100, 100 - first, 1.0),
            PartitionLag("tasks", topic, 1, second, 100, 100 - second, 1.0),
        ]

    rates = Rates()
    assert rates.drains(lags(0, 0), 0.0) == {("tasks", "streamflow.tasks.default"): None}
    assert rates.drains(lags(20, 30), 10.0) == {("tasks", "streamflow.tasks.default"): 30.0}


def test_an_age_that_is_not_known_is_none_and_not_nothing() -> None:
    waiting = PartitionLag("ingress", "payments", 1, 5, 9, 4, 40.0)
    idle = PartitionLag("ingress", "payments", 1, 9, 9, 0, 0.0)
    assert totals([UNKNOWN]) == {("ingress", "payments"): (4, None)}
    assert totals([UNKNOWN, idle]) == {("ingress", "payments"): (4, None)}
    assert totals([UNKNOWN, waiting]) == {("ingress", "payments"): (8, 40.0)}
    (row,) = rows_of([UNKNOWN], {})
    assert (row["records"], row["seconds"]) == (4, None)
    (lane,) = lane_rows(SETTINGS, [], [PartitionLag("tasks", "streamflow.tasks.default", 0, 5, 9, 4, None)])
    assert (lane["waiting"], lane["oldest_s"]) == (4, None)


def test_pages_get_the_rows_of_the_command_line_with_groups_and_lanes() -> None:
    partitions = [ENGINE, LANE, GONE, UNKNOWN, PartitionLag("mirror", "streamflow.runs", 0, 1, 1, 0, 0.0)]
    drains = {("engine", "streamflow.commands"): 4.0, ("tasks", "streamflow.tasks.default"): inf}
    rows = group_lag_rows(SETTINGS, MeasuredLag(partitions=partitions, drains=drains))
    assert [(row["group"], row["lane"]) for row in rows] == [
        ("streamflow.engine", None),
        ("streamflow.tasks.default", "default"),
        ("streamflow.ingress", None),
        ("streamflow.ingress", None),
        ("streamflow.mirror", None),
    ]
    assert [{name: row[name] for name in row if name not in ("group", "lane")} for row in rows] == rows_of(
        partitions, drains
    )
