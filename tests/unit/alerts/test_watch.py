"""What is made of a Prometheus's answers, and of a load run's report."""

from __future__ import annotations

import re
from typing import Any, cast

import pytest

from tests.alerts.installation import Loaded
from tests.alerts.watch import OF_TROUBLE, Watch
from tests.servers.prometheus import Prometheus, Series

RULE = {"alert": "Late", "expr": "streamflow_a > 1 and streamflow_topic_trouble", "for": "1m"}


class Answers:
    """Stands for a Prometheus; `series` are what it has by the beginning of an expression."""

    def __init__(self, series: dict[str, list[Series]], health: str = "ok") -> None:
        self._series, self._health = series, health

    def query(self, expression: str) -> list[Series]:
        assert re.search(r"\[\d+s\]", expression)
        return next((found for begin, found in self._series.items() if expression.startswith(begin)), [])

    def rules(self) -> list[dict[str, Any]]:
        return [{"name": "Late", "health": self._health, "lastError": "no such function"}]


def watch(series: dict[str, list[Series]], health: str = "ok") -> Watch:
    return Watch(cast(Prometheus, Answers(series, health)), [{"name": "g", "rules": [RULE]}])


THERE = {"count(count_over_time(streamflow_a": [Series({}, [(0.0, 1.0)])]}


def test_silence_with_metrics_is_silence() -> None:
    seen = watch(THERE).seen()
    assert (seen.fired, seen.pending, seen.blind) == ({}, {}, [])


def test_an_alert_that_fired_is_told_with_its_labels_and_when() -> None:
    labels = {"__name__": "ALERTS", "alertname": "Late", "alertstate": "firing", "severity": "warning", "topic": "t"}
    found = watch({**THERE, 'ALERTS{alertstate="firing"}': [Series(labels, [(0.0, 1.0)])]})
    seen = found.seen()
    assert seen.names == {"Late"} == found.firing()
    assert list(seen.fired) == ["Late{topic=t}"]


def test_what_makes_silence_say_nothing_is_told() -> None:
    down = [Series({"job": "tasks"}, [(0.0, 0.5)])]
    assert watch({**THERE, "avg_over_time(up": down}).seen().blind == ["tasks answered 50% of the time"]
    assert watch({}).seen().blind == ["Late: there was no streamflow_a"]
    assert watch(THERE, "err").seen().blind == ["Late: no such function"]
    assert "streamflow_topic_trouble" in OF_TROUBLE


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({}, ""),
        ({"events_accepted": 9}, "not all events"),
        ({"missed": 2}, "not steady"),
        ({"open": 1}, "1 are open"),
        ({"ended": {"failed": 5}}, "ended as"),
    ],
)
def test_a_load_that_was_none_is_told(change: dict[str, Any], said: str) -> None:
    report = {"events_sent": 10, "events_accepted": 10, "missed": 0, "begun": 5, "interrupted": False, "open": 0}
    faults = Loaded(report | {"ended": {"completed": 5}, "expected": {"completed": 5}} | change).faults()
    assert said in " ".join(faults)
    assert bool(faults) == bool(said)
