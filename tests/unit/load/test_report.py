"""A report says whether the generator kept up, and its text has every count."""

from __future__ import annotations

import json
from typing import Any

import pytest

from streamflow.cli.load import _behind, _table
from streamflow.load.report import Report
from streamflow.load.tally import Percentiles


def took(ms: float, count: int = 100) -> Percentiles:
    return Percentiles(count=count, p50=ms, p90=ms, p99=ms, p999=ms, max=ms)


def report(**changes: Any) -> Report:
    values: dict[str, Any] = {
        "definition": "order",
        "mark": "load-1-",
        "interrupted": False,
        "asked_rate": 100.0,
        "achieved_rate": 100.0,
        "seconds": 1.0,
        "begun": 100,
        "missed": 0,
        "events_sent": 200,
        "events_accepted": 199,
        "events_refused": {"MSG_SIZE_TOO_LARGE": 1},
        "started": 99,
        "ended": {"completed": 90, "failed": 4},
        "open": 5,
        "parked": 2,
        "expected": {"completed": 100},
        "latencies": {"lateness": took(1), "accepted": took(7.25), "first_transition": None, "end": took(12)},
        "lag": (("engine", "streamflow.commands", 3, 0.5),),
        "unreadable": 0,
    }
    return Report(**(values | changes))


@pytest.mark.parametrize(
    ("changes", "kept_up"),
    [
        ({}, True),
        ({"missed": 1}, False),
        ({"achieved_rate": 97.0}, False),
        ({"latencies": {"lateness": took(101)}}, False),
        ({"latencies": {"lateness": None}}, True),
    ],
)
def test_a_generator_that_does_not_keep_up_says_so(changes: dict[str, Any], *, kept_up: bool) -> None:
    found = report(**changes)

    assert found.kept_up is kept_up
    assert found.facts()["kept_up"] is kept_up


def test_what_it_reached_is_told_beside_what_was_asked() -> None:
    text = _behind(report(achieved_rate=61.7, missed=12, latencies={"lateness": took(2345)}))

    assert "61.7/s of 100/s" in text
    assert "12 scenarios did not begin" in text
    assert "2345 ms late" in text


def test_the_text_has_every_count() -> None:
    text = _table(report())

    for part in (
        "100.0/s of 100/s",
        "load-1-",
        "200 sent, 199 accepted, 1 refused (MSG_SIZE_TOO_LARGE)",
        "99 started, 90 completed, 4 failed, 5 open, 2 of them parked",
        "the scenarios have: 100 completed",
        "7.2",
        "streamflow.commands",
    ):
        assert part in text
    assert "first transition" not in text  # nothing was measured


def test_the_facts_are_json() -> None:
    facts = json.loads(json.dumps(report().facts()))

    assert facts["latencies"]["accepted"]["p99"] == 7.25
    assert facts["lag"] == [{"role": "engine", "topic": "streamflow.commands", "records": 3, "seconds": 0.5}]
