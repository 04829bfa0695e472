"""A state that may lack deletions is not used, also by a worker whose clock is hours behind."""

from __future__ import annotations

import pytest

from streamflow.core.opening import is_too_old

HOUR_MS = 3_600_000


@pytest.mark.parametrize(("hours", "too_old"), [(0, False), (12, False), (12.01, True), (25, True)])
def test_half_of_the_retention_is_left_to_wrong_clocks(hours: float, too_old: bool) -> None:
    assert is_too_old(hours * HOUR_MS, 24 * HOUR_MS) is too_old


def test_a_store_that_missed_deletions_is_seen_by_a_clock_that_is_an_hour_behind() -> None:
    assert is_too_old((24 - 1) * HOUR_MS, 24 * HOUR_MS)
