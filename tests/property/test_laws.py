"""The laws hold under every fault that the protocol names, and each planted bug breaks one of them."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.property.laws import LawBroken
from tests.property.mutants import MUTANTS
from tests.property.protocol import Protocol
from tests.property.walk import walk


def explore(machine: type[Protocol], examples: int, steps: int = 60) -> None:
    """Run `machine` with the same choices every time, to its first failure."""
    chosen = settings(
        max_examples=examples,
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
    explore(Protocol, 100)


def walk_on(machine: type[Protocol], story: Sequence[str], seeds: range) -> None:
    for seed in seeds:
        walk(machine, seed, 60, story)


@pytest.mark.parametrize("name", sorted(MUTANTS))
def test_a_planted_bug_breaks_a_law(name: str) -> None:
    machine, story = MUTANTS[name]
    with pytest.raises(LawBroken):
        walk_on(machine, story, range(1000))


def test_the_walks_that_find_bugs_break_no_law_without_one() -> None:
    for _, story in MUTANTS.values():
        walk_on(Protocol, story, range(10))
