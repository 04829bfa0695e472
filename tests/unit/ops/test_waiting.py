"""Lag is zero while everything unread is within its worker's interval, and the true age from then on."""

from __future__ import annotations

from math import inf

import pytest

from streamflow.ops.waiting import Head, Progress, interval_of, waiting, worst
from streamflow.settings import Settings

ENGINE = interval_of(Settings(), "engine")  # 1 s busy, 6 s quiet, 11 s idle
INGRESS = interval_of(Settings(), "ingress")  # 1 s


@pytest.mark.parametrize(
    ("records", "head", "expected"),
    [
        (0, None, (0, 0.0)),
        (3, None, (0, 0.0)),  # marks of transactions
        (2, Head(age_s=9.0, work=0), (0, 0.0)),  # watermarks of an idle engine
        (40, Head(age_s=30.0, work=0), (40, 30.0)),  # and of one that is away
        (9, Head(age_s=9.0, work=3, work_age_s=4.0), (0, 0.0)),  # between two checkpoints of a quiet engine
        (9, Head(age_s=9.0, work=3, work_age_s=7.5), (3, 7.5)),
        (25, Head(age_s=0.8, work=25, work_age_s=0.8), (0, 0.0)),  # between two checkpoints of a busy one
        (25, Head(age_s=4.0, work=25, work_age_s=4.0), (25, 4.0)),  # a busy one that is late
        (9000, Head(age_s=0.4), (0, 0.0)),
        (9000, Head(age_s=33.0), (9000, 33.0)),
        (9000, Head(age_s=None), (9000, None)),  # the record did not come: what may wait is not taken for nothing
    ],
)
def test_what_waits_for_the_engine(records: int, head: Head | None, expected: tuple[int, float | None]) -> None:
    assert waiting(records, head, ENGINE) == expected


@pytest.mark.parametrize(("age_s", "expected"), [(0.9, (0, 0.0)), (1.1, (5, 1.1))])
def test_what_waits_for_others(age_s: float, expected: tuple[int, float]) -> None:
    assert waiting(5, Head(age_s=age_s), INGRESS) == expected


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [(0.0, 3.0, 3.0), (None, 3.0, 3.0), (None, 0.0, None), (None, None, None), (0.0, 0.0, 0.0)],
)
def test_the_worst_of_ages_is_what_is_known_to_wait(
    one: float | None, other: float | None, expected: float | None
) -> None:
    assert worst(one, other) == worst(other, one) == expected


def test_intervals_follow_the_settings() -> None:
    slow = Settings.model_validate({"engine": {"checkpoint_s": 3, "checkpoint_idle_s": 20}})
    interval = interval_of(slow, "engine")
    assert (interval.busy_s, interval.quiet_s, interval.idle_s) == (3.5, 23.5, 23.5)


def progress_of(*seen: tuple[float, int, int]) -> Progress:
    progress = Progress(window_s=60)
    for at_s, committed, end in seen:
        progress.note(at_s, committed, end)
    return progress


@pytest.mark.parametrize(
    ("seen", "records", "seconds"),
    [
        ([(0, 0, 100)], 0, 0.0),
        ([(0, 0, 100)], 100, None),
        ([(0, 0, 1000), (10, 500, 1000)], 500, 10.0),
        ([(0, 0, 1000), (10, 500, 1250)], 750, 30.0),  # 50/s done, 25/s come
        ([(0, 0, 1000), (10, 100, 1100)], 1000, inf),  # as much comes as is done
        ([(0, 0, 1000), (10, 0, 1000)], 1000, inf),  # it stands still
        ([(0, 900, 1000), (10, 200, 1000)], 800, None),  # its offsets were reset
        ([(0, 0, 1000), (40, 400, 1000), (100, 400, 1000), (110, 900, 1000)], 100, 14.0),
    ],
)
def test_how_long_a_group_takes_to_catch_up(
    seen: list[tuple[float, int, int]], records: int, seconds: float | None
) -> None:
    assert progress_of(*seen).drain_s(records) == seconds
