"""What Prometheus, Grafana and KEDA are given: the queries of a release are about its own namespace alone."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

from tests.contract.test_alert_rules import a_case, promtool
from tests.deploy import chart
from tests.deploy.test_chart import OBJECTS, of_kind
from tests.unit.test_alerts import CASES, EXPORTED, RULES

__all__ = ["promtool"]

PRODUCTION = OBJECTS["production"]
OWN = 'namespace="workflows"'
METRIC = re.compile(r"\bstreamflow_\w+")


def rendered() -> dict[str, dict[str, Any]]:
    """The rules of the chart by alert."""
    rule = of_kind(PRODUCTION, "PrometheusRule")["flow-streamflow"]
    return {one["alert"]: one for group in rule["spec"]["groups"] for one in group["rules"]}


def foreign(query: str) -> list[str]:
    """Metrics of a query that may be of any namespace."""
    return [found[0] for found in METRIC.finditer(query) if not query[found.end() :].startswith("{" + OWN)]


# -- rules


def test_the_rules_are_those_of_the_alerts() -> None:
    found = rendered()
    for name, one in found.items():
        assert foreign(one["expr"]) == [], name
        assert one["labels"] == RULES[name]["labels"] | {"namespace": "workflows"}
        assert RULES[name]["annotations"].items() <= one["annotations"].items()
        assert one["for"] == RULES[name]["for"]
    without = {name: one["expr"].replace("{" + OWN + "}", "").replace(OWN + ",", "") for name, one in found.items()}
    assert without == {name: one["expr"] for name, one in RULES.items()}


def test_a_metric_of_any_namespace_is_seen() -> None:
    assert foreign("sum(streamflow_a{" + OWN + '}) + streamflow_b + streamflow_c{x="y"}') == [
        "streamflow_b",
        "streamflow_c",
    ]


def test_a_rule_names_the_address_of_its_runbook() -> None:
    for name, one in rendered().items():
        address = f"https://git.example.org/platform/streamflow/blob/main/{RULES[name]['annotations']['runbook']}"
        assert one["annotations"]["runbook_url"] == address


def test_prometheus_takes_the_rules(promtool: str, tmp_path: Path) -> None:
    file = tmp_path / "rules.json"  # JSON is YAML
    spec = of_kind(PRODUCTION, "PrometheusRule")["flow-streamflow"]["spec"]
    file.write_text(json.dumps({"groups": spec["groups"]}))
    done = subprocess.run([promtool, "check", "rules", str(file)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(RULES)} rules found" in done.stdout


def test_trouble_elsewhere_is_not_told(promtool: str, tmp_path: Path) -> None:
    files = []
    for name in ("StreamflowNoProgress", "StreamflowErrorBudgetBurnFast", "StreamflowPartitionStopped"):
        rules, cases = tmp_path / f"{name}.rules.json", tmp_path / f"{name}.json"
        rules.write_text(json.dumps({"groups": [{"name": name, "rules": [rendered()[name]]}]}))
        tests = [
            a_case(name, of_namespace(CASES[name][0], one), fires=one == "workflows") for one in ("workflows", "b")
        ]
        cases.write_text(json.dumps({"rule_files": [str(rules)], "evaluation_interval": "1m", "tests": tests}))
        files.append(str(cases))
    done = subprocess.run([promtool, "test", "rules", *files], capture_output=True, text=True, timeout=110)
    assert done.returncode == 0, done.stdout + done.stderr


def of_namespace(series: dict[str, str], namespace: str) -> dict[str, str]:
    """The same series as scraped in a namespace."""
    return {name.replace("{", f'{{namespace="{namespace}",', 1): values for name, values in series.items()}


# -- dashboards


def test_the_dashboards_are_all_there() -> None:
    maps = of_kind(PRODUCTION, "ConfigMap").values()
    shown = {name: text for one in maps for name, text in one["data"].items() if name.endswith(".json")}
    files = {file.name: file.read_text().rstrip("\n") for file in (chart.ROOT / "deploy/dashboards").glob("*.json")}
    assert {name: text.rstrip("\n") for name, text in shown.items()} == files


# -- scaling


def test_keda_scales_by_lag_in_seconds() -> None:
    scaled = of_kind(PRODUCTION, "ScaledObject")
    assert scaled.keys() == {f"flow-streamflow-{one}" for one in ("ingress", "tasks-default", "tasks-llm", "sidecar")}
    for name, one in scaled.items():
        (trigger,) = one["spec"]["triggers"]
        query = trigger["metadata"]["query"]
        assert set(METRIC.findall(query)) <= EXPORTED.keys()
        assert foreign(query) == []
        assert "replicas" not in of_kind(PRODUCTION, "Deployment")[name]["spec"]
        if not name.endswith("-sidecar"):
            assert trigger["metricType"] == "Value"  # seconds of one backlog are not divided by workers
    query = scaled["flow-streamflow-tasks-llm"]["spec"]["triggers"][0]["metadata"]["query"]
    assert query == 'max(streamflow_consumer_lag_seconds{namespace="workflows",topic="prod.tasks.llm"})'


def test_keda_scales_the_sidecar_by_requests_of_each() -> None:
    spec = of_kind(PRODUCTION, "ScaledObject")["flow-streamflow-sidecar"]["spec"]
    assert (spec["minReplicaCount"], spec["maxReplicaCount"]) == (3, 9)
    (trigger,) = spec["triggers"]
    assert trigger["metricType"] == "AverageValue"
    assert trigger["metadata"]["threshold"] == "40"
    assert trigger["metadata"]["query"] == 'sum(rate(streamflow_requests_total{namespace="workflows"}[2m]))'
