"""The collector: what is declared is exported as it was reported, bounded whatever comes."""

from __future__ import annotations

import threading

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.openmetrics.exposition import generate_latest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from streamflow.core.flow import BY_CLASS, BY_CONTENT, moved
from streamflow.engine.attempt_transitions import (
    AttemptFailed,
    AttemptSucceeded,
    CallRequested,
    ItemsEnded,
    ItemsListed,
)
from streamflow.engine.commands import Event
from streamflow.engine.outcome import Decision
from streamflow.engine.transitions import (
    FACTS,
    RunCompleted,
    RunFailed,
    RunStarted,
    StepParked,
    StepsSkipped,
    Transition,
    ValuesSet,
    WaitStarted,
)
from streamflow.metrics.collector import ProcessMetrics
from streamflow.metrics.metric import Kind, Process
from streamflow.metrics.registry import BOUNDS, METRICS, OTHER


def exposed(metrics: ProcessMetrics) -> dict[str, dict[tuple[str, ...], float]]:
    """What a scrape gives, read by Prometheus's own parser: by sample name and values of labels in order of names."""
    page = CollectorRegistry(auto_describe=False)
    page.register(metrics)
    found: dict[str, dict[tuple[str, ...], float]] = {}
    text = generate_latest(page).decode()  # type: ignore[no-untyped-call]
    for family in text_string_to_metric_families(text):  # type: ignore[no-untyped-call]
        for sample in family.samples:
            place = tuple(value for _, value in sorted(sample.labels.items()))
            found.setdefault(sample.name, {})[place] = sample.value
    return found


def a_transition(data: object, step: str | None = None, attempt: int | None = None, name: str = "orders") -> Transition:
    return Transition(
        run="r", definition=name, version="1", key="k", seq=1, at_ms=0, cause="c", data=data, step=step, attempt=attempt
    )


def a_decision(transitions: list[Transition], reason: str = "") -> Decision:
    return Decision(outcome="applied", reason=reason, transitions=transitions, effects=[], changes={})


def a_call(item: int | None = None) -> CallRequested:
    return CallRequested(operation="o", lane="default", input=None, due_ms=1, item=item)


def test_counters_gauges_and_distributions_are_exported_as_reported() -> None:
    metrics = ProcessMetrics(Process.ENGINE)
    metrics.count("commands", outcome="applied", reason="")
    metrics.count("commands", 2, reason="", outcome="applied")
    metrics.gauge("parked_runs", 3, partition="7")
    metrics.gauge("parked_runs", 4, partition="7")
    for seconds in (0.01, 0.02, 400.0):
        metrics.observe("checkpoint_seconds", seconds)
    found = exposed(metrics)

    assert found["streamflow_commands_total"] == {("applied", ""): 3}
    assert found["streamflow_parked_runs"] == {("7",): 4}
    assert found["streamflow_checkpoint_seconds_count"] == {(): 3}
    assert found["streamflow_checkpoint_seconds_sum"][()] == pytest.approx(400.03)
    buckets = found["streamflow_checkpoint_seconds_bucket"]
    assert (buckets["0.005",], buckets["0.01",], buckets["0.025",], buckets["+Inf",]) == (0, 1, 2, 3)


@pytest.mark.parametrize("label", ["topic", "outcome"])
def test_a_flood_of_values_ends_in_other(label: str) -> None:
    metrics = ProcessMetrics(Process.INGRESS, bounds={"topic": 5, "outcome": 5, "label": 50})
    fixed = {"topic": "t", "outcome": "matched"}
    for number in range(10_000):
        metrics.count("source_records", 1, **fixed | {label: f"v{number}"})
    found = exposed(metrics)["streamflow_source_records_total"]

    assert len(found) == 6
    assert sum(found.values()) == 10_000
    assert sum(value for place, value in found.items() if OTHER in place) == 9995
    assert exposed(metrics)["streamflow_metrics_other_total"] == {(label,): 9995}
    assert len(metrics._found) <= 6


def test_a_flood_of_definitions_and_steps_has_a_bound() -> None:
    metrics = ProcessMetrics(Process.ENGINE, series=300)
    for number in range(5000):
        name = f"definition-{number}"
        metrics.decided(a_decision([a_transition(ValuesSet({}), f"step-{number % 700}", name=name)]), 0.001)
        metrics.count("deliveries", definition=name, event=f"e{number}", outcome="claimed", reason="")
        metrics.gauge("kept_events", 1, definition=name, partition=str(number))
    found = exposed(metrics)

    assert sum(found["streamflow_steps_total"].values()) == 10_000
    assert sum(found["streamflow_deliveries_total"].values()) == 5000
    assert sum(len(series) for series in found.values()) < 1100
    assert len(metrics._flows) <= 20_000


@pytest.mark.parametrize("bound", ["partition", "series"])
def test_a_gauge_beyond_a_bound_hides_no_other(bound: str) -> None:
    few = {"partition": 3} if bound == "partition" else {"partition": 100}
    metrics = ProcessMetrics(Process.ENGINE, bounds={**BOUNDS, **few}, series=100 if bound == "partition" else 3)
    for number in range(10):
        metrics.gauge("parked_runs", 100 - number, partition=str(number))
    found = exposed(metrics)
    assert found["streamflow_parked_runs"] == {("0",): 100, ("1",): 99, ("2",): 98}
    assert found["streamflow_metrics_other_total"] == {(bound,): 7}
    metrics.gauge("parked_runs", 1, partition="1")
    assert exposed(metrics)["streamflow_parked_runs"]["1",] == 1


@pytest.mark.parametrize("bound", ["partition", "series"])
def test_a_gauge_that_goes_makes_room(bound: str) -> None:
    few = {"partition": 2} if bound == "partition" else {"partition": 100}
    metrics = ProcessMetrics(Process.ENGINE, bounds={**BOUNDS, **few}, series=100 if bound == "partition" else 2)
    for number in range(500):
        metrics.gauge("parked_runs", number, partition=str(number))
        metrics.gauge("parked_runs", number, partition=str(number))
        metrics.forget(partition=str(number - 1))
    found = exposed(metrics)
    assert found["streamflow_parked_runs"] == {("499",): 499}
    assert "streamflow_metrics_other_total" not in found
    assert len(metrics._found) <= 103


def test_kept_events_of_many_definitions_and_partitions_are_right_or_left_out() -> None:
    metrics = ProcessMetrics(Process.ENGINE)
    for definition in range(10):
        for partition in range(480):
            metrics.gauge("kept_events", definition + 1, definition=f"d{definition}", partition=str(partition))
    found = exposed(metrics)
    kept = found["streamflow_kept_events"]
    assert len(kept) == 2000
    assert all(value == int(definition[1:]) + 1 for (definition, _), value in kept.items())
    assert found["streamflow_metrics_other_total"] == {("series",): 2800}


def test_one_gauge_is_dropped_and_others_of_its_labels_stay() -> None:
    metrics = ProcessMetrics(Process.EXPORTER)
    for name in ("consumer_lag_records", "consumer_lag_seconds"):
        metrics.gauge(name, 3, group="g", topic="t", partition="0")
    metrics.forget("consumer_lag_seconds", group="g", topic="t", partition="0")
    found = exposed(metrics)
    assert "streamflow_consumer_lag_seconds" not in found
    assert found["streamflow_consumer_lag_records"] == {("g", "0", "t"): 3}


@pytest.mark.parametrize(
    ("name", "labels"),
    [
        ("never_declared", {}),
        ("commands", {"outcome": "applied"}),
        ("commands", {"outcome": "a", "reason": "", "run": "r"}),
    ],
)
def test_what_is_not_declared_is_counted_and_left_out(name: str, labels: dict[str, str]) -> None:
    metrics = ProcessMetrics(Process.ENGINE)
    metrics.count(name, 1, **labels)
    metrics.gauge(name, 1.0, **labels)
    metrics.observe(name, 1.0, **labels)
    found = exposed(metrics)

    assert found["streamflow_metrics_undeclared_total"] == {(): 3}
    assert "streamflow_commands_total" not in found


@pytest.mark.parametrize("value", ["\ud800", "a\nb", 'say "x"', "\\", "x" * 5000, ""])
def test_any_text_may_be_a_label(value: str) -> None:
    metrics = ProcessMetrics(Process.INGRESS)
    metrics.count("source_records", topic=value, outcome="matched")
    assert sum(exposed(metrics)["streamflow_source_records_total"].values()) == 1


def test_gauges_of_what_is_gone_are_dropped() -> None:
    metrics = ProcessMetrics(Process.ENGINE)
    for partition in ("0", "1"):
        metrics.gauge("parked_runs", 1, partition=partition)
        metrics.gauge("store_bytes", 1, partition=partition, kind="files")
    metrics.count("set_aside", reason="bug")
    metrics.forget(partition="0")
    found = exposed(metrics)
    assert (found["streamflow_parked_runs"], found["streamflow_set_aside_total"]) == ({("1",): 1}, {("bug",): 1})
    assert list(found["streamflow_store_bytes"]) == [("files", "1")]
    metrics.gauge("parked_runs", 5, partition="0")
    assert exposed(metrics)["streamflow_parked_runs"] == {("0",): 5, ("1",): 1}


def test_a_scrape_has_all_that_belongs_together_or_none() -> None:
    metrics = ProcessMetrics(Process.EXPORTER)
    pages: list[dict[str, dict[tuple[str, ...], float]]] = []
    begun = threading.Event()

    def scrape() -> None:
        begun.set()
        pages.append(exposed(metrics))

    scraping = threading.Thread(target=scrape)
    with metrics.together():
        metrics.gauge("consumer_lag_seconds", 7, group="g", topic="t", partition="0")
        scraping.start()
        assert begun.wait(10)
        scraping.join(0.2)
        assert scraping.is_alive(), "a scrape did not wait for the rest of the measurement"
        metrics.gauge("exporter_measured_timestamp_seconds", 1000)
    scraping.join(10)
    (page,) = pages
    assert page["streamflow_consumer_lag_seconds"] == {("g", "0", "t"): 7}
    assert page["streamflow_exporter_measured_timestamp_seconds"] == {(): 1000}


def test_samples_are_taken_at_a_scrape_until_they_end() -> None:
    metrics = ProcessMetrics(Process.TASKS)
    running = [3]
    end = metrics.sample(lambda: metrics.gauge("attempts_running", running[0], lane="default"))
    assert exposed(metrics)["streamflow_attempts_running"] == {("default",): 3}
    running[0] = 5
    assert exposed(metrics)["streamflow_attempts_running"] == {("default",): 5}
    end()
    running[0] = 7
    assert exposed(metrics)["streamflow_attempts_running"] == {("default",): 5}


# -- what transitions count for


def test_every_fact_counts_for_something_or_is_known_to_count_for_nothing() -> None:
    assert {*BY_CLASS, *BY_CONTENT} == set(FACTS.values())
    assert not BY_CLASS & BY_CONTENT


FAILED = AttemptFailed(code="c", message="m")
STARTED = RunStarted("placed", Event(name="order.placed", id="e", time_ms=0, data={}), "sha", "1")
FLOWS: list[tuple[Transition, list[tuple[str | None, str]]]] = [
    (a_transition(WaitStarted(("paid",), None), "wait"), [("wait", "in")]),
    (a_transition(ValuesSet({}), "set"), [("set", "in"), ("set", "out")]),
    (a_transition(a_call(), "pay", 1), [("pay", "in")]),
    (a_transition(a_call(), "pay", 2), []),
    (a_transition(a_call(item=3), "pay", 1), []),
    (a_transition(ItemsListed((1, 2), None), "pay"), [("pay", "in")]),
    (a_transition(AttemptSucceeded(1), "pay", 1), [("pay", "out")]),
    (a_transition(AttemptSucceeded(1, item=0), "pay", 1), []),
    (a_transition(AttemptFailed("c", "m", retry_ms=5), "pay", 1), [("pay", "retried")]),
    (a_transition(AttemptFailed("c", "m", outcome="failure"), "pay", 1), [("pay", "failed")]),
    (a_transition(FAILED, "pay", 1), []),
    (a_transition(StepParked("c", "input"), "pay"), [("pay", "parked")]),
    (a_transition(ItemsEnded(2, 0, "done"), "pay"), [("pay", "out")]),
    (a_transition(ItemsEnded(2, 1, "failure"), "pay"), [("pay", "failed")]),
    (a_transition(ItemsEnded(2, 1, None), "pay"), []),
    (a_transition(StepsSkipped(("a", "group[2].b"))), [("a", "skipped"), ("b", "skipped")]),
    (a_transition(STARTED), [(None, "started")]),
    (a_transition(RunCompleted(())), [(None, "completed")]),
    (a_transition(RunFailed("r")), [(None, "failed")]),
]


@pytest.mark.parametrize(("transition", "expected"), FLOWS)
def test_what_a_transition_counts_for(transition: Transition, expected: list[tuple[str | None, str]]) -> None:
    assert [tuple(one) for one in moved(transition)] == expected


def test_the_collector_counts_each_transition_as_the_core_says() -> None:
    metrics = ProcessMetrics(Process.ENGINE)
    for _ in range(2):
        metrics.decided(a_decision([transition for transition, _ in FLOWS], reason="early"), 0.5)
    found = exposed(metrics)
    wanted: dict[tuple[str, ...], int] = {}
    for _, expected in FLOWS:
        for step, flow in expected:
            if step is not None:
                wanted["orders", flow, step] = wanted.get(("orders", flow, step), 0) + 2
    assert found["streamflow_steps_total"] == wanted
    assert found["streamflow_runs_started_total"] == {("orders",): 2}
    assert found["streamflow_runs_ended_total"] == {("orders", "completed"): 2, ("orders", "failed"): 2}
    assert found["streamflow_commands_total"] == {("applied", "early"): 2}
    assert found["streamflow_decision_seconds_count"] == {(): 2}
    assert found["streamflow_decision_seconds_sum"] == {(): 1.0}


# -- the registry


def test_names_follow_the_conventions() -> None:
    names = [metric.name for metric in METRICS]
    assert len(set(names)) == len(names)
    for metric in METRICS:
        assert not metric.name.endswith("_total"), metric.name
        assert metric.help.endswith("."), metric.name
        assert {"run", "key", "id"}.isdisjoint(metric.labels), metric.name
        if metric.kind is Kind.HISTOGRAM:
            assert metric.buckets == tuple(sorted(metric.buckets)), metric.name
            assert metric.name.endswith(("_seconds", "_bytes", "_records")), metric.name
        if metric.unit:
            assert metric.name.endswith(metric.unit), metric.name
