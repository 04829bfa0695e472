"""Runs that call a server which writes everything down, while workers, engine and broker are killed: every key is
there, each has one accepted result, and no call is made twice but for attempts that were in flight at a kill of their
worker (law effects-outside)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from streamflow.engine import commands as c
from streamflow.kafka.embedded.broker import EmbeddedBroker
from streamflow.settings import Lane
from tests.conftest import TEST_ALL, only_full
from tests.integration.lanes import LaneBench, make_lanes
from tests.integration.workers import complaints
from tests.proof import calls
from tests.proof.ledger import Ledger

pytestmark = [pytest.mark.broker, pytest.mark.timeout(180)]

RUNS = 150 if TEST_ALL else 60


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger(tmp_path / "ledger", delay_ms=100) as made:
        yield made


@pytest.fixture
def bench(own_broker: EmbeddedBroker, tmp_path: Path) -> Iterator[LaneBench]:
    made = make_lanes(
        own_broker.bootstrap_servers, tmp_path, lanes={"default": Lane(session_timeout_s=6, in_flight=30)}
    )
    with made:
        yield made


class Play:
    """An engine, a task worker, and runs on their way."""

    def __init__(self, bench: LaneBench, ledger: Ledger, checkpoint_s: float = 0.5) -> None:
        self.bench = bench
        self.ledger = ledger
        self.engine = bench.worker(checkpoint_s=checkpoint_s)
        self.tasks = bench.task_worker(allow=(ledger.host,))
        start = bench.publish_calls(calls.definition(ledger.url))
        bench.wait_open(self.engine)
        bench.wait_assigned(self.tasks)
        self.runs = self.started(start)
        self.repeatable = 0

    def started(self, start: c.DefinitionRef) -> list[str]:
        runs = [self.bench.start(start, f"order-{number}", calls.NAME) for number in range(RUNS)]
        self.bench.flush()
        return runs

    def called(self, share: float) -> None:
        """Waits until that share of all keys have been called."""
        keys = int(share * RUNS * len(calls.STEPS))
        self.bench.wait(lambda: len(self.ledger.account().keys) >= keys, f"{keys} keys to be called", 60)

    def kill_tasks(self) -> None:
        """What was called and is not committed as ended may be called again. The worker is back when this returns: one
        that starts while the broker is away ends, and is for its supervisor to start again."""
        self.tasks.kill()
        self.ledger.wait_hung_up()
        committed = sum(position.counts.get("completed", 0) for position in self.bench.positions("default").values())
        self.repeatable += len(self.ledger.account().keys) - committed
        self.bench.restart(self.tasks)
        self.bench.wait_assigned(self.tasks)

    def check(self) -> None:
        wanted = {f"{run}/{step}" for run in self.runs for step in calls.STEPS}
        self.bench.wait(
            lambda: wanted <= set(calls.accepted(self.bench.stranger.messages(self.bench.topic("runs")))),
            "every result to be accepted",
            90,
        )
        assert calls.judge_calls(self.bench.stranger, self.ledger, self.runs, self.repeatable) == []
        self.bench.wait_done("default")
        self.bench.wait_saved()
        for worker in (self.tasks, self.engine):
            worker.stop()
        # the engine tells of a partition that it had to open again, when an outage lasts
        assert complaints(self.tasks) == []
        self.bench.check_exact()


@only_full  # the last one kills it too
def test_kills_of_the_task_worker(bench: LaneBench, ledger: Ledger) -> None:
    play = Play(bench, ledger)
    for share in (0.13, 0.44, 0.71):
        play.called(share)
        play.kill_tasks()
    play.check()
    assert play.repeatable > 0


def test_kills_of_the_engine_repeat_no_call(bench: LaneBench, ledger: Ledger) -> None:
    play = Play(bench, ledger, checkpoint_s=8)  # what was sent before a kill is sent again, however slow the machine is
    for share in (0.13, 0.44, 0.71):
        play.called(share)
        play.engine.kill()
        bench.restart(play.engine)
    play.check()
    copies = bench.lane_counts("default")["copies"]
    assert ledger.account().excess == 0
    assert copies > 0, "expected the engine to have sent tasks again"


@only_full  # the last one kills it too
def test_kills_of_the_broker_repeat_no_call(own_broker: EmbeddedBroker, bench: LaneBench, ledger: Ledger) -> None:
    play = Play(bench, ledger)
    for share in (0.13, 0.55):
        play.called(share)
        own_broker.kill()
        own_broker.start()
    play.check()
    assert ledger.account().excess == 0


def test_kills_of_all_of_them(own_broker: EmbeddedBroker, bench: LaneBench, ledger: Ledger) -> None:
    play = Play(bench, ledger)
    play.called(0.11)
    play.kill_tasks()
    play.called(0.33)
    play.engine.kill()
    own_broker.kill()
    own_broker.start()
    bench.restart(play.engine)
    play.called(0.66)
    play.engine.kill()
    play.kill_tasks()
    bench.restart(play.engine)
    play.check()
