from __future__ import annotations

import pytest

from streamflow.definition.compile import compile_plan, plan_of
from streamflow.definition.content import canonical, sha256_of
from streamflow.definition.plan import DelayPlan, EmitPlan, SetPlan, WaitPlan
from streamflow.definition.syntax import parse_definition
from streamflow.errors import DefinitionError
from tests.unit.definition.examples import CATALOG, GOOD, HEAD

PLAN = plan_of(canonical(parse_definition(GOOD), CATALOG))


def test_the_plan_of_content_is_that_of_the_definition() -> None:
    definition = parse_definition(GOOD)
    content = canonical(definition, CATALOG)
    assert PLAN.sha == sha256_of(content)
    assert PLAN.describe() == compile_plan(definition, CATALOG, PLAN.sha).describe()
    assert PLAN.describe() == "\n".join(
        [
            "order-payment@1.0.0 many",
            "on placed: order.placed where event.amount > 10 && event.customer.vip key event.id",
            "paid <- start: wait",
            "total <- paid: set",
            "size <- total: choose",
            "release <- size.large: emit",
            "rest <- size.small: delay",
            "late <- paid.timeout: print",
        ]
    )


def test_steps_stand_in_topological_order_and_ties_as_written() -> None:
    needs = {"z": "[a, b]", "b": "[]", "y": "[b]", "a": "[]", "c": "[y, z]"}
    steps = "".join(f"- {{id: {id_}, needs: {needed}, print: {{text: '1'}}}}\n" for id_, needed in needs.items())
    plan = compile_plan(parse_definition(HEAD + steps), CATALOG, "sha")
    assert list(plan.steps) == ["b", "y", "a", "z", "c"]
    assert plan.steps["b"].dependents == ("y", "z")
    assert plan.steps["a"].dependents == ("z",)


def test_each_kind_of_work_is_compiled() -> None:
    paid, total, release, rest = (PLAN.steps[id_].work for id_ in ("paid", "total", "release", "rest"))
    assert isinstance(paid, WaitPlan)
    assert paid.within_ms == 86_400_000
    assert paid.topics == ("orders", "payments", "payments.old")
    assert isinstance(total, SetPlan)
    assert total.values[0][1].steps == {"paid"}
    assert isinstance(release, EmitPlan)
    assert release.topic == "released"
    assert [name for name, _ in release.data] == ["id", "total"]
    assert isinstance(rest, DelayPlan)
    assert rest.for_ms == 7_200_000
    assert PLAN.steps["paid"].title == "Wait for the payment"
    assert PLAN.steps["late"].needs[0].accepts("timeout")
    assert not PLAN.steps["total"].needs[0].accepts("timeout")


def test_waits_are_found_by_the_name_of_their_event_in_plan_order() -> None:
    steps = (
        "- {id: b, needs: [a], wait: {events: [{id: x, event: raw}, {id: y, event: payment.captured}], forever: true}}\n"
        "- {id: a, wait: {events: [{id: z, event: raw}], forever: true}}\n"
    )
    plan = compile_plan(parse_definition(HEAD + steps), CATALOG, "sha")
    assert [(step, clause.id) for step, clause in plan.waits["raw"]] == [("a", "z"), ("b", "x")]
    assert [(step, clause.id) for step, clause in plan.waits["payment.captured"]] == [("b", "y")]


def test_an_expression_that_cannot_be_read_is_refused() -> None:
    with pytest.raises(DefinitionError):
        compile_plan(parse_definition(HEAD + "- {id: a, print: {text: '1 +'}}"), CATALOG, "sha")
