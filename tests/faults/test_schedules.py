"""Schedules and work are what their seed says, and can be played again."""

from __future__ import annotations

import pytest

from tests.faults import kinds
from tests.faults.nemesis import KINDS, from_json, mixed, single, to_json
from tests.faults.site import Site
from tests.faults.soak import Sample, slope_an_hour
from tests.faults.work import drawn

__all__ = ["Site", "kinds"]


def test_there_are_kinds_enough_and_each_says_what_it_does() -> None:
    assert len(KINDS) >= 25
    assert all(any(base.__dict__.get("__doc__") for base in fault.__mro__[:2]) for fault in KINDS.values())


@pytest.mark.parametrize("name", sorted(KINDS))
def test_the_same_seed_gives_the_same_schedule(name: str) -> None:
    assert single(name, 7) == single(name, 7)
    assert len({to_json(single(name, seed)) for seed in range(5)}) == 5


def test_a_printed_schedule_can_be_played_again() -> None:
    injections = mixed(3, KINDS)
    assert from_json(to_json(injections)) == injections
    assert 3 <= len(injections) <= 6


def test_mixed_schedules_leave_out_what_does_not_mix() -> None:
    named = {injection.kind for seed in range(200) for injection in mixed(seed, KINDS)}
    assert named == {name for name, fault in KINDS.items() if fault.mixes}


def test_the_same_seed_gives_the_same_work_with_duplicates_disorder_and_rubbish() -> None:
    work = drawn(1, 10, 20)
    assert work == drawn(1, 10, 20)
    assert work != drawn(2, 10, 20)
    named = [sending.id for sending in work if sending.starts or sending.takes]
    assert len(set(named)) < len(named)
    placed = {sending.key: place for place, sending in reversed(list(enumerate(work))) if sending.starts}
    assert any(place < placed[sending.key] for place, sending in enumerate(work) if sending.takes)
    assert any(sending.dead for sending in work)
    assert any(sending.ignored for sending in work)


def test_a_slope_leaves_the_warming_up_out() -> None:
    warm = [Sample(at, 100.0, 10, 5) for at in range(100, 500)]
    assert slope_an_hour([Sample(at, at, 10, 5) for at in range(90)] + warm, "rss_mb") == pytest.approx(0)
    assert slope_an_hour([Sample(at, at / 3600 * 7, 10, 5) for at in range(100)], "rss_mb") == pytest.approx(7)
