"""Task workers while their broker does not answer, is killed, or comes back."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from streamflow.kafka.embedded.broker import EmbeddedBroker
from streamflow.settings import Lane
from tests.integration.lanes import LaneBench, make_lanes
from tests.integration.workers import complaints
from tests.proof.ledger import Ledger

pytestmark = [pytest.mark.broker, pytest.mark.timeout(150)]


@pytest.fixture
def outage(own_broker: EmbeddedBroker, tmp_path: Path) -> Iterator[LaneBench]:
    made = make_lanes(
        own_broker.bootstrap_servers, tmp_path, lanes={"default": Lane(session_timeout_s=6, in_flight=20)}
    )
    with made:
        yield made


def test_what_ends_while_the_broker_is_away_is_answered_when_it_is_back_and_not_done_again(
    own_broker: EmbeddedBroker, outage: LaneBench, tmp_path: Path
) -> None:
    with Ledger(tmp_path / "ledger", delay_ms=1500) as ledger:
        worker = outage.task_worker(allow=(ledger.host,))
        outage.wait_assigned(worker)
        tasks = [
            outage.task(f"k{number}", operation="http.request", input={"url": ledger.url, "json": {}})
            for number in range(20)
        ]
        outage.put("default", *tasks)
        outage.wait(lambda: len(ledger.account().keys) == 20, "every call to be on its way")
        own_broker.kill()
        outage.wait(lambda: sum(ledger.account().answers.values()) == 20, "every call to be answered")
        own_broker.start()
        outage.wait_answers(*tasks, timeout_s=60)
        assert outage.wait_done("default") == {"completed": 20}
        assert set(ledger.account().calls.values()) == {1}
        worker.stop()
        assert complaints(worker) == []


def test_a_worker_that_is_told_to_stop_while_its_broker_is_away_ends_all_the_same(
    own_broker: EmbeddedBroker, outage: LaneBench
) -> None:
    worker = outage.task_worker(drain_s=1.0)
    tasks = [outage.task(f"k{number}") for number in range(50)]
    outage.put("default", *tasks)
    outage.wait_answers(*tasks)
    own_broker.pause()
    try:
        worker._running().terminate()
        began = time.monotonic()
        worker._running().wait(60)
        assert time.monotonic() - began < 40, worker.tail()
    finally:
        own_broker.resume()
    worker.end()
    outage.restart(worker)
    more = outage.task()
    outage.put("default", more)
    outage.wait_answers(more)
    worker.stop()


def test_a_worker_that_is_started_while_its_broker_is_away_ends_with_a_clear_error(
    own_broker: EmbeddedBroker, outage: LaneBench
) -> None:
    own_broker.pause()
    try:
        worker = outage.task_worker()
        assert worker._running().wait(40) not in (0, None)
    finally:
        own_broker.resume()
    worker._process = None
    assert "broker_unreachable" in worker.tail()
    assert "Traceback" not in worker.tail()
