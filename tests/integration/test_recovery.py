"""A small log through the troubles of `make proof`, judged by the same readers: they know nothing of streamflow."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from streamflow.kafka.broker import EmbeddedBroker
from tests.proof import loans, scenarios
from tests.proof.case import Case, Run
from tests.proof.judge import judge
from tests.proof.world import World

pytestmark = [pytest.mark.broker, pytest.mark.timeout(180)]

APPLICATIONS = 2000


@pytest.mark.parametrize(
    "trouble",
    [
        pytest.param(scenarios.one_kill_each, id="engine and ingress are killed"),
        pytest.param(scenarios.state_deleted, id="the engine is killed and its state folder deleted"),
        pytest.param(scenarios.empty_takeover, id="a worker on an empty folder takes over"),
        pytest.param(scenarios.doubled, id="each event comes twice"),
    ],
)
def test_every_run_comes_out_exact_when(trouble: Run, broker: EmbeddedBroker, tmp_path: Path) -> None:
    seed = random.SystemRandom().randrange(1 << 31)
    print(f"seed {seed}")
    log = loans.generated_log(seed, APPLICATIONS)
    with World(broker, tmp_path / "world", print) as world:
        case = Case(world, log, random.Random(seed), loans.expected(log))
        trouble(case)
        verdict = judge(world.stranger, world.source, world.stop(), case.expected)
    assert verdict.faults == []
    assert len(case.expected) == APPLICATIONS
