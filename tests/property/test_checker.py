"""The checker and the simulated engine: it finds nothing wrong with what comes out of any trouble, and catches the bugs
of `tests.property.mutants`."""

from __future__ import annotations

import inspect
import random
from collections import Counter
from collections.abc import Sequence

import pytest

from streamflow_check.experiment import Experiment
from streamflow_check.judge import judge
from streamflow_check.promises import Report
from tests.checker.recorded import of_simulation
from tests.property import walk
from tests.property.laws import InvariantChecker
from tests.property.mutants import MUTANTS
from tests.property.protocol import LIMITS, Protocol

CAUGHT = {
    "StoreBeforeTransaction": "state-is-fold",
    "OutputsNotAwaited": "one-chain",
    "OverlayDropped": "state-is-fold",
    "LiveValues": "state-is-fold",
    "NotContiguous": "counts-add-up",
    "HolesIgnored": "counts-add-up",
    "NotFenced": "state-is-fold",
    "ReopenedWithoutRestore": "state-is-fold",
    "CountsInMemory": "counts-add-up",
    "UnsortedMapping": "identical-copies",
    "SeqDropped": "one-chain",
    "OwnClock": "broker-time",
    "NewestDefinition": "pinned-version",
    "TimerEarly": "timers-on-time",
    "TombstonesNotWritten": "state-is-fold",
    "FailedCheckpointDropped": "state-is-fold",
}

# As in test_laws: the search for these begins at the seed that finds them, and goes on with all.
FOUND_AT = {
    "LiveValues": 10,
    "NotContiguous": 11,
    "HolesIgnored": 9,
    "NotFenced": 41,
    "ReopenedWithoutRestore": 41,
    "NewestDefinition": 68,
}


class Onlooker(InvariantChecker):
    """Follows what happens, and objects to nothing."""

    def check(self) -> None:
        self.follow()

    def check_rest(self, started_once: object) -> None:
        return None


def after(machine: type[Protocol], seed: int, story: Sequence[str]) -> Report:
    """The verdict after a walk through the protocol, whatever laws break on the way."""
    chance, choices = random.Random(seed), walk.choices_of(machine)
    world = machine()
    world.begin()
    world.referee = Onlooker(world.simulation)
    try:
        for _ in range(60):
            rule = getattr(world, chance.choice((*story, *walk.ALWAYS) if chance.random() < 0.7 else walk.RULES))
            rule(**{name: chance.choice(choices[name]) for name in inspect.signature(rule).parameters})
        world.comes_to_rest()
    except (AttributeError, KeyError):  # a bug may leave a state that no decision can be made on
        assert machine is not Protocol
    return judge(of_simulation(world.simulation), Experiment(late_ms=0, window_ms=LIMITS.window_ms))


def test_what_comes_out_of_any_trouble_keeps_every_promise() -> None:
    stories = list(dict.fromkeys(story for _, story in MUTANTS.values()))
    looked = Counter[str]()
    for number in range(60):
        report = after(Protocol, number, stories[number % len(stories)])
        assert report.ok, f"seed {number}\n{report.table()}"
        looked.update({name: finding.looked for name, finding in report.findings.items()})
    elsewhere = {
        "acknowledged-input",
        "cli-agrees",
        "api-agrees",
        "history-agrees",
        "ledger-complete",
        "events-emitted",
    }
    assert {name for name, times in looked.items() if not times} <= elsewhere


@pytest.mark.parametrize("name", CAUGHT)
def test_a_bug_in_the_engine_is_caught_and_named(name: str) -> None:
    machine, story = MUTANTS[name]
    seeds = (FOUND_AT.get(name, 0), *range(600))
    assert any(CAUGHT[name] in after(machine, seed, story).broken_promises for seed in seeds)
