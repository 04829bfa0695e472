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
from tests.unit.test_alerts import ALSO, CASES, FILES, RULES


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
