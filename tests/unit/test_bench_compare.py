"""The benchmark of two revisions: what is called slower, and which figures are compared."""

from __future__ import annotations

from typing import Any

import pytest

from tests.bench.compare import Compared, compare


def a_figure(base: tuple[float, ...], now: tuple[float, ...], better: str = "less") -> Compared:
    return Compared(part="micro", what="decide", unit="us", better=better, base=base, now=now)


@pytest.mark.parametrize(
    ("base", "now", "better", "verdict"),
    [
        ((100, 101, 99), (120, 121, 119), "less", "slower"),
        ((100, 101, 99), (80, 81, 79), "less", "faster"),
        ((100, 101, 99), (120, 121, 119), "more", "faster"),
        ((100, 101, 99), (80, 81, 79), "more", "slower"),
        ((100, 130, 99), (120, 121, 119), "less", ""),  # the ranges overlap
        ((100, 101, 99), (103, 104, 103), "less", ""),  # too small a difference
        ((0, 0, 0), (1, 1, 1), "less", ""),
    ],
)
def test_only_ranges_that_do_not_overlap_are_called_different(
    base: tuple[float, ...], now: tuple[float, ...], better: str, verdict: str
) -> None:
    assert a_figure(base, now, better).verdict == verdict


def test_the_ratio_is_that_of_the_medians() -> None:
    assert a_figure((100, 200, 900), (50, 100, 101)).ratio == 0.5


def test_figures_that_one_revision_lacks_are_left_out() -> None:
    def row(what: str, value: float) -> dict[str, Any]:
        return {"part": "calls", "what": what, "unit": "1/s", "better": "more", "value": value}

    base = [[row("runs", 1.0), row("gone", 5.0)], [row("runs", 2.0)]]
    now = [[row("runs", 3.0), row("new", 5.0)], [row("runs", 4.0)]]
    (found,) = compare(base, now)
    assert (found.what, found.base, found.now) == ("runs", (1.0, 2.0), (3.0, 4.0))
