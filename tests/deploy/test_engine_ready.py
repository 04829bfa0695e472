"""deploy/helm/streamflow/files/engine_ready.py against the metrics page of an engine worker."""

from __future__ import annotations

import subprocess
import sys

import pytest

from streamflow.metrics.collector import ProcessMetrics
from streamflow.metrics.metric import Process
from streamflow.metrics.server import served
from tests.deploy.chart import CHART

PROBE = CHART / "files/engine_ready.py"


@pytest.mark.parametrize(
    ("rebalances", "partitions", "ready"),
    [
        (0, {}, False),
        (0, {"open": 0, "opening": 0}, False),
        (1, {"open": 3, "opening": 1}, False),
        (1, {"open": 4, "opening": 0}, True),
        (2, {"open": 0, "opening": 0}, True),  # more workers than partitions
        (1, {"open": 3, "opening": 0, "stopped": 1}, True),  # an alert tells of it; a restart would not help
    ],
)
def test_it_is_ready_when_its_partitions_are_open(rebalances: int, partitions: dict[str, int], ready: bool) -> None:
    metrics = ProcessMetrics(Process.ENGINE)
    for _ in range(rebalances):
        metrics.count("rebalances")
    for state, count in partitions.items():
        metrics.gauge("partitions", count, state=state)
    with served(metrics, "127.0.0.1:0") as url:
        done = subprocess.run([sys.executable, "-S", str(PROBE), url], capture_output=True, text=True, timeout=30)
    assert (done.returncode == 0) is ready, done.stderr


def test_it_is_not_ready_without_a_page() -> None:
    done = subprocess.run(
        [sys.executable, "-S", str(PROBE), "http://127.0.0.1:1/metrics"], capture_output=True, text=True, timeout=30
    )
    assert done.returncode != 0
