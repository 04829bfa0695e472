"""What one run costs is the mean of the scenarios, for each run that they start."""

from __future__ import annotations

import re
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from streamflow.capacity.calibration import speed_of
from streamflow.capacity.measured import MEASURED
from streamflow.capacity.workload import workload_of
from streamflow.errors import Rejected
from streamflow.simulation.volume import Amount, Held, Volume


def volume(**changes: Any) -> Volume:
    values: dict[str, Any] = {
        "name": "s",
        "keys": ("k",),
        "statuses": {"completed": 1},
        "children": 0,
        "events": Amount(records=2, bytes=200),
        "commands": Amount(records=2, bytes=400),
        "transitions": Amount(records=6, bytes=3000),
        "tasks": {},
        "emitted": Amount(),
        "others": Amount(),
        "changelog": Amount(records=8, bytes=900),
        "waiting": Held(records=5, bytes=700, runs=1),
        "kept": Held(records=2, bytes=140),
    }
    return Volume(**(values | changes))


def test_scenarios_have_the_same_weight() -> None:
    found = workload_of("order", [volume(), volume(commands=Amount(records=4, bytes=600))])

    assert (found.commands.records, found.commands.bytes) == (3, 500)
    assert found.scenarios == ("s", "s")


def test_a_scenario_with_two_runs_is_shared_by_them() -> None:
    found = workload_of("order", [volume(statuses={"completed": 2}, waiting=Held(records=10, bytes=1400, runs=2))])

    assert (found.events.records, found.transitions.bytes) == (1, 1500)
    assert (found.waiting.records, found.waiting.bytes) == (5, 700)
    assert found.kept.bytes == 70


def test_events_that_start_nothing_are_counted_for_the_runs_that_there_are() -> None:
    ignored = volume(statuses={}, keys=(), commands=Amount(), transitions=Amount(), waiting=Held(), kept=Held())
    found = workload_of("order", [volume(), ignored])

    assert (found.events.records, found.commands.records) == (4, 2)
    assert found.kept.bytes == 140


def test_runs_that_never_wait_hold_nothing() -> None:
    found = workload_of("order", [volume(waiting=Held())])

    assert (found.waiting.records, found.waiting.bytes) == (0, 0)


def test_lanes_are_those_of_any_scenario() -> None:
    found = workload_of("order", [volume(tasks={"llm": Amount(records=3, bytes=30)}), volume()])

    assert found.attempts["llm"].records == 1.5


def test_nothing_can_be_said_of_a_definition_that_no_scenario_starts() -> None:
    with pytest.raises(Rejected, match="No scenario of order starts a run") as refused:
        workload_of("order", [volume(statuses={})])
    assert refused.value.code == "capacity_without_runs"


def test_the_constants_say_where_they_come_from() -> None:
    assert MEASURED.machine
    assert MEASURED.date
    assert MEASURED.commit
    assert speed_of(MEASURED, MEASURED.calibration_us) == 1
    assert speed_of(MEASURED, MEASURED.calibration_us / 2) == 2


def test_the_page_has_the_constants_as_they_are() -> None:
    page = (Path(__file__).parents[3] / "docs" / "capacity.md").read_text()
    told = dict(re.findall(r"^\| `(\w+)` \| ([0-9.]+) \|", page, re.MULTILINE))
    numbers = {name: f"{value:g}" for name, value in asdict(MEASURED).items() if isinstance(value, float)}

    assert told == numbers
    assert MEASURED.commit in page
    assert MEASURED.date in page
