"""The alert rules, evaluated by Prometheus's promtool: each fires in its case of trouble, and is silent when all is
well."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import start_server
from tests.servers import prometheus
from tests.unit.test_alerts import ALSO, CASES, EXPIRES, FILES, RULES, SAID


@pytest.fixture
def promtool() -> Iterator[str]:
    """The path of promtool."""
    yield from start_server(prometheus.promtool())


def test_the_files_are_rules(promtool: str) -> None:
    done = subprocess.run([promtool, "check", "rules", *map(str, FILES)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


def test_alerts_fire_when_they_should_and_only_then(tmp_path: Path, promtool: str) -> None:
    """Each alert has a file of rules of its own: with all of them in each case, it takes many times as long."""
    files = []
    for name, (trouble, well) in CASES.items():
        rules, cases = tmp_path / f"{name}.rules.json", tmp_path / f"{name}.json"  # JSON is YAML
        rules.write_text(json.dumps({"groups": [{"name": name, "rules": [RULES[name]]}]}))
        tests = [a_case(name, trouble, fires=True), a_case(name, well, fires=False)]
        if (further := ALSO.get(name)) is not None:
            tests.append(a_case(name, further, fires=True))
        cases.write_text(json.dumps({"rule_files": [str(rules)], "evaluation_interval": "1m", "tests": tests}))
        files.append(str(cases))
    done = subprocess.run([promtool, "test", "rules", *files], capture_output=True, text=True, timeout=110)
    assert done.returncode == 0, done.stdout + done.stderr


def test_alerts_say_what_people_read(tmp_path: Path, promtool: str) -> None:
    files = []
    for name, (labels, said) in SAID.items():
        rules, cases = tmp_path / f"{name}.rules.json", tmp_path / f"{name}.json"
        rules.write_text(json.dumps({"groups": [{"name": name, "rules": [RULES[name]]}]}))
        case = a_case(name, CASES[name][0], fires=True) | {"alert_rule_test": [what_is_said(name, [(labels, said)])]}
        cases.write_text(json.dumps({"rule_files": [str(rules)], "evaluation_interval": "1m", "tests": [case]}))
        files.append(str(cases))
    done = subprocess.run([promtool, "test", "rules", *files], capture_output=True, text=True, timeout=110)
    assert done.returncode == 0, done.stdout + done.stderr


def test_each_process_tells_of_its_own_certificate(tmp_path: Path, promtool: str) -> None:
    """Processes of all roles are one job of Prometheus."""
    name, rules, cases = "StreamflowCertificateExpires", tmp_path / "rules.json", tmp_path / "cases.json"
    rules.write_text(json.dumps({"groups": [{"name": name, "rules": [RULES[name]]}]}))
    series = {
        EXPIRES.replace("engine-0:9464", one): f"{6000 + days * 86400}x100"
        for one, days in (("engine-0:9464", 13), ("tasks-0:9464", 12), ("sidecar-0:9464", 20))
    }
    told = [
        (
            {"instance": one, "certificate": "kafka.ssl_certificate"},
            f"The certificate kafka.ssl_certificate of {one} expires in {days}d 0h 0m 0s.",
        )
        for one, days in (("engine-0:9464", 13), ("tasks-0:9464", 12))
    ]
    case = {"interval": "1m", "alert_rule_test": [what_is_said(name, told)]} | {
        "input_series": [{"series": one, "values": values} for one, values in series.items()]
    }
    cases.write_text(json.dumps({"rule_files": [str(rules)], "evaluation_interval": "1m", "tests": [case]}))
    done = subprocess.run([promtool, "test", "rules", str(cases)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


def what_is_said(name: str, alerts: list[tuple[dict[str, str], str]]) -> dict[str, Any]:
    """What promtool is to find after 100 minutes: labels and summaries of the alerts that fire."""
    rule = RULES[name]
    return {
        "alertname": name,
        "eval_time": "100m",
        "exp_alerts": [
            {"exp_labels": rule["labels"] | labels, "exp_annotations": rule["annotations"] | {"summary": said}}
            for labels, said in alerts
        ],
    }


def a_case(name: str, series: dict[str, str], *, fires: bool) -> dict[str, Any]:
    """What promtool is to find after 100 minutes of these series."""
    return {
        "name": f"{name} {'fires' if fires else 'is silent'}",
        "interval": "1m",
        "input_series": [{"series": one, "values": values} for one, values in series.items()],
        "promql_expr_test": [
            {
                "expr": f'count(ALERTS{{alertname="{name}",alertstate="firing"}})',
                "eval_time": "100m",
                "exp_samples": [{"labels": "{}", "value": 1}] if fires else [],
            }
        ],
    }
