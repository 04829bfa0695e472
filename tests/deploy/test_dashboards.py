"""The dashboards: every query asks for metrics and labels that are exported, in a way that fits the metric's type."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from streamflow.metrics.metric import Kind
from streamflow.metrics.registry import METRICS
from tests.conftest import start_server
from tests.servers import prometheus
from tests.unit.test_alerts import EXPORTED, RULES

FILES = sorted((Path(__file__).parents[2] / "deploy/dashboards").glob("*.json"))
OF_PROCESSES = {"process_cpu_seconds_total", "process_resident_memory_bytes", "process_open_fds"}
OF_TARGETS = {"instance", "job", "namespace", "le"}
SCRAPED = re.compile(r"\b((?:streamflow|process)_\w+)(?:\{([^}]*)\})?")


def board(file: Path) -> dict[str, Any]:
    return dict(json.loads(file.read_text()))


def panels(file: Path) -> list[dict[str, Any]]:
    return list(board(file)["panels"])


def queries(file: Path) -> list[str]:
    """Of panels and of variables."""
    asked = [target["expr"] for panel in panels(file) for target in panel["targets"]]
    return asked + [one["definition"] for one in board(file)["templating"]["list"] if "definition" in one]


QUERIES = [pytest.param(query, id=f"{file.stem}-{at}") for file in FILES for at, query in enumerate(queries(file))]


def faults(query: str) -> list[str]:
    """What is wrong with a query, by the declared metrics."""
    found = []
    for name, matchers in SCRAPED.findall(query):
        if name in OF_PROCESSES:
            continue
        if name not in EXPORTED:
            found.append(f"{name} is not exported")
            continue
        metric = EXPORTED[name]
        labels = set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)\s*\"", matchers))
        labels |= {one.strip() for group in re.findall(r"by \(([^)]*)\)", query) for one in group.split(",")}
        others = {label for other, _ in SCRAPED.findall(query) if other in EXPORTED for label in EXPORTED[other].labels}
        found += [f"{name} has no label {label}" for label in labels - set(metric.labels) - others - OF_TARGETS]
        counts = metric.kind is not Kind.GAUGE
        rated = re.search(rf"\b(rate|increase)\({re.escape(name)}\b", query) is not None
        if counts != rated and not query.startswith("label_values("):
            found.append(f"{name} is a {metric.kind}: " + ("take its rate" if counts else "it has no rate"))
    return found


@pytest.mark.parametrize("query", QUERIES)
def test_a_query_asks_for_what_is_exported(query: str) -> None:
    assert SCRAPED.search(query)
    assert faults(query) == []


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("sum(streamflow_open_rums)", "not exported"),
        ("sum(streamflow_runs_started)", "not exported"),
        ('sum(streamflow_open_runs{lane="x"})', "no label lane"),
        ("sum by (lane) (streamflow_open_runs)", "no label lane"),
        ("sum(streamflow_runs_started_total)", "take its rate"),
        ("sum(rate(streamflow_open_runs[5m]))", "it has no rate"),
        ("histogram_quantile(0.9, sum by (le) (streamflow_restore_seconds_bucket))", "take its rate"),
    ],
)
def test_a_planted_mistake_is_seen(query: str, said: str) -> None:
    assert said in " ".join(faults(query))


def test_every_metric_is_on_a_dashboard_or_in_an_alert() -> None:
    texts = [*(query for file in FILES for query in queries(file)), *(rule["expr"] for rule in RULES.values())]
    asked = {EXPORTED[name].family for text in texts for name, _ in SCRAPED.findall(text) if name in EXPORTED}
    unseen = {metric.family for metric in METRICS} - asked
    assert unseen == {"streamflow_metrics_undeclared"}  # a fault of the program, which its tests look for


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_dashboard_fits_any_grafana(file: Path) -> None:
    found = board(file)
    assert found["uid"] == file.stem
    assert found["templating"]["list"][0]["type"] == "datasource"
    ids = [panel["id"] for panel in panels(file)]
    assert len(ids) == len(set(ids))
    for panel in panels(file):
        assert panel["datasource"]["uid"] == "${datasource}", panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        assert all(target["datasource"]["uid"] == "${datasource}" for target in panel["targets"]), panel["title"]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_dashboard_shows_the_namespaces_that_are_chosen(file: Path) -> None:
    variable = board(file)["templating"]["list"][1]
    assert (variable["name"], variable["current"]["value"], variable["allValue"]) == ("namespace", "$__all", ".*")
    for query in queries(file):
        if query != variable["definition"]:
            assert all(matchers.startswith('namespace=~"$namespace"') for _, matchers in SCRAPED.findall(query)), query


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_panels_do_not_cover_each_other(file: Path) -> None:
    taken: dict[tuple[int, int], str] = {}
    for panel in panels(file):
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= 24, panel["title"]
        for x in range(at["x"], at["x"] + at["w"]):
            for y in range(at["y"], at["y"] + at["h"]):
                assert taken.setdefault((x, y), panel["title"]) == panel["title"]


@pytest.fixture
def promtool() -> Iterator[str]:
    """The path of promtool."""
    yield from start_server(prometheus.promtool())


def test_prometheus_reads_every_query(promtool: str, tmp_path: Path) -> None:
    """As recording rules, with the variables of Grafana filled in."""
    asked = sorted({target["expr"] for file in FILES for panel in panels(file) for target in panel["targets"]})
    filled = [re.sub(r"\$\w+", ".*", query.replace("$__rate_interval", "1m")) for query in asked]
    rules = [{"record": f"dashboard:query_{at}", "expr": query} for at, query in enumerate(filled)]
    file = tmp_path / "queries.json"  # JSON is YAML
    file.write_text(json.dumps({"groups": [{"name": "dashboards", "rules": rules}]}))
    done = subprocess.run([promtool, "check", "rules", str(file)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
