"""What a scenario costs is counted for one of many instances: not what is there once, nor what others left."""

from __future__ import annotations

from typing import Any

import pytest

from streamflow.errors import Rejected
from streamflow.simulation.scenarios import Answer, Scenario
from streamflow.simulation.volume import Amount, Held, Volume, measure_volume, size_of
from tests.builders import a_definition
from tests.unit.simulation.test_scenarios import CATALOG, LOW, ORDER, SEND


def volume(do: list[dict[str, Any]], definition: Any = ORDER, operations: dict[str, Any] | None = None) -> Volume:
    if operations is None:
        operations = LOW if definition is ORDER else {}
    scenario = Scenario.model_validate({"name": "s", "do": do, "expect": [], "operations": operations})
    return measure_volume(scenario, definition, CATALOG, {})


def test_a_run_with_a_call_is_counted() -> None:
    found = volume([SEND])

    assert found.statuses == {"completed": 1}
    assert found.keys == ("o1",)
    assert (found.events.records, found.commands.records, found.emitted.records) == (1, 2, 1)
    assert {lane: amount.records for lane, amount in found.tasks.items()} == {"default": 1}
    assert found.transitions.records == 7
    assert found.waiting == Held()
    assert found.kept.runs == 0
    assert found.kept.bytes > 0


def test_attempts_that_fail_are_counted_too() -> None:
    twice = {"rate": [{"error": {"code": "down"}}, {"output": {"risk": 1}}]}
    once, again = volume([SEND]), volume([SEND, {"wait": "2s"}], operations=twice)

    assert again.tasks["default"].records == once.tasks["default"].records + 1
    assert again.commands.records == once.commands.records + 2  # the failure, and the timer of the next attempt
    assert again.waiting.runs == 1


def test_what_a_waiting_run_holds_is_what_it_holds_at_most() -> None:
    waits = a_definition(
        {"id": "paid", "wait": {"events": [{"id": "told", "event": "told"}], "within": "3d"}}, version="2"
    )
    found = volume([SEND, {"wait": "2d"}, {"wait": "2d"}], definition=waits)
    longer = volume(
        [{"send": {"event": "placed", "data": {"id": "o1", "pad": "x" * 500}}}, {"wait": "4d"}], definition=waits
    )

    assert found.waiting.runs == 1
    assert 300 < found.waiting.bytes < 3000
    assert found.kept.bytes < found.waiting.bytes
    assert longer.kept.bytes < longer.waiting.bytes


def test_the_input_that_a_later_step_reads_is_in_the_state() -> None:
    waits = a_definition(
        {"id": "paid", "wait": {"events": [{"id": "told", "event": "told"}], "within": "3d"}},
        {"id": "say", "needs": ["paid.timeout"], "print": {"text": "trigger.pad"}},
    )
    short, long = (
        volume([{"send": {"event": "placed", "data": {"id": "o1", "pad": "x" * count}}}, {"wait": "4d"}], waits)
        for count in (10, 1010)
    )

    assert long.waiting.bytes - short.waiting.bytes == 1000
    assert long.events.bytes - short.events.bytes == 1000


def test_a_scenario_that_reads_its_key_is_refused() -> None:
    reads = a_definition(
        {"id": "which", "choose": [{"id": "first", "if": "run.key == 'o1'"}, {"id": "other"}]},
        {"id": "say", "needs": ["which.first"], "print": {"text": "'first'"}},
    )

    with pytest.raises(Rejected, match="goes another way with other keys") as refused:
        volume([SEND], definition=reads)
    assert refused.value.code == "scenario_unplayable"


def test_a_scenario_that_cannot_be_played_is_refused() -> None:
    with pytest.raises(Rejected, match="the catalog has no event nothing"):
        volume([{"send": {"event": "nothing"}}])


def test_a_person_decides_for_the_run_that_is_counted() -> None:
    asks = {"rate": [{"output": {"risk": 9}}]}
    found = volume(
        [SEND, {"decide": {"step": "ask", "decision": "approved", "by": "anna", "data": {}}}], operations=asks
    )

    assert found.statuses == {"completed": 1}
    assert found.waiting.runs == 1


def test_answers_of_the_file_hold_where_a_scenario_has_none() -> None:
    scenario = Scenario.model_validate({"name": "s", "do": [SEND], "expect": []})
    found = measure_volume(scenario, ORDER, CATALOG, {"rate": [Answer(output={"risk": 1})]})

    assert found.statuses == {"completed": 1}


def test_bytes_are_those_of_a_record_and_what_kafka_adds() -> None:
    assert size_of(b"key", b"value", (("name", b"text"),)) == 12 + 3 + 5 + 2 + 4 + 4
    assert size_of(None, None) == 12
    assert Amount(records=1, bytes=12).bytes == size_of(None, None)
