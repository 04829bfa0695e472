"""Shadow replay of a range of the topics: what came is played again, also what started no run when it came."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from streamflow.definition.catalog import Catalog
from streamflow.definition.model import Definition
from streamflow.definition.syntax import parse_catalog, parse_definition
from streamflow.errors import Rejected
from streamflow.ops.shadow import Shadow
from streamflow.ops.shadow_range import MOST_RECORDS, range_of, require_few, shadow_range
from streamflow.simulation.driver import Simulation
from streamflow.simulation.shadow_range import RecordedRange
from streamflow.wire.decoding import Record
from tests.unit.simulation.test_shadow import CATALOG, ORDERS, play

LARGE_ONLY = ORDERS.replace("event: order}", "event: order, where: event.cents >= 800}")


def pair_of(text: str) -> tuple[Definition, Catalog]:
    return parse_definition(text), parse_catalog(CATALOG)


def came(simulation: Simulation, keep: Callable[[Record], bool] = lambda _record: True) -> RecordedRange:
    """All that came in the simulation's topics, and what its runs did."""
    records = [
        Record(one.topic, one.partition, one.offset, one.timestamp_ms, one.key, one.value, one.headers)
        for topic in ("orders", "payments")
        for one in simulation.log.topic(topic).stable(0)
    ]
    return range_of([one for one in records if keep(one)], simulation.transitions())


def rows(found: Shadow) -> list[tuple[str, str, str | None, str, str]]:
    return [
        (row.key, row.result, row.first, (row.before or {})["status"], (row.after or {})["status"])
        for row in found.rows
    ]


def test_the_same_content_starts_the_same_runs_and_ends_them_alike() -> None:
    simulation, log = play()

    found = shadow_range(log, came(simulation), pair_of(ORDERS))

    assert [row.result for row in found.rows] == ["same"] * 6
    assert [row.run for row in found.rows] == simulation.runs()
    ends = {row.key: (row.after or {})["path"][-1] for row in found.rows}
    assert (ends["o-1"], ends["o-3"], ends["o-4"], ends["o-5"]) == ("send", "send", "ask.rejected", "ask.timeout")


def test_runs_that_only_one_content_starts_are_told() -> None:
    wide, _ = play()
    narrow, log = play(LARGE_ONLY)

    fewer = shadow_range(play()[1], came(wide), pair_of(LARGE_ONLY))
    more = shadow_range(log, came(narrow), pair_of(ORDERS))

    assert [one for one in rows(fewer) if one[1] == "different"] == [
        ("o-1", "different", "score", "completed", "not started"),
        ("o-6", "different", "score", "completed", "not started"),
    ]
    # What the published content did not start was never answered for the first call, so nothing is claimed about it.
    assert [(one[0], one[1], one[3]) for one in rows(more) if one[1] != "same"] == [
        ("o-1", "incomparable", "not started"),
        ("o-6", "incomparable", "not started"),
    ]
    assert {row.key for row in more.rows if not row.run} == {"o-1", "o-6"}


def test_another_limit_ends_a_run_otherwise() -> None:
    simulation, log = play()

    found = shadow_range(log, came(simulation), pair_of(ORDERS.replace("> 1000", "> 850")))

    different = {row.key: row.first for row in found.rows if row.result == "different"}
    assert different == {"o-3": "size"} or different == {}
    shorter = shadow_range(log, came(simulation), pair_of(ORDERS.replace("within: 2h", "within: 1s")))
    assert {row.key for row in shorter.rows if row.result == "different"} == {"o-1", "o-2", "o-3"}


def test_only_what_is_in_the_range_is_played() -> None:
    simulation, log = play()
    first = simulation.transitions()[0].at_ms

    found = shadow_range(log, came(simulation, lambda one: one.timestamp_ms > first + 60_000), pair_of(ORDERS))

    assert found.rows == ()


def test_a_range_with_too_many_records_is_refused() -> None:
    records = [Record("orders", 0, number, 1, None, b"{}") for number in range(MOST_RECORDS + 1)]
    require_few(records[:-1])
    with pytest.raises(Rejected) as refused:
        require_few(records)
    assert refused.value.code == "range_invalid"
