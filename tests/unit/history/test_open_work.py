"""What is open in the history store becomes gauges: counts and the oldest age, by definition and step."""

from __future__ import annotations

from typing import Any

from streamflow.history.open_work import OpenWork
from streamflow.metrics.collector import ProcessMetrics
from streamflow.metrics.metric import Process
from tests.unit.metrics.test_collector import exposed


class Rows:
    """A store that answers the two questions."""

    def __init__(self) -> None:
        self.runs: list[tuple[Any, ...]] = []
        self.steps: list[tuple[Any, ...]] = []
        self.asked = 0

    def rows(self, query: str, values: Any) -> list[tuple[Any, ...]]:
        self.asked += 1
        return self.steps if "step_now" in query else self.runs


def test_open_work_is_counted_and_what_is_done_is_zero_and_then_gone() -> None:
    metrics, rows, now = ProcessMetrics(Process.HISTORY), Rows(), [1000.0]
    looks = OpenWork(metrics, 30, lambda: now[0])
    rows.runs = [("orders", "open", 3, 400_000), ("orders", "parked", 1, 900_000)]
    rows.steps = [("orders", "group[1].pay", "open", 2, 990_000), ("orders", "group[2].pay", "open", 1, 970_000)]
    looks.step(rows)  # type: ignore[arg-type]
    found = exposed(metrics)
    assert found["streamflow_open_runs"] == {("orders", "open"): 3, ("orders", "parked"): 1}
    assert found["streamflow_oldest_open_run_age_seconds"]["orders", "open"] == 600
    assert found["streamflow_open_steps"] == {("orders", "open", "pay"): 3}
    assert found["streamflow_oldest_open_step_age_seconds"] == {("orders", "open", "pay"): 30}

    rows.runs, rows.steps = [("orders", "open", 1, 995_000)], []
    now[0] = 1010.0
    looks.step(rows)  # type: ignore[arg-type]
    assert rows.asked == 2, "it is not time"
    now[0] = 1031.0
    looks.step(rows)  # type: ignore[arg-type]
    found = exposed(metrics)
    assert found["streamflow_open_runs"] == {("orders", "open"): 1, ("orders", "parked"): 0}
    assert found["streamflow_oldest_open_run_age_seconds"] == {("orders", "open"): 36, ("orders", "parked"): 0}
    assert found["streamflow_open_steps"] == {("orders", "open", "pay"): 0}

    now[0] = 1062.0
    looks.step(rows)  # type: ignore[arg-type]
    found = exposed(metrics)
    assert found["streamflow_open_runs"] == {("orders", "open"): 1}
    assert "streamflow_open_steps" not in found
    rows.runs = [("orders", "open", 1, 995_000), ("orders", "parked", 1, 1_090_000)]
    now[0] = 1093.0
    looks.step(rows)  # type: ignore[arg-type]
    assert exposed(metrics)["streamflow_open_runs"] == {("orders", "open"): 1, ("orders", "parked"): 1}
