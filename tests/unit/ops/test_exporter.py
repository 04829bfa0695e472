"""Measurements of lag become gauges, and what is not measured any more is no gauge any more."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from streamflow.errors import OperationError
from streamflow.kafka.topics import lane_topic_name
from streamflow.metrics.collector import ProcessMetrics
from streamflow.metrics.metric import Process
from streamflow.ops import exporter
from streamflow.ops.exporter import LagGauges
from streamflow.ops.lag import PartitionLag
from streamflow.settings import Settings
from tests.unit.metrics.test_collector import exposed

SETTINGS = Settings()
ENGINE = PartitionLag("engine", "streamflow.commands", 0, 5, 7, 2, 1.5)
LANE = PartitionLag("tasks", "streamflow.tasks.default", 3, None, 9, 9, 40.0)
GONE = PartitionLag("ingress", "orders", -1, None, 0, 0, 0.0, "missing")
IDLE = PartitionLag("ingress", "payments", 1, 4, 6, 0, 0.0, unread=2)


def test_a_measurement_becomes_gauges() -> None:
    metrics = ProcessMetrics(Process.EXPORTER)
    LagGauges(SETTINGS, metrics).update([ENGINE, LANE, GONE, IDLE], {("streamflow.dead-letters", 0): 12}, 100.0)
    found = exposed(metrics)
    commands, lane = ("streamflow.engine", "0", "streamflow.commands"), ("3", "streamflow.tasks.default")

    lanes = {place for place in found["streamflow_consumer_lag_records"] if place[1:] == lane}
    assert found["streamflow_consumer_lag_records"][commands] == 2
    assert found["streamflow_consumer_lag_seconds"][commands] == 1.5
    assert len(lanes) == 1
    assert found["streamflow_consumer_lag_seconds"]["streamflow.ingress", "1", "payments"] == 0
    assert found["streamflow_consumer_uncommitted_records"]["streamflow.ingress", "1", "payments"] == 2
    assert len(found["streamflow_consumer_lag_seconds"]) == 3
    assert found["streamflow_topic_trouble"] == {("streamflow.ingress", "missing", "orders"): 1}
    assert found["streamflow_topic_end_offset"]["0", "streamflow.dead-letters"] == 12
    assert not {place for place in found["streamflow_consumer_committed_offset"] if place[1:] == lane}
    assert "streamflow_metrics_undeclared_total" not in found


def test_what_is_not_measured_any_more_is_dropped() -> None:
    metrics = ProcessMetrics(Process.EXPORTER)
    gauges = LagGauges(SETTINGS, metrics)
    gauges.update([ENGINE, LANE, GONE], {}, 100.0)
    gauges.update([ENGINE], {}, 105.0)
    found = exposed(metrics)
    assert list(found["streamflow_consumer_lag_records"]) == [("streamflow.engine", "0", "streamflow.commands")]
    assert "streamflow_topic_trouble" not in found


def test_what_one_partition_of_thousands_lags_is_exported() -> None:
    metrics = ProcessMetrics(Process.EXPORTER)
    gauges = LagGauges(SETTINGS, metrics)
    topics = [lane_topic_name(SETTINGS, "default"), *(f"t{number}" for number in range(5))]
    lags = [PartitionLag("tasks", topic, number, 5, 5, 0, 0.0) for topic in topics for number in range(480)]
    for behind in (0, 479, len(lags) - 1):
        role, topic, number = lags[behind].role, lags[behind].topic, lags[behind].partition
        now = list(lags)
        now[behind] = PartitionLag(role, topic, number, 5, 9, 4, 999.0, unread=4)
        gauges.update(now, {}, 100.0)
        found = exposed(metrics)
        seconds = found["streamflow_consumer_lag_seconds"]
        assert {place[1:]: value for place, value in seconds.items() if value} == {(str(number), topic): 999.0}
        assert len(seconds) == 6 * 480
        assert sum(found["streamflow_consumer_lag_records"].values()) == 4
        assert "streamflow_metrics_other_total" not in found


def test_a_topic_that_goes_leaves_no_gauge() -> None:
    metrics = ProcessMetrics(Process.EXPORTER)
    gauges = LagGauges(SETTINGS, metrics)
    gauges.update([ENGINE, IDLE], {}, 100.0)
    gauges.update([ENGINE], {}, 105.0)
    assert not [name for name, series in exposed(metrics).items() if any("payments" in place for place in series)]


def test_an_unknown_age_is_the_last_known_one_and_the_time_since() -> None:
    metrics = ProcessMetrics(Process.EXPORTER)
    gauges = LagGauges(SETTINGS, metrics)

    def told(committed: int, seconds: float | None, at_s: float) -> float | None:
        lag = PartitionLag("engine", "streamflow.commands", 0, committed, 9, 9 - committed, seconds)
        gauges.update([lag], {}, at_s)
        found = exposed(metrics)
        assert found["streamflow_consumer_lag_records"] == {
            ("streamflow.engine", "0", "streamflow.commands"): 9 - committed
        }
        return next(iter(found.get("streamflow_consumer_lag_seconds", {}).values()), None)

    assert told(5, None, 100.0) is None
    assert told(5, 7.0, 105.0) == 7
    assert told(5, None, 110.0) == 12
    gauges.lose()
    assert told(5, None, 120.0) == 22
    assert told(6, None, 125.0) is None
    assert told(6, None, 130.0) is None
    assert told(6, 0.0, 135.0) == 0
    assert told(6, None, 140.0) is None


@pytest.mark.parametrize("code", ["broker_unreachable", "topic_unreadable", "topic_missing"])
def test_a_broker_that_does_not_answer_leaves_no_old_figures(code: str, monkeypatch: pytest.MonkeyPatch) -> None:
    metrics, stop, rounds = ProcessMetrics(Process.EXPORTER), threading.Event(), iter(["well", "ill"])

    def measure(*_: Any) -> list[PartitionLag]:
        if next(rounds) == "well":
            return [ENGINE]
        stop.set()
        raise OperationError(code, "The broker did not answer. Check it.")

    monkeypatch.setattr(exporter, "measure_lag", measure)
    monkeypatch.setattr(exporter, "read_log", lambda settings: None)
    monkeypatch.setattr(exporter, "topic_ends", lambda settings, topics: type("Ends", (), {"found": {}}))
    fast = Settings.model_validate({"metrics": {"measure_s": 0.2}})
    exporter.export(fast, metrics, stop)
    found = exposed(metrics)
    assert found["streamflow_exporter_failures_total"] == {(): 1}
    assert "streamflow_consumer_lag_records" not in found
    assert found["streamflow_exporter_measure_seconds_count"] == {(): 1}
