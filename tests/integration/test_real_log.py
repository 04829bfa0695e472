"""One pass of the real log, with a kill -9 of each worker in the middle: of every fourth application in `make test`, of
all in `make test-full`. `make proof` runs it through many more."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from streamflow.kafka.embedded.broker import EmbeddedBroker
from tests.conftest import TEST_ALL
from tests.proof import loans, scenarios
from tests.proof.case import Case
from tests.proof.judge import judge
from tests.proof.world import World

pytestmark = [pytest.mark.broker, pytest.mark.timeout(300)]


@pytest.mark.skipif(not loans.REAL_LOG.exists(), reason="the real log is not here; its README says where it comes from")
def test_the_real_log_comes_out_exact_through_a_kill_of_each_worker(broker: EmbeddedBroker, tmp_path: Path) -> None:
    log, seed = loans.real_log(), random.SystemRandom().randrange(1 << 31)
    print(f"seed {seed}")
    assert loans.expected_counts(log) == loans.NINE_COUNTS
    if not TEST_ALL:
        chosen = set(sorted({line.key for line in log})[::4])
        log = [line for line in log if line.key in chosen]
    with World(broker, tmp_path / "world", print) as world:
        case = Case(world, log, random.Random(seed), loans.expected(log))
        scenarios.one_kill_each(case)
        verdict = judge(world.stranger, world.source, world.stop(), case.expected)
    assert verdict.faults == []
    assert verdict.facts["outcomes"] == loans.expected_counts(log)
    ingress = verdict.facts["ingress"]
    assert ingress["read"] == ingress["matched"] + ingress["ignored"] == len(log)
    assert ingress["dead"] == 0
    if TEST_ALL:
        assert ingress == {"read": 262_200, "matched": 38_255, "ignored": 223_945, "dead": 0}
