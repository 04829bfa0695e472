"""What the lag of a topic is in states in which it is easily wrong: behind its last record are only marks of
transactions, somebody's transaction is open, the engine holds ingress up, or a partition of the engine has stopped."""

from __future__ import annotations

import signal
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import ConsumerGroupTopicPartitions, Producer, TopicPartition

from streamflow.kafka.groups import ingress_group
from streamflow.kafka.publication import read_log
from streamflow.ops.lag import PartitionLag, measure_lag
from streamflow.settings import Ingress, Settings
from tests.conftest import eventually
from tests.integration.ingress_bench import Bench, by_path
from tests.integration.workers import make_bench

pytestmark = [pytest.mark.broker, pytest.mark.timeout(180)]

GROWN_S = 2.0  # by which an age is to grow
ROUNDED_S = 0.05  # the broker's times are in milliseconds
HELD = Ingress(watermark_s=0.1, commit_s=0.1, max_engine_lag=5)


@pytest.fixture
def bench(topics: Settings, tmp_path: Path) -> Iterator[Bench]:
    found = Bench(topics.model_copy(update={"ingress": HELD}), tmp_path)
    yield found
    for worker in found.workers:
        if worker.process.poll() is None:
            worker.kill()


def measured(settings: Settings, role: str) -> dict[tuple[str, int], PartitionLag]:
    """The lag of a role by topic and partition."""
    return {(one.topic, one.partition): one for one in measure_lag(settings, read_log(settings), role)}


def waits(one: PartitionLag) -> bool:
    return one.records > 0 and one.seconds is not None and one.seconds > 0


def require_growing(measure: Callable[[], PartitionLag]) -> None:
    """Fails unless something waits, the same at each measurement, and its age grows as time passes."""
    times: list[float] = []

    def look() -> PartitionLag:
        times.append(time.monotonic())
        found = measure()
        times.append(time.monotonic())
        return found

    first = eventually(lambda: found if waits(found := look()) else None, timeout=60, every=0.2)
    assert first is not None
    assert first.seconds is not None
    began_s, ended_s = times[-2:]
    until_s = first.seconds + GROWN_S
    later = eventually(lambda: found if (found := look()).seconds and found.seconds >= until_s else None, every=0.2)
    assert later is not None
    assert later.seconds is not None
    assert (later.records, later.committed) == (first.records, first.committed)
    grown_s = later.seconds - first.seconds
    assert times[-2] - ended_s - ROUNDED_S <= grown_s <= times[-1] - began_s + ROUNDED_S


def sources(bench: Bench, count: int) -> list[str]:
    """Topics of one partition that ingress reads."""
    names = [bench.topic(1) for _ in range(count)]
    for number, name in enumerate(names):
        events: Any = {f"created{number}": by_path(name, "created")}
        bench.publish(f"loan{number}", "1", on=f"created{number}", **events)
    return names


def transactional(bench: Bench) -> Producer:
    producer = Producer(bench.servers | {"transactional.id": f"tx-{uuid.uuid4().hex}"})
    producer.init_transactions(30)
    return producer


def commit(bench: Bench, topic: str, offset: int) -> None:
    """As ingress does while it runs."""
    group = ingress_group(bench.settings)
    offsets = ConsumerGroupTopicPartitions(group, [TopicPartition(topic, 0, offset)])
    bench.admin.alter_consumer_group_offsets([offsets])[group].result(60)


def test_marks_of_transactions_do_not_wait(bench: Bench) -> None:
    (source,) = sources(bench, 1)
    producer = transactional(bench)
    for end in (producer.commit_transaction, producer.abort_transaction):
        producer.begin_transaction()
        producer.produce(source, b'{"kind":"created","order":"o"}', "k")
        producer.flush(30)
        end(30)
    first = eventually(
        lambda: found if waits(found := measured(bench.settings, "ingress")[source, 0]) else None, every=0.2
    )
    assert first is not None
    assert (first.committed, first.end) == (None, 4)  # a record and its mark, one that was taken back and its mark
    for offset in range(1, 5):  # from behind the record that is to be read on
        commit(bench, source, offset)
        found = measured(bench.settings, "ingress")[source, 0]
        assert (found.committed, found.end) == (offset, first.end)
        assert (found.records, found.seconds, found.unread) == (0, 0.0, 0)


def test_nothing_waits_behind_somebody_elses_open_transaction(bench: Bench) -> None:
    held, free = sources(bench, 2)
    foreign = transactional(bench)
    foreign.begin_transaction()
    foreign.produce(held, b'{"kind":"created","order":"foreign"}', "k")
    foreign.flush(30)
    bench.send(held, *({"kind": "created", "order": f"o-{number}"} for number in range(3)))
    bench.send(free, {"kind": "created", "order": "o"})

    now = eventually(
        lambda: found if waits((found := measured(bench.settings, "ingress"))[free, 0]) else None, timeout=60, every=0.2
    )
    assert now is not None  # so what came before it to the other topic is old enough to count
    assert (now[held, 0].records, now[held, 0].seconds, now[held, 0].end) == (0, 0.0, 0)

    foreign.commit_transaction(30)
    found = eventually(lambda: one if waits(one := measured(bench.settings, "ingress")[held, 0]) else None, every=0.2)
    assert found is not None
    assert found.records >= 4


def test_the_age_grows_of_what_waits_for_ingress_behind_a_held_engine(bench: Bench) -> None:
    (source,) = sources(bench, 1)
    engine, ingress = bench.worker(role="engine"), bench.worker()
    eventually(lambda: engine.says("partition_open") and ingress.says("sources_assigned"))
    engine.process.send_signal(signal.SIGSTOP)
    bench.send(source, *({"kind": "created", "order": "held"} for _ in range(20)))
    eventually(lambda: ingress.says("engine_behind"))
    bench.send(source, *({"kind": "created", "order": "held"} for _ in range(20)))
    require_growing(lambda: measured(bench.settings, "ingress")[source, 0])

    engine.process.send_signal(signal.SIGCONT)
    eventually(
        lambda: {(one.records, one.seconds) for one in measured(bench.settings, "ingress").values()} == {(0, 0.0)},
        every=0.5,
    )


def test_the_age_grows_of_what_waits_for_a_stopped_partition_alone(bootstrap: str, tmp_path: Path) -> None:
    with make_bench(bootstrap, tmp_path) as bench:
        bench.producer.produce(bench.topic("state"), b"no record of Streamflow's", b"stranger", partition=0)
        bench.flush()
        start = bench.publish()
        worker = bench.worker()
        assert "state_unreadable" in bench.wait_line(worker, "partition_stopped", partition=0)["error"]
        for partition in range(bench.partitions):
            run = bench.start(start, bench.key_of(partition))
        bench.wait_history(run, "WaitStarted")
        bench.wait_saved([1])

        def stopped() -> PartitionLag:
            found = measured(bench.settings, "engine")
            other = found[bench.topic("commands"), 1]
            assert (other.records, other.seconds) == (0, 0.0)
            return found[bench.topic("commands"), 0]

        require_growing(stopped)
        worker.stop()
