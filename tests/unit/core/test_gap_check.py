"""Nothing that was given out and dropped goes unread, and what the log does not hold is not waited for."""

from __future__ import annotations

from streamflow.core.gap_check import GapCheck, Verdict


def test_a_batch_that_goes_on_or_overlaps_is_taken() -> None:
    read = GapCheck()
    assert [read.judge(0, 10, first, current=True) for first in (10, 7)] == [Verdict.TAKE, Verdict.TAKE]


def test_a_hole_is_read_again_first() -> None:
    read = GapCheck()
    assert read.judge(0, 10, 66, current=True) is Verdict.SEEK


def test_a_hole_after_a_seek_to_its_beginning_is_real_once() -> None:
    read = GapCheck()
    read.sought(0, 10)
    assert read.judge(0, 10, 12, current=True) is Verdict.HOLE
    assert read.judge(0, 13, 20, current=True) is Verdict.SEEK


def test_a_batch_that_was_asked_for_before_a_rebalance_tells_nothing_about_the_log() -> None:
    read = GapCheck()
    read.sought(0, 10)
    assert read.judge(0, 10, 66, current=False) is Verdict.SEEK


def test_a_seek_is_over_with_the_first_batch() -> None:
    read = GapCheck()
    read.sought(0, 10)
    assert read.judge(0, 10, 10, current=True) is Verdict.TAKE
    assert read.judge(0, 10, 11, current=True) is Verdict.SEEK
