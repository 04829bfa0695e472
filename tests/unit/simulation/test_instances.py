"""Instances of a scenario have keys and ids of their own, wherever the scenario has them, and nothing else differs."""

from __future__ import annotations

from typing import Any

import pytest

from streamflow.definition.catalog import Catalog
from streamflow.errors import Rejected
from streamflow.simulation.instances import Instances, Naming
from streamflow.simulation.scenarios import Scenario

NUMBERS = {"type": "object", "properties": {"order": {"type": "integer"}, "id": {"type": "integer"}}}
CATALOG = Catalog.model_validate(
    {
        "events": [
            {"name": "placed", "topics": ["orders"], "id": {"path": "id"}, "key": {"path": "order"}},
            {"name": "paid", "topics": ["payments"], "id": {"header": "X-Id"}, "key": {"path": "about.order"}},
            {"name": "told", "topics": ["told"]},
            {"name": "counted", "topics": ["c"], "id": {"path": "id"}, "key": {"path": "order"}, "schema": NUMBERS},
        ]
    }
)


def instances(*do: dict[str, Any], keys: tuple[str, ...] = (), **naming: Any) -> Instances:
    scenario = Scenario.model_validate({"name": "s", "do": list(do), "expect": []})
    return Instances(scenario, CATALOG, keys, Naming(**({"mark": "m-"} | naming)))


def sent(found: Instances, number: int, place: int = 0) -> Any:
    action = found.action(number, place).send
    assert action is not None
    return action


def test_a_key_and_an_id_are_replaced_wherever_they_are() -> None:
    found = instances(
        {"send": {"event": "placed", "data": {"id": "e-1", "order": "A-1", "lines": [{"of": "A-1"}], "n": 3}}},
        {"send": {"event": "paid", "data": {"about": {"order": "A-1"}, "after": "e-1"}, "headers": {"X-Id": "p-1"}}},
        {"start": {"key": "A-1", "input": {"order": "A-1"}}},
    )

    assert sent(found, 4).data == {"id": "m-4-0", "order": "m-4", "lines": [{"of": "m-4"}], "n": 3}
    assert sent(found, 4, 1).data == {"about": {"order": "m-4"}, "after": "m-4-0"}
    assert sent(found, 4, 1).headers == {"X-Id": "m-4-1"}
    started = found.action(4, 2).start
    assert started is not None
    assert (started.key, started.input) == ("m-4", {"order": "m-4"})


def test_two_keys_of_a_scenario_stay_two() -> None:
    found = instances(
        {"send": {"event": "told", "key": "A-1", "data": {}}}, {"send": {"event": "told", "key": "A-2", "data": {}}}
    )

    keys = [[sent(found, number, place).key for place in (0, 1)] for number in (0, 1)]
    assert keys == [["m-0", "m-1"], ["m-2", "m-3"]]


def test_an_event_without_an_id_gets_one_of_its_own() -> None:
    found = instances({"send": {"event": "told", "key": "A", "data": {}}}, {"send": {"event": "told", "key": "A"}})

    assert len({sent(found, number, place).id for number in range(3) for place in (0, 1)}) == 6


def test_an_id_that_is_sent_again_is_the_same_one() -> None:
    again = {"send": {"event": "placed", "data": {"id": "e-1", "order": "A-1"}}}
    found = instances(again, again)

    assert sent(found, 1, 0).id == sent(found, 1, 1).id != sent(found, 2, 0).id


def test_the_key_of_a_run_that_no_event_has_is_replaced_in_the_data() -> None:
    found = instances({"send": {"event": "told", "key": "x", "data": {"customer": "C-7"}}}, keys=("C-7",))

    assert sent(found, 2).data == {"customer": "m-5"}


def test_shared_keys_come_again_and_ids_do_not() -> None:
    found = instances({"send": {"event": "placed", "data": {"id": "e", "order": "A"}}}, keys=("A",))
    shared = instances({"send": {"event": "placed", "data": {"id": "e", "order": "A"}}}, keys=("A",), mark="s-")
    hot = Instances(shared._scenario, CATALOG, ("A",), Naming(mark="s-", keys=2))

    assert len({sent(found, number).data["order"] for number in range(6)}) == 6
    assert {sent(hot, number).data["order"] for number in range(6)} == {"s-0", "s-1"}
    assert len({sent(hot, number).data["id"] for number in range(6)}) == 6


def test_numbers_stay_numbers_under_a_mark_of_digits() -> None:
    found = instances({"send": {"event": "counted", "data": {"order": 7, "id": 1}}}, mark="99", first_id=1000)

    assert sent(found, 3).data == {"order": 993, "id": 1007}
    assert sent(found, 3).id == "1007"


def test_a_mark_of_letters_is_refused_for_keys_that_are_numbers() -> None:
    with pytest.raises(Rejected, match="The key of the event counted is a number") as refused:
        instances({"send": {"event": "counted", "data": {"order": 7, "id": 1}}}).scenario(0)
    assert refused.value.code == "mark_not_numeric"


def test_a_decision_is_about_the_run_of_its_instance() -> None:
    found = instances(
        {"send": {"event": "told", "key": "A", "data": {}}},
        {"decide": {"step": "ask", "decision": "approved", "by": "anna"}},
        {"operate": {"run": "cancel", "key": "A"}},
        keys=("A",),
    )

    decided, operated = found.action(5, 1).decide, found.action(5, 2).operate
    assert decided is not None
    assert operated is not None
    assert (decided.key, operated.key) == ("m-5", "m-5")
