"""Every figure is what its formula says, and moves the way that it should."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from streamflow.capacity.demand import Demand, Installation
from streamflow.capacity.figure import Figure
from streamflow.capacity.measured import MEASURED, Measured
from streamflow.capacity.sizing import size
from streamflow.capacity.workload import Cost, Workload

WORK = Workload(
    definition="order",
    scenarios=("s",),
    events=Cost(records=2, bytes=400),
    commands=Cost(records=3, bytes=1200),
    transitions=Cost(records=10, bytes=5000),
    attempts={"default": Cost(records=2, bytes=800)},
    emitted=Cost(records=1, bytes=300),
    others=Cost(records=0, bytes=0),
    changelog=Cost(records=20, bytes=3000),
    waiting=Cost(records=8, bytes=1000),
    kept=Cost(records=4, bytes=250),
)
DEMAND = Demand(rate=1000, average_rate=100, wait_hours=10, call_s=0.2, utilisation=0.5, restore_s=None, speed=1.0)
INSTALLATION = Installation(
    partitions=12,
    replicas=3,
    commands_hours=168,
    runs_hours=2160,
    window_hours=168,
    segment_hours=168,
    state_segment_bytes=64_000_000,
    write_buffer_bytes=16_000_000,
    block_cache_bytes=32_000_000,
    in_flight={"default": 50},
)
ROUND: Measured = replace(
    MEASURED,
    engine_command_us=100.0,
    engine_transition_us=50.0,
    ingress_event_us=100.0,
    attempt_us=50.0,
    engine_memory_mb=100.0,
    index_bytes=2.0,
    store_factor=1.0,
    restore_records_per_s=100_000.0,
    broker_command_us=50.0,
    broker_transition_us=5.0,
)


def sized(work: Workload = WORK, installation: Installation = INSTALLATION, **asked: Any) -> dict[str, Figure]:
    return {figure.name: figure for figure in size(work, replace(DEMAND, **asked), installation, ROUND)}


def value(name: str, **asked: Any) -> float:
    return sized(**asked)[name].value


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("events in", 2000),
        ("commands", 3000),
        ("transitions", 10_000),
        ("attempts in default", 2000),
        ("events out", 1000),
        ("open runs", 100 * 36_000),
        ("live state", 3_600_000 * 1000 + 100 * 168 * 1.5 * 3600 * 250),
        ("live records of the state", 3_600_000 * 8 + 100 * 168 * 1.5 * 3600 * 4),
        ("engine processor", 1000 * (3 * 100 + 10 * 50) / 1e6),
        ("engine workers", 2),
        ("partitions", 12),
        ("runs of one key, at most", 0.5 / 800e-6),
        ("ingress workers", 1),
        ("task workers of default", 8),  # 400 calls at a time, 50 in each
        ("written to the brokers", 1000 * (400 + 1200 + 5000 + 800 + 300 + 3000)),
        ("replicated between them", 2 * 1000 * 10_700),
        ("read from the brokers", 1000 * (400 + 1200 + 800 + 5000)),
        ("broker processor, one replica", 1000 * (3 * 50 + 10 * 5) / 1e6),
        ("disk of commands and tasks", 3 * 8_640_000 * 2000 * 14),
        ("disk of runs", 3 * 8_640_000 * 5000 * 97),
    ],
)
def test_a_figure_is_what_its_formula_says(name: str, expected: float) -> None:
    assert value(name) == pytest.approx(expected)


def test_state_is_counted_in_memory_files_disks_and_restores() -> None:
    found = sized()
    records, live = found["live records of the state"].value, found["live state"].value

    assert found["memory of an engine worker"].value == pytest.approx(100e6 + 6 * 64e6 + records / 2 * 2)
    assert found["files of an engine worker"].value == pytest.approx(live / 2 * 2)
    assert found["restore of everything, on empty disks"].value == pytest.approx(records / 2 / 100_000)
    assert found["disk of state"].value == pytest.approx(3 * (live * 2 + 12 * 64e6))


def test_a_time_for_restores_takes_workers_and_these_take_partitions() -> None:
    records = value("live records of the state")
    workers = value("engine workers", restore_s=60.0)

    assert workers == -(-records // (100_000 * 60))
    assert value("restore of everything, on empty disks", restore_s=60.0) <= 60
    assert value("partitions", restore_s=60.0) == 4 * workers
    assert value("partitions", rate=2200.0) == 16  # four workers


def test_partitions_are_shared_out_evenly() -> None:
    for rate in (1000, 3000, 5000, 9000, 50_000):
        found = sized(rate=float(rate))
        assert found["partitions"].value % found["engine workers"].value == 0


def test_a_faster_machine_needs_fewer_workers_and_no_less_disk() -> None:
    slow, fast = sized(rate=10_000.0), sized(rate=10_000.0, speed=2.0)

    assert fast["engine workers"].value == slow["engine workers"].value / 2
    assert fast["runs of one key, at most"].value == 2 * slow["runs of one key, at most"].value
    assert fast["disk of runs"].value == slow["disk of runs"].value


def test_the_busiest_time_sizes_workers_and_the_average_sizes_disks() -> None:
    once, busier = sized(), sized(rate=4000.0)
    assert busier["engine workers"].value > once["engine workers"].value
    assert busier["disk of runs"].value == once["disk of runs"].value

    more = sized(average_rate=400.0)
    assert more["engine workers"].value == once["engine workers"].value
    assert more["disk of runs"].value == 4 * once["disk of runs"].value


def test_a_definition_without_calls_needs_no_task_workers() -> None:
    names = sized(work=replace(WORK, attempts={}))

    assert not [name for name in names if "attempts" in name or "task workers" in name]


def test_every_lane_has_workers_of_its_own() -> None:
    work = replace(WORK, attempts={"slow": Cost(records=1, bytes=10), "quick": Cost(records=1, bytes=10)})
    found = sized(work=work, installation=replace(INSTALLATION, in_flight={"slow": 2, "quick": 1000}))

    assert found["task workers of slow"].value == 100
    assert found["task workers of quick"].value == 1


def test_every_figure_says_what_was_computed_and_from_what() -> None:
    for figure in sized().values():
        assert figure.formula
        assert figure.source
        assert any(letter.isdigit() for letter in figure.numbers), figure
