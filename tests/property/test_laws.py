"""The laws hold under every fault that the protocol names, and each planted bug breaks one of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.conftest import examples
from tests.property.laws import LawBroken
from tests.property.mutants import MUTANTS
from tests.property.protocol import Protocol
from tests.property.walk import walk


def explore(machine: type[Protocol], count: int, steps: int = 60) -> None:
    """Run `machine` with the same choices every time, to its first failure."""
    chosen = settings(
        max_examples=count,
        stateful_step_count=steps,
        derandomize=True,
        database=None,
        deadline=None,
        phases=(Phase.generate,),
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(machine, settings=chosen)


def test_laws_hold_whatever_happens() -> None:
    explore(Protocol, examples(100))


def walk_on(machine: type[Protocol], story: Sequence[str], seeds: Iterable[int]) -> None:
    for seed in seeds:
        walk(machine, seed, 60, story)


# Where the walks that find a bug late find it. A start for the search: all seeds follow, so a change of the rules makes
# it slower and not wrong.
FOUND_AT = {
    "ContentNotAwaited": 67,
    "NotFenced": 31,
    "ReopenedWithoutRestore": 31,
    "RestoreGoesOnBehind": 18,
    "TimersOfADowntime": 19,
}


@pytest.mark.parametrize("name", sorted(MUTANTS))
def test_a_planted_bug_breaks_a_law(name: str) -> None:
    machine, story = MUTANTS[name]
    with pytest.raises(LawBroken):
        walk_on(machine, story, (FOUND_AT.get(name, 0), *range(1000)))


def test_a_start_of_the_search_belongs_to_a_bug() -> None:
    assert FOUND_AT.keys() <= MUTANTS.keys()


def test_the_walks_that_find_bugs_break_no_law_without_one() -> None:
    for story in dict.fromkeys(story for _, story in MUTANTS.values()):
        walk_on(Protocol, story, range(examples(10)))
