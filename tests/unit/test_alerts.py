"""The alert rules: each has a runbook, uses metrics that are exported, and has a case that
tests/contract/test_alert_rules.py evaluates."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from streamflow.metrics.metric import Kind
from streamflow.metrics.registry import METRICS

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "deploy/alerts").glob("*.yaml"))
RULES: dict[str, dict[str, Any]] = {
    rule["alert"]: rule for file in FILES for group in YAML(typ="safe").load(file)["groups"] for rule in group["rules"]
}
SUFFIX = {Kind.COUNTER: ("_total",), Kind.GAUGE: ("",), Kind.HISTOGRAM: ("_bucket", "_sum", "_count")}
EXPORTED = {metric.family + suffix: metric for metric in METRICS for suffix in SUFFIX[metric.kind]}

ENDED = 'streamflow_runs_ended_total{definition="orders",outcome="%s"}'
LAG = '{group="engine",topic="commands",partition="0"}'
MEASURED = "streamflow_exporter_measured_timestamp_seconds"
CERTIFICATE = '{job="streamflow",instance="engine-0:9464",certificate="kafka.ssl_certificate"}'
EXPIRES = f"streamflow_certificate_expires_timestamp_seconds{CERTIFICATE}"
# by alert: series in which it fires, and in which it is silent; a sample each minute
CASES: dict[str, tuple[dict[str, str], dict[str, str]]] = {
    "StreamflowSuccessRateLow": (
        {ENDED % "failed": "0+1x100", ENDED % "completed": "0+100x100"},
        {ENDED % "failed": "0+1x100", ENDED % "completed": "0+2000x100", ENDED % "cancelled": "0+9x100"},
    ),
    "StreamflowErrorBudgetBurnFast": (
        {ENDED % "failed": "0+2x100", ENDED % "completed": "0+100x100"},
        {ENDED % "failed": "0+100x60 6000x40", ENDED % "completed": "0+100x100"},
    ),
    "StreamflowErrorBudgetBurnSlow": (
        {ENDED % "failed": "0+1x100", ENDED % "completed": "0+100x100"},
        {ENDED % "failed": "0+1x100", ENDED % "completed": "0+200x100"},
    ),
    "StreamflowRunsParked": (
        {'streamflow_parked_runs{partition="3"}': "2x100"},
        {'streamflow_parked_runs{partition="3"}': "0x100"},
    ),
    "StreamflowUnclaimedEvents": (
        {
            'streamflow_deliveries_total{definition="o",event="e",outcome="delivered",reason=""}': "0+100x100",
            'streamflow_deliveries_total{definition="o",event="e",outcome="unclaimed",reason="no_run"}': "0+10x100",
        },
        {
            'streamflow_deliveries_total{definition="o",event="e",outcome="delivered",reason=""}': "0+100x100",
            'streamflow_deliveries_total{definition="o",event="e",outcome="unclaimed",reason="no_run"}': "0+1x100",
        },
    ),
    "StreamflowDeadLetters": (
        {'streamflow_topic_end_offset{topic="streamflow.dead-letters",partition="0"}': "0+1x100"},
        {'streamflow_topic_end_offset{topic="streamflow.dead-letters",partition="0"}': "7x100"},
    ),
    "StreamflowLagHigh": (
        {f"streamflow_consumer_lag_seconds{LAG}": "90x100"},
        {f"streamflow_consumer_lag_seconds{LAG}": "0x97 90x3"},
    ),
    "StreamflowFallingBehind": (
        {
            'streamflow_consumer_drain_seconds{group="engine",topic="commands"}': " ".join(["+Inf"] * 101),
            f"streamflow_consumer_lag_seconds{LAG}": "20x100",
        },
        {
            'streamflow_consumer_drain_seconds{group="engine",topic="commands"}': "900x100",
            f"streamflow_consumer_lag_seconds{LAG}": "20x100",
        },
    ),
    "StreamflowNoProgress": (
        {f"streamflow_consumer_lag_seconds{LAG}": "0+60x100", f"streamflow_consumer_committed_offset{LAG}": "5x100"},
        {f"streamflow_consumer_lag_seconds{LAG}": "0+60x100", f"streamflow_consumer_committed_offset{LAG}": "0+5x100"},
    ),
    "StreamflowQueueDeep": (
        {'streamflow_consumer_lag_records{group="g",topic="streamflow.tasks.llm",partition="0"}': "20000x100"},
        {'streamflow_consumer_lag_records{group="g",topic="streamflow.commands",partition="0"}': "20000x100"},
    ),
    "StreamflowTopicTrouble": (
        {'streamflow_topic_trouble{group="g",topic="orders",state="missing"}': "1x100"},
        {'streamflow_topic_trouble{group="g",topic="orders",state="missing"}': "1x80 stale"},
    ),
    "StreamflowExporterSilent": ({MEASURED: "0x100"}, {MEASURED: "0+60x100"}),
    "StreamflowPartitionStopped": (
        {'streamflow_partitions{state="stopped"}': "1x100"},
        {'streamflow_partitions{state="open"}': "1x100", 'streamflow_partitions{state="stopped"}': "0x100"},
    ),
    "StreamflowPartitionsOpening": (
        {'streamflow_partitions{state="opening",instance="a"}': "1x100"},
        {'streamflow_partitions{state="opening",instance="a"}': "0x95 1x5"},
    ),
    "StreamflowRestoreSlow": (
        {
            'streamflow_restore_seconds_bucket{le="120.0"}': "0x100",
            'streamflow_restore_seconds_bucket{le="300.0"}': "0+1x100",
        }
        | {'streamflow_restore_seconds_bucket{le="+Inf"}': "0+1x100"},
        {
            'streamflow_restore_seconds_bucket{le="5.0"}': "0+1x100",
            'streamflow_restore_seconds_bucket{le="+Inf"}': "0+1x100",
        },
    ),
    "StreamflowTimersLate": (
        {'streamflow_timer_lateness_seconds_bucket{le="10.0"}': "0x100"}
        | {'streamflow_timer_lateness_seconds_bucket{le="60.0"}': "0+9x100"}
        | {'streamflow_timer_lateness_seconds_bucket{le="+Inf"}': "0+9x100"},
        {'streamflow_timer_lateness_seconds_bucket{le="1.0"}': "0+9x100"}
        | {'streamflow_timer_lateness_seconds_bucket{le="+Inf"}': "0+9x100"},
    ),
    "StreamflowCheckpointSlow": (
        {'streamflow_checkpoint_seconds_bucket{le="5.0"}': "0x100"}
        | {'streamflow_checkpoint_seconds_bucket{le="10.0"}': "0+9x100"}
        | {'streamflow_checkpoint_seconds_bucket{le="+Inf"}': "0+9x100"},
        {'streamflow_checkpoint_seconds_bucket{le="0.1"}': "0+9x100"}
        | {'streamflow_checkpoint_seconds_bucket{le="+Inf"}': "0+9x100"},
    ),
    "StreamflowOutboxStalled": (
        {'streamflow_outbox_stalled{topic="t",partition="0"}': "1x100"},
        {'streamflow_outbox_stalled{topic="t",partition="0"}': "0x100"},
    ),
    "StreamflowCommandsSetAside": (
        {'streamflow_set_aside_total{reason="engine_fault"}': "0+1x100"},
        {'streamflow_set_aside_total{reason="skipped"}': "0+1x100"},
    ),
    "StreamflowCertificateExpires": (  # promtool's clock begins at 0, so the case ends after 6000 s
        {EXPIRES: f"{6000 + 13 * 86400}x100"},
        {EXPIRES: f"{6000 + 15 * 86400}x100"},
    ),
    "StreamflowApiKeyExpires": (
        {'streamflow_api_key_expires_timestamp_seconds{api_key="sfk_1"}': f"{6000 + 6 * 86400}x100"},
        {'streamflow_api_key_expires_timestamp_seconds{api_key="sfk_1"}': f"{6000 + 8 * 86400}x100"},
    ),
    "StreamflowLabelsOverBound": (
        {'streamflow_metrics_other_total{label="topic"}': "0+1x100"},
        {'streamflow_metrics_other_total{label="topic"}': "5x100"},
    ),
}


# by alert: further series in which it fires
ALSO: dict[str, dict[str, str]] = {
    # nothing was ever committed in the partition
    "StreamflowNoProgress": {f"streamflow_consumer_lag_seconds{LAG}": "0+60x100"},
    # a counter is there from its first command on
    "StreamflowCommandsSetAside": {'streamflow_set_aside_total{reason="engine_fault"}': "_x95 1x5"},
}


# by alert: its labels in the case in which it fires, and what it says then
SAID: dict[str, tuple[dict[str, str], str]] = {
    "StreamflowLagHigh": ({"group": "engine", "topic": "commands"}, "engine is 1m 30s behind in commands."),
    "StreamflowQueueDeep": ({"topic": "streamflow.tasks.llm"}, "20k tasks wait in streamflow.tasks.llm."),
    "StreamflowRunsParked": ({}, "2 runs are parked and wait for a person."),
    "StreamflowSuccessRateLow": ({"definition": "orders"}, "0.9901% of the runs of orders fail, more than 0.1 %."),
    "StreamflowErrorBudgetBurnFast": (
        {},
        "1.961% of all runs fail: the error budget of 30 days is used up in two days.",
    ),
    "StreamflowErrorBudgetBurnSlow": (
        {},
        "0.9901% of all runs fail: the error budget of 30 days is used up in five days.",
    ),
    "StreamflowTimersLate": ({}, "Timers fire 59.5s late."),
    "StreamflowRestoreSlow": ({}, "Openings of partitions take 4m 42s."),
    "StreamflowCheckpointSlow": ({}, "Checkpoints take 9.5s."),
    "StreamflowPartitionStopped": ({}, "1 partitions of the engine are stopped until a person acts."),
    "StreamflowApiKeyExpires": ({"api_key": "sfk_1"}, "The API key sfk_1 expires in 6d 0h 0m 0s."),
    "StreamflowCertificateExpires": (
        {"instance": "engine-0:9464", "certificate": "kafka.ssl_certificate"},
        "The certificate kafka.ssl_certificate of engine-0:9464 expires in 13d 0h 0m 0s.",
    ),
}


def test_every_alert_has_a_case() -> None:
    assert CASES.keys() == RULES.keys()


@pytest.mark.parametrize("name", sorted(RULES))
def test_an_alert_has_a_runbook_and_known_metrics(name: str) -> None:
    rule = RULES[name]
    page = (ROOT / rule["annotations"]["runbook"]).read_text()
    assert f"`{name}`" in page
    assert "## What to do" in page
    assert rule["labels"]["severity"] in ("critical", "warning", "info")
    used = set(re.findall(r"streamflow_\w+", rule["expr"]))
    assert used
    assert used <= EXPORTED.keys()


@pytest.mark.parametrize("name", sorted(RULES))
def test_an_alert_gives_its_value_for_people(name: str) -> None:
    """Not 73.41273 seconds."""
    summary = RULES[name]["annotations"]["summary"]
    assert "{{ $value }}" not in summary
    assert ("$value" in summary) is (name in SAID)


def test_every_runbook_belongs_to_an_alert() -> None:
    pages = {rule["annotations"]["runbook"] for rule in RULES.values()}
    assert pages == {f"docs/runbooks/{page.name}" for page in (ROOT / "docs/runbooks").glob("*.md")}
