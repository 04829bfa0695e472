"""The schedule of a drill: the same from the same seed, each fault at least once, one after the other; and what is
refused."""

from __future__ import annotations

from itertools import pairwise

import pytest

from streamflow.drill.faults import FAULTS, FIRST_S, chosen_faults, needed_s, schedule
from streamflow.errors import Rejected

ALL = tuple(FAULTS)


def test_a_seed_gives_the_same_schedule_and_another_seed_another() -> None:
    assert schedule(7, ALL, 60, 3.0) == schedule(7, ALL, 60, 3.0)
    assert schedule(7, ALL, 60, 3.0) != schedule(8, ALL, 60, 3.0)


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("seconds", [needed_s(ALL, 3.0), 60, 600])
def test_everything_is_broken_at_least_once_and_in_time(seed: int, seconds: float) -> None:
    injections = schedule(seed, ALL, seconds, 3.0)

    assert {injection.fault for injection in injections[: len(ALL)]} == set(ALL)
    assert injections[0].at_s == FIRST_S
    assert all(later.at_s >= earlier.at_s + earlier.for_s + 1.4 for earlier, later in pairwise(injections))
    assert injections[-1].at_s + injections[-1].for_s < seconds
    assert all(injection.target in FAULTS[injection.fault].targets for injection in injections)


def test_more_seconds_bring_more_faults() -> None:
    assert len(schedule(1, ("kill",), 100, 3.0)) > 20 > len(schedule(1, ("kill",), 20, 3.0)) > 3


def test_what_is_stopped_stays_so_past_the_session() -> None:
    for injection in schedule(3, ("stop", "takeover"), 200, 6.0):
        assert injection.for_s > 6.0


def test_too_few_seconds_are_refused_with_those_that_are_needed() -> None:
    with pytest.raises(Rejected) as refused:
        schedule(1, ALL, needed_s(ALL, 3.0) - 1, 3.0)

    assert refused.value.code == "seconds_too_few"
    assert refused.value.facts["least"] == round(needed_s(ALL, 3.0), 1)


def test_by_default_everything_that_may_be_broken_is() -> None:
    assert chosen_faults("", embedded=True) == ALL
    assert chosen_faults("", embedded=False) == ("kill", "stop", "state", "takeover", "rebalance")
    assert chosen_faults("state, kill", embedded=False) == ("kill", "state")


def test_the_default_length_is_enough_for_everything() -> None:
    assert needed_s(ALL, 3.0) <= 40
    assert needed_s(chosen_faults("", embedded=False), 6.0) <= 40


@pytest.mark.parametrize(("words", "code"), [("kil", "fault_unknown"), ("kill,broker-kill", "fault_not_ours")])
def test_faults_that_are_none_or_not_the_drills_to_make_are_refused(words: str, code: str) -> None:
    with pytest.raises(Rejected) as refused:
        chosen_faults(words, embedded=False)

    assert refused.value.code == code
