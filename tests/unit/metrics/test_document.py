"""The declared metrics, the code that reports them, the page that lists them: all three say the same."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from streamflow.metrics.collector import ProcessMetrics
from streamflow.metrics.document import markdown
from streamflow.metrics.metric import Kind, Process
from streamflow.metrics.registry import BOUNDS, METRICS, declared
from tests.unit.metrics.test_collector import exposed

ROOT = Path(__file__).parents[3]
KINDS = {"count": Kind.COUNTER, "gauge": Kind.GAUGE, "observe": Kind.HISTOGRAM}
DECLARED = {metric.name: metric for metric in METRICS}


def reports() -> Iterator[tuple[str, str, str, set[str] | None]]:
    """Every call in the code that reports a measurement: place, method, name, and labels (None: not to be seen)."""
    for path in sorted((ROOT / "streamflow").rglob("*.py")):
        if path.is_relative_to(ROOT / "streamflow/metrics"):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in KINDS):
                continue
            if "metrics" not in ast.unparse(node.func.value) or not node.args:
                continue
            name = node.args[0]
            assert isinstance(name, ast.Constant), f"{path}:{node.lineno}: a name that is not written out"
            labels = {word.arg for word in node.keywords if word.arg != "value"}
            seen = None if None in labels else {label for label in labels if label is not None}
            yield f"{path.relative_to(ROOT)}:{node.lineno}", node.func.attr, str(name.value), seen


REPORTS = list(reports())


def test_the_page_is_what_the_registry_says() -> None:
    assert (ROOT / "docs/metrics.md").read_text() == markdown(), "do run: make docs"


@pytest.mark.parametrize(("place", "method", "name", "labels"), REPORTS, ids=[place for place, *_ in REPORTS])
def test_what_is_reported_is_declared(place: str, method: str, name: str, labels: set[str] | None) -> None:
    metric = DECLARED[name]
    assert metric.kind is KINDS[method], place
    assert labels is None or labels == set(metric.labels), place


def test_what_is_declared_is_reported() -> None:
    inside = {  # by the collector itself
        "commands",
        "decision_seconds",
        "steps",
        "runs_started",
        "runs_ended",
        "metrics_other",
        "metrics_undeclared",
    }
    assert {name for _, _, name, _ in REPORTS} | inside == DECLARED.keys()


@pytest.mark.parametrize("process", list(Process))
def test_a_process_exports_the_names_of_the_page(process: Process) -> None:
    """Reported once each, every metric of a process is on its page under the name and with the labels of the table."""
    metrics = ProcessMetrics(process)
    for metric in declared(process).values():
        labels = dict.fromkeys(metric.labels, "x")
        if metric.kind is Kind.COUNTER:
            metrics.count(metric.name, 1, **labels)
        elif metric.kind is Kind.GAUGE:
            metrics.gauge(metric.name, 1.0, **labels)
        else:
            metrics.observe(metric.name, 1.0, **labels)
    rows = re.findall(r"^\| `(streamflow_\w+)` \| (\w+) \|[^|]*\| ([^|]*)\| ([^|]*)\|", markdown(), re.MULTILINE)
    listed = {name for name, _, _, who in rows if "all" in who or process.value in who}
    assert {re.sub("_(bucket|count|sum)$", "", name) for name in exposed(metrics)} == listed


def test_every_label_has_a_bound() -> None:
    assert {label for metric in METRICS for label in metric.labels} <= BOUNDS.keys()
