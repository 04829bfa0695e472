"""A plan says when what is sent, whatever becomes of it; and why something is not."""

from __future__ import annotations

from typing import Any

import pytest

from streamflow.definition.catalog import Catalog
from streamflow.definition.model import Definition
from streamflow.errors import Rejected
from streamflow.load.plan import Asked, Plan, plan_load, require_leave_to_call, schedule
from streamflow.simulation.instances import Naming
from streamflow.simulation.scenarios import Scenario
from tests.builders import a_definition
from tests.unit.simulation.test_scenarios import ORDER as CALLS

SHORT = {"type": "object", "properties": {"id": {"type": "string", "maxLength": 6}}}
CATALOG = Catalog.model_validate(
    {
        "events": [
            {"name": "placed", "topics": ["orders"], "key": {"path": "id"}, "schema": SHORT},
            {"name": "told", "topics": ["told"]},
        ]
    }
)
ORDER = a_definition({"id": "say", "print": {"text": "'placed'"}})
WAITS = a_definition({"id": "told", "wait": {"events": [{"id": "told", "event": "told"}], "within": "3d"}}, version="2")
PLACED = {"send": {"event": "placed", "data": {"id": "o1"}}}
TOLD = {"send": {"event": "told", "key": "o1", "data": {}}}


def planned(*stories: list[dict[str, Any]], definition: Definition = ORDER, mark: str = "m", **asked: Any) -> Plan:
    scenarios = [
        Scenario.model_validate({"name": f"s{number}", "do": do, "expect": []}) for number, do in enumerate(stories)
    ]
    how: dict[str, Any] = {
        "rate": 10.0,
        "seconds": 1.0,
        "gap_s": 0.5,
        "longest_wait_s": 30.0,
        "naming": Naming(mark=mark),
    } | asked
    return plan_load(scenarios, {}, definition, CATALOG, Asked(**how))


def test_instances_begin_at_a_steady_rate_and_their_events_follow() -> None:
    plan = planned([PLACED, TOLD], definition=WAITS, rate=4.0)

    assert plan.count == 4
    assert [(due.at_s, due.number, due.place) for due in schedule(plan)] == [
        (0.0, 0, 0),
        (0.25, 1, 0),
        (0.5, 0, 1),
        (0.5, 2, 0),
        (0.75, 1, 1),
        (0.75, 3, 0),
        (1.0, 2, 1),
        (1.25, 3, 1),
    ]


def test_waits_of_a_scenario_pass_for_real() -> None:
    plan = planned([PLACED, {"wait": "20s"}, TOLD], definition=WAITS)

    assert [moment.at_s for moment in plan.scripts[0].moments] == [0.0, 20.5]
    assert plan.scripts[0].moments[1].clock_ms - plan.scripts[0].moments[0].clock_ms == 20_000


def test_a_wait_before_the_first_event_delays_nothing() -> None:
    plan = planned([{"wait": "20d"}, PLACED])

    assert [moment.at_s for moment in plan.scripts[0].moments] == [0.0]


def test_scenarios_take_turns_and_what_they_are_to_bring_is_counted() -> None:
    plan = planned([PLACED, TOLD], [PLACED], definition=WAITS, rate=3.0)

    assert [due.number for due in schedule(plan) if due.first] == [0, 1, 2]
    assert plan.events_per_instance == 1.5
    assert plan.expected(3) == {"completed": 2, "open": 1}
    assert plan.expected(0) == {}


def test_what_cannot_be_sent_is_left_out_with_its_reason() -> None:
    plan = planned(
        [PLACED],
        [PLACED, {"wait": "31s"}, TOLD],
        [PLACED, {"decide": {"step": "told", "decision": "approved", "by": "anna"}}],
        [PLACED, {"operate": {"run": "cancel"}}],
        [{"wait": "1s"}],
        [{"send": {"event": "nothing"}}],
    )

    assert [script.name for script in plan.scripts] == ["s0"]
    reasons = dict(plan.left_out)
    assert "it takes 32 s" in reasons["s1"]
    assert reasons["s2"] == reasons["s3"] == "a person decides in it"
    assert reasons["s4"] == "it sends nothing"
    assert "the catalog has no event nothing" in reasons["s5"]


def test_nothing_that_can_be_sent_is_an_error() -> None:
    with pytest.raises(Rejected, match="'s0': it sends nothing") as refused:
        planned([{"wait": "1s"}])
    assert refused.value.code == "load_impossible"


def test_a_mark_that_a_schema_does_not_take_is_refused() -> None:
    with pytest.raises(Rejected, match="With a marked key or id the event placed does not fit") as refused:
        planned([PLACED], mark="much-too-long-")
    assert refused.value.code == "mark_refused"


@pytest.mark.parametrize("children", [(), ((CALLS, CATALOG),)])
def test_real_calls_need_leave(children: Any) -> None:
    definition = ORDER if children else CALLS
    with pytest.raises(Rejected, match="call rate") as refused:
        require_leave_to_call(definition, children, granted=False)
    assert refused.value.code == "load_calls"
    require_leave_to_call(definition, children, granted=True)
    require_leave_to_call(ORDER, (), granted=False)
