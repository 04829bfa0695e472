"""A small log through the troubles of `make proof`, judged by the same readers: they know nothing of streamflow."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from streamflow.kafka.embedded.broker import EmbeddedBroker
from tests.conftest import TEST_ALL, only_full
from tests.integration.forked import Forked
from tests.proof import loans, scenarios
from tests.proof.case import Case, Run
from tests.proof.judge import judge
from tests.proof.world import Worker, World

pytestmark = [pytest.mark.broker, pytest.mark.timeout(180)]

APPLICATIONS = 2000 if TEST_ALL else 250


@pytest.mark.parametrize(
    ("trouble", "kind"),
    [
        pytest.param(scenarios.one_kill_each, Forked, id="engine and ingress are killed"),
        pytest.param(
            scenarios.state_deleted,
            Forked,
            id="the engine is killed and its state folder deleted",
            marks=only_full,  # tests/faults does so in the middle of more
        ),
        # two engines with different hash seeds: their copies of a transition must be the same bytes
        pytest.param(scenarios.empty_takeover, Worker, id="a worker on an empty folder takes over"),
        pytest.param(scenarios.doubled, Forked, id="each event comes twice"),
    ],
)
def test_every_run_comes_out_exact_when(
    trouble: Run, kind: type[Worker], broker: EmbeddedBroker, tmp_path: Path
) -> None:
    seed = random.SystemRandom().randrange(1 << 31)
    print(f"seed {seed}")
    log = loans.generated_log(seed, APPLICATIONS)
    with World(broker, tmp_path / "world", print, kind=kind) as world:
        case = Case(world, log, random.Random(seed), loans.expected(log))
        trouble(case)
        verdict = judge(world.stranger, world.source, world.stop(), case.expected)
    assert verdict.faults == []
    assert len(case.expected) == APPLICATIONS
