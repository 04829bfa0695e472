from __future__ import annotations

import pytest

from streamflow.definition.compile import compile_plan, plan_of
from streamflow.definition.content import canonical, sha256_of
from streamflow.definition.plan import (
    ApprovalPlan,
    CallPlan,
    ChildPlan,
    DelayPlan,
    EachPlan,
    EmitPlan,
    FailPlan,
    SetPlan,
    WaitPlan,
)
from streamflow.definition.plan_text import describe
from streamflow.definition.syntax import parse_definition
from streamflow.errors import DefinitionError
from tests.unit.definition.examples import CATALOG, GOOD, HEAD, OUTSIDE

PLAN = plan_of(canonical(parse_definition(GOOD), CATALOG))
WITH_OUTSIDE = plan_of(canonical(parse_definition(OUTSIDE), CATALOG))


def test_the_plan_of_content_is_that_of_the_definition() -> None:
    definition = parse_definition(GOOD)
    content = canonical(definition, CATALOG)
    assert PLAN.sha == sha256_of(content)
    assert describe(PLAN) == describe(compile_plan(definition, CATALOG, PLAN.sha))
    assert describe(PLAN) == "\n".join(
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
    assert isinstance(total, SetPlan)
    assert total.values[0][1].steps == {"paid"}
    assert isinstance(release, EmitPlan)
    assert release.event == "order.released"
    assert [name for name, _ in release.data] == ["id", "total"]
    assert isinstance(rest, DelayPlan)
    assert rest.for_ms == 7_200_000
    assert PLAN.steps["paid"].title == "Wait for the payment"
    assert PLAN.steps["late"].needs[0].accepts("timeout")
    assert not PLAN.steps["total"].needs[0].accepts("timeout")


def test_waits_are_found_by_the_name_of_their_event_in_plan_order() -> None:
    steps = (
        "- {id: b, needs: [a], wait: {events: [{id: x, event: raw}, {id: y, event: payment.captured}], forever: true}}\n"  # noqa: E501
        "- {id: a, wait: {events: [{id: z, event: raw}], forever: true}}\n"
    )
    plan = compile_plan(parse_definition(HEAD + steps), CATALOG, "sha")
    assert plan.waits == {"raw": ("a", "b"), "payment.captured": ("b",)}


def test_an_expression_that_cannot_be_read_is_refused() -> None:
    with pytest.raises(DefinitionError):
        compile_plan(parse_definition(HEAD + "- {id: a, print: {text: '1 +'}}"), CATALOG, "sha")


def test_a_call_has_what_the_step_says_and_else_what_the_operation_says() -> None:
    charge = WITH_OUTSIDE.steps["charge"].work
    assert isinstance(charge, CallPlan)
    assert (charge.operation, charge.lane, charge.timeout_ms, charge.queue_ms, charge.within_ms) == (
        "card.charge",
        "bank",
        5_000,
        600_000,
        3_600_000,
    )
    assert (charge.retry.attempts, charge.retry.backoff_ms, charge.retry.factor, charge.retry.longest_ms) == (
        4,
        1_000,
        2,
        300_000,
    )
    assert [(name, expression.source) for name, expression in charge.values] == [
        ("card", "trigger.id"),
        ("cents", "100"),
        ("how", "'now'"),
    ]

    bare = (
        compile_plan(parse_definition(HEAD + "- {id: a, call: {operation: card.charge}}"), CATALOG, "sha")
        .steps["a"]
        .work
    )
    assert isinstance(bare, CallPlan)
    assert (bare.lane, bare.timeout_ms, bare.queue_ms, bare.within_ms) == ("bank", 20_000, 86_400_000, None)
    assert (bare.retry.attempts, bare.retry.backoff_ms) == (3, 2_000)
    assert bare.retry.codes == {"declined": (1, 2_000), "busy": (9, 10_000)}


def test_an_error_that_is_not_retryable_is_tried_once_unless_the_step_says_otherwise() -> None:
    charge = WITH_OUTSIDE.steps["charge"].work
    assert isinstance(charge, CallPlan)
    assert charge.retry.codes == {"declined": (2, 1_000), "attempt_lost": (9, 60_000)}
    silent = (
        compile_plan(
            parse_definition(HEAD + "- {id: a, call: {operation: card.charge, retry: {attempts: 7}}}"), CATALOG, "sha"
        )
        .steps["a"]
        .work
    )
    assert isinstance(silent, CallPlan)
    assert silent.retry.codes == {"declined": (1, 1_000)}


def test_a_child_run_names_the_content_that_was_published() -> None:
    child = WITH_OUTSIDE.steps["parcels"].work
    assert isinstance(child, ChildPlan)
    assert (child.definition, child.version, child.sha, child.within_ms) == (
        "parcel",
        "1",
        "1a",
        172_800_000,
    )
    assert child.key is not None
    assert child.key.source == "run.key + '-1'"


def test_lists_approvals_and_failing_are_compiled() -> None:
    each = WITH_OUTSIDE.steps["reserve"].each
    assert isinstance(each, EachPlan)
    assert each.at_once == 3
    ask, refused = WITH_OUTSIDE.steps["ask"].work, WITH_OUTSIDE.steps["refused"].work
    assert isinstance(ask, ApprovalPlan)
    assert (ask.who, ask.within_ms, ask.form) == (
        ("clerks", "anna"),
        7_200_000,
        {"type": "object", "properties": {"note": {"type": "string"}}},
    )
    assert isinstance(refused, FailPlan)
    assert WITH_OUTSIDE.output == "charge"


def test_what_undoes_a_step_is_a_call_of_its_own() -> None:
    undo = WITH_OUTSIDE.step("charge.undo")
    assert undo is WITH_OUTSIDE.steps["charge"].undo
    assert undo is not None
    assert (undo.id, undo.needs, undo.dependents, undo.condition, undo.each, undo.undo) == (
        "charge.undo",
        (),
        (),
        None,
        None,
        None,
    )
    assert isinstance(undo.work, CallPlan)
    assert (undo.work.operation, undo.work.lane) == ("card.refund", "slow")
    assert "charge" in WITH_OUTSIDE.reads


def test_a_step_knows_which_of_its_bad_ends_are_handled() -> None:
    assert {id_: set(step.handled) for id_, step in WITH_OUTSIDE.steps.items() if step.handled} == {
        "charge": {"failure", "timeout"},
        "parcels": {"failure"},
        "ask": {"timeout"},
    }
    assert PLAN.steps["paid"].handled == {"timeout"}


def test_a_plan_tells_lanes_attempts_and_limits() -> None:
    assert describe(WITH_OUTSIDE) == "\n".join(
        [
            "order-outside@1 many",
            "on placed: order.placed",
            "charge <- start: call card.charge in bank, 4 attempts (attempt_lost 9, declined 2), timeout 5s, queue "
            "10m, within 1h"
            "; undo call card.refund in slow, 5 attempts, timeout 1m, queue 1d",
            "reserve <- charge: each [{'sku': 'a', 'count': 1}] (3 at once) call stock.reserve in default, 5 "
            "attempts, timeout 1m, queue 1d",
            "parcels <- reserve: run parcel@1, within 2d",
            "ask <- parcels: approval by clerks, anna, within 2h",
            "told <- ask.approved: set",
            "refused <- ask.rejected or ask.timeout or parcels.failure: fail",
            "unpaid <- charge.failure: print",
            "late <- charge.timeout: print",
            "output charge",
        ]
    )


@pytest.mark.parametrize(
    "step",
    [
        "{id: a, call: {operation: gone}}",
        "{id: a, run: {definition: gone, version: '1'}}",
        "{id: a, emit: {event: gone}}",
    ],
)
def test_what_the_catalog_does_not_have_cannot_be_compiled(step: str) -> None:
    with pytest.raises(ValueError, match="gone"):
        compile_plan(parse_definition(HEAD + f"- {step}"), CATALOG, "sha")
