"""Processes on a real broker export their metrics, and the exporter's lag is the broker's own figures."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from confluent_kafka import ConsumerGroupTopicPartitions, IsolationLevel, TopicPartition
from confluent_kafka.admin import NewTopic, OffsetSpec
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from streamflow.engine.commands import DefinitionRef
from streamflow.settings import Lane
from tests.integration.forked import Forked, fork, streamflow
from tests.integration.lanes import LaneBench, make_lanes
from tests.integration.workers import CATALOG, PAYMENT
from tests.proof.ledger import Ledger
from tests.servers.process import free_port

PARTITIONS = 4
TASKS = 400
MEASURED = "streamflow_exporter_measured_timestamp_seconds"
Figures = dict[str, dict[tuple[str, ...], float]]


def scraped(port: int) -> Figures:
    """What a process exports: by sample name and values of labels in order of names; empty until it answers."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"}
    )
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            text = answer.read().decode()
    except OSError:
        return {}
    found: Figures = {}
    for family in text_string_to_metric_families(text):  # type: ignore[no-untyped-call]
        for sample in family.samples:
            place = tuple(value for _, value in sorted(sample.labels.items()))
            found.setdefault(sample.name, {})[place] = sample.value
    return found


class Broker(NamedTuple):
    """What the broker says of a group's topic, by partition."""

    committed: dict[int, int]
    ends: dict[int, int]


def asked(bench: LaneBench, group: str, topic: str) -> Broker:
    answer = bench.admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group)])[group].result(60)
    latest: Any = OffsetSpec.latest()  # type: ignore[no-untyped-call]
    wanted = {TopicPartition(topic, number): latest for number in range(PARTITIONS)}
    found = bench.admin.list_offsets(wanted, isolation_level=IsolationLevel.READ_UNCOMMITTED)
    return Broker(
        {one.partition: one.offset for one in answer.topic_partitions if one.topic == topic and one.offset >= 0},
        {place.partition: future.result(60).offset for place, future in found.items()},
    )


class Exporter:
    """`streamflow exporter` of a bench, and the comparison of what it exports."""

    def __init__(self, bench: LaneBench, port: int) -> None:
        self._bench, self._port = bench, port

    def measured(self) -> Figures:
        """The figures of a measurement that has begun after this call."""
        seen: list[float] = []

        def later() -> Figures:
            figures = scraped(self._port)
            at = figures.get(MEASURED, {}).get((), 0.0)
            if at and at not in seen:
                seen.append(at)
            return figures if len(seen) > 2 else {}  # the second may have begun before

        return self._bench.wait(later, "the exporter to have measured")

    def compare(self, group: str, topic: str) -> float:
        """The exported lag in records; offsets lie between what the broker says before and after."""
        before = asked(self._bench, group, topic)
        figures = self.measured()
        after = asked(self._bench, group, topic)
        lag = 0.0
        for number in range(PARTITIONS):
            place = group, str(number), topic
            end = figures["streamflow_topic_end_offset"][str(number), topic]
            committed = figures.get("streamflow_consumer_committed_offset", {}).get(place)
            assert before.ends[number] <= end <= after.ends[number]
            if committed is None:
                assert number not in before.committed
            else:
                assert before.committed.get(number, 0) <= committed <= after.committed[number]
            records = figures["streamflow_consumer_lag_records"][place]
            seconds = figures["streamflow_consumer_lag_seconds"][place]
            assert 0 <= records <= end - (committed or 0)
            assert (seconds > 0) == (records > 0)
            lag += records
        return lag

    def lags(self) -> dict[tuple[str, ...], tuple[float, float | None]]:
        """Records and seconds of every place; None: they are not known."""
        figures = self.measured()
        seconds = figures["streamflow_consumer_lag_seconds"]
        return {
            place: (found, seconds.get(place)) for place, found in figures["streamflow_consumer_lag_records"].items()
        }


@contextmanager
def exporting(bench: LaneBench) -> Iterator[Exporter]:
    port, log = free_port(), bench.folder / "exporter.log"
    log.touch()
    own = {"STREAMFLOW_METRICS__LISTEN": f"127.0.0.1:{port}", "STREAMFLOW_METRICS__MEASURE_S": "0.2"}
    child = fork(streamflow, bench.environment() | own, log, ["exporter"])
    try:
        yield Exporter(bench, port)
        child.terminate()
        assert child.wait(20) == 0, log.read_text()[-2000:]
    finally:
        child.kill()


def started(bench: LaneBench, kind: Any, name: str, ledger: Ledger) -> tuple[Forked, int]:
    """A worker that exports, and its port."""
    port = free_port()
    own = {
        "STREAMFLOW_METRICS__LISTEN": f"127.0.0.1:{port}",
        "STREAMFLOW_TASKS__ALLOW_HOSTS": json.dumps([ledger.host]),
        "STREAMFLOW_TASKS__DRAIN_S": "1",
        "STREAMFLOW_ENGINE__SESSION_TIMEOUT_S": "6",
    }
    worker = Forked(kind, name, bench.folder, bench.environment() | own)
    bench.launch(worker)
    return worker, port


def attempted(bench: LaneBench, port: int, name: str) -> Figures:
    """What a lane worker exports once it has made an attempt."""

    def found() -> Figures:
        figures = scraped(port)
        return figures if "streamflow_attempts_total" in figures else {}

    return bench.wait(found, f"{name} to have made an attempt")


def test_exported_lag_is_the_brokers_while_lanes_scale_and_zero_when_idle(bootstrap: str, tmp_path: Path) -> None:
    lanes = {"default": Lane(session_timeout_s=6, in_flight=4)}
    with (
        make_lanes(bootstrap, tmp_path, partitions=PARTITIONS, lanes=lanes) as bench,
        Ledger(tmp_path / "ledger", delay_ms=100) as ledger,
    ):
        orders, payments = f"{bench.prefix}orders", f"{bench.prefix}payments"
        for future in bench.admin.create_topics([NewTopic(orders, 1), NewTopic(payments, 1)]).values():
            future.result(30)
        order = bench.publish(
            PAYMENT, catalog=CATALOG.replace("[orders]", f"[{orders}]").replace("[payments]", f"[{payments}]")
        )
        with exporting(bench) as exporter:
            compare_and_idle(bench, ledger, exporter, orders, order)


def compare_and_idle(bench: LaneBench, ledger: Ledger, exporter: Exporter, orders: str, order: DefinitionRef) -> None:
    """Work for one lane worker, then two, then the other one, then nothing."""
    group, lane = f"{bench.prefix}tasks.default", bench.topic("tasks.default")
    _, engine = started(bench, "engine", "engine", ledger)
    _, ingress = started(bench, "ingress", "ingress", ledger)
    first, alone = started(bench, "tasks", "first", ledger)
    bench.wait_assigned(first, "default")
    post = {"url": f"{ledger.url}/x", "json": {"order": "o"}}
    tasks = [bench.task(f"k{nth}", operation="http.request", input=post) for nth in range(TASKS)]
    bench.put("default", *tasks[: TASKS // 2])
    seen = [exporter.compare(group, lane) for _ in range(2)]
    second, port = started(bench, "tasks", "second", ledger)
    seen.append(exporter.compare(group, lane))
    bench.wait_assigned(second, "default")
    bench.put("default", *tasks[TASKS // 2 :])
    seen.append(exporter.compare(group, lane))
    worked = attempted(bench, alone, "first")
    first.stop()
    seen.append(exporter.compare(group, lane))
    assert max(seen) > 0
    bench.producer.produce(orders, json.dumps({"id": "o1", "total": 5}).encode(), b"o1")
    bench.flush()
    read = bench.wait(lambda: scraped(ingress).get("streamflow_source_records_total"), "ingress to read an order")
    assert read is not None
    assert sum(read.values()) == 1
    bench.start(order, "o1")
    begun = {("payment",): 1}
    bench.wait(lambda: scraped(engine).get("streamflow_runs_started_total") == begun, "a run to begin")
    bench.wait_done("default")
    bench.wait(lambda: set(exporter.lags().values()) == {(0, 0)}, "every lag to be zero")
    for _ in range(5):
        assert set(exporter.lags().values()) == {(0, 0)}
    assert {place[0].removeprefix(bench.prefix) for place in exporter.lags()} == {
        "engine",
        "ingress",
        "tasks.default",
    }

    decided, later = bench.wait(lambda: scraped(engine), "the engine to answer"), attempted(bench, port, "second")
    assert decided["streamflow_partitions"] == {("open",): PARTITIONS, ("opening",): 0, ("stopped",): 0}
    assert sum(decided["streamflow_commands_total"].values()) >= TASKS
    assert set(decided["streamflow_checkpoint_age_seconds"]) == {(str(number),) for number in range(PARTITIONS)}
    for found in (decided, worked, later, scraped(ingress)):
        assert found["streamflow_rebalances_total"][()] > 0
    attempts = [sum(found["streamflow_attempts_total"].values()) for found in (worked, later)]
    assert min(attempts) > 0
    assert sum(attempts) <= TASKS
    assert not {"streamflow_metrics_undeclared_total", "streamflow_metrics_other_total"} & {*decided, *worked, *later}
