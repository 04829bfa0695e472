"""The engine worker while its broker does not answer, is killed, or comes back: nothing is lost, nothing is doubled,
and nothing hangs."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient

from streamflow.engine import commands as c
from streamflow.kafka.embedded.broker import EmbeddedBroker
from tests.conftest import only_full
from tests.integration.workers import Bench, complaints, make_bench

pytestmark = [pytest.mark.broker, pytest.mark.timeout(240)]


@pytest.fixture
def outage(own_broker: EmbeddedBroker, tmp_path: Path) -> Iterator[Bench]:
    with make_bench(own_broker.bootstrap_servers, tmp_path) as made:
        yield made


def load(bench: Bench, start: c.DefinitionRef, numbers: range) -> list[str]:
    """Appends runs that end by themselves as soon as everything is decided."""
    runs = [bench.start(start, f"order-{number}") for number in numbers]
    for number in numbers:
        bench.deliver(f"order-{number}", flush=False)
    bench.flush()
    return runs


def all_ended(bench: Bench, runs: list[str]) -> None:
    bench.wait_saved(timeout_s=60)
    told = bench.stranger.runs()
    assert told.faults == []
    assert {told.runs[run].ended for run in runs} == {"bye"}
    assert len(told.runs) == len(runs)


def describes(broker: EmbeddedBroker, topic: str) -> bool:
    """Whether the controller is there again: a worker that starts without it ends with an error."""
    client = AdminClient({"bootstrap.servers": broker.bootstrap_servers})
    try:
        client.describe_topics(TopicCollection([topic]), request_timeout=5)[topic].result(5)
    except (KafkaException, TimeoutError):
        return False
    return True


def test_a_broker_that_stops_answering_in_the_middle_of_checkpoints_costs_nothing_but_time(
    own_broker: EmbeddedBroker, outage: Bench
) -> None:
    bench = outage
    start = bench.publish()
    worker = bench.worker(checkpoint_s=0.05, checkpoint_idle_s=0.05)
    bench.wait_open(worker)
    runs: list[str] = []
    for nth in range(4):
        runs += load(bench, start, range(nth * 300, nth * 300 + 300))
        own_broker.pause()
        time.sleep(3 if nth == 3 else 0.3)  # the length of the outage
        own_broker.resume()
    all_ended(bench, runs)
    worker.stop()
    bench.check_exact()
    bench.check_stores(worker)
    assert complaints(worker) == []


@only_full  # tests/faults kills it in the middle of more
def test_a_broker_that_is_killed_and_comes_back_loses_and_doubles_nothing(
    own_broker: EmbeddedBroker, outage: Bench
) -> None:
    bench = outage
    start = bench.publish()
    worker = bench.worker(checkpoint_s=0.05)
    bench.wait_open(worker)
    runs = load(bench, start, range(400))
    own_broker.kill()
    own_broker.start()
    runs += load(bench, start, range(400, 500))
    all_ended(bench, runs)
    worker.stop()
    bench.check_exact()
    bench.check_stores(worker)
    assert complaints(worker) == []


def test_a_worker_that_is_told_to_stop_while_its_broker_is_away_ends_all_the_same(
    own_broker: EmbeddedBroker, outage: Bench
) -> None:
    bench = outage
    start = bench.publish()
    worker = bench.worker(session_timeout_s=3, checkpoint_s=0.5, checkpoint_idle_s=0.5)
    runs = load(bench, start, range(50))
    bench.wait_history(runs[-1], "RunCompleted")
    own_broker.pause()
    try:
        worker._running().terminate()
        began = time.monotonic()
        worker._running().wait(45)
        assert time.monotonic() - began < 15, worker.tail()
    finally:
        own_broker.resume()
    worker.end()
    bench.wait(lambda: describes(own_broker, bench.topic("definitions")), "the broker to describe topics", 60)
    bench.restart(worker)
    all_ended(bench, runs)
    worker.stop()
    bench.check_exact()


@only_full  # test_tasks_outage.py has a lane do so
def test_a_worker_that_is_started_while_its_broker_is_away_ends_with_a_clear_error(
    own_broker: EmbeddedBroker, outage: Bench
) -> None:
    bench = outage
    own_broker.pause()
    try:
        worker = bench.worker()
        assert worker._running().wait(40) not in (0, None)
    finally:
        own_broker.resume()
    worker._process = None
    assert "broker_unreachable" in worker.tail()
    assert "Traceback" not in worker.tail()
