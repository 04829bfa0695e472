"""What a draft leaves open is found, asked about, and closed by the answer."""

from __future__ import annotations

import json
from typing import Any

import pytest

from streamflow.authoring.draft import Draft
from streamflow.authoring.gaps import RANKS, gaps
from streamflow.authoring.operations import Revision, apply, read_operations
from streamflow.authoring.question import Question
from streamflow.authoring.questions import questions
from streamflow.definition.syntax import parse_catalog
from tests.unit.authoring.examples import ASK, CATALOG, DRAFT, draft_of, plain

WAIT: dict[str, Any] = {
    "id": "paid",
    "wait": {"events": [{"id": "captured", "event": "payment.captured"}], "within": "1d", "keep": "1h"},
}
CALL = {"id": "charge", "call": {"operation": "card.charge", "within": "1h"}}
CHOOSE = {
    "id": "size",
    "choose": [{"id": "large", "if": "trigger.amount > 5"}, {"id": "small", "if": "trigger.amount > 1"}],
}
KEYLESS = parse_catalog("""
events:
  - name: order.placed
    topics: [orders]
    id: {path: event_id}
    schema:
      type: object
      properties: {order_id: {type: string}, "customer-id": {type: string}, valid: {type: string}, lines: {type: array}}
  - {name: payment.captured, topics: [orders], id: {path: event_id}, schema: {type: object}}
""")
CHILD = {"id": "child", "run": {"definition": "parcel", "version": "1", "within": "1h"}}
ENDLESS = {"id": "charge", "call": {"operation": "card.charge"}}
PATIENT = {"id": "ask", "approval": {"text": "'x'", "who": ["a"], "forever": True}}
STRICT: dict[str, Any] = {**WAIT, "wait": {**WAIT["wait"], "keep": None}}
# For each kind, drafts that have it, with the address where; the rest of each is complete.
HAVE: list[tuple[str, str, tuple[dict[str, Any], ...]]] = [
    ("no_failure_path", "/steps/charge", (CALL, plain("then", "charge"))),
    ("no_failure_path", "/steps/child", (CHILD,)),
    ("nobody_answers", "/steps/ask", (ASK, plain("go", "ask.approved"), plain("stop", "ask.rejected"))),
    ("nobody_answers", "/steps/paid", (WAIT, plain("go", "paid.captured"))),
    ("no_way_out", "/steps/size", (CHOOSE, plain("a", "size.large"), plain("b", "size.small"))),
    ("unreachable_branch", "/steps/ask/rejected", (ASK, plain("go", "ask.approved"), plain("late", "ask.timeout"))),
    ("unreachable_branch", "/steps/size/small", (CHOOSE, plain("a", "size.large"))),
    ("no_time_limit", "/steps/charge", (ENDLESS, plain("no", "charge.failure"))),
    ("no_time_limit", "/steps/ask", (PATIENT, plain("go", "ask"))),
    ("early_event", "/steps/paid", (STRICT, plain("go", "paid"), plain("no", "paid.timeout"))),
    ("late_event", "/steps/paid", (WAIT, plain("go", "paid.captured"), plain("no", "paid.timeout"))),
    ("duplicate", "/runs", (plain("a"),)),
]
CLOSED = (
    {**WAIT, "wait": {**WAIT["wait"], "within": None, "forever": True}},
    plain("go", "paid.captured"),
    CALL,
    plain("no", "charge.failure"),
    {"id": "size", "needs": ["go"], "choose": [{"id": "large", "if": "true"}, {"id": "other"}]},
    plain("end", "size"),
)


def without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: without_nulls(item) for key, item in value.items() if item is not None}
    return [without_nulls(item) for item in value] if isinstance(value, list) else value


def made(*steps: dict[str, Any]) -> Draft:
    return draft_of(*without_nulls(list(steps)))


def asked_about(draft: Draft, kind: str, catalog: Any = CATALOG) -> Question:
    return next(one for one in questions(draft, catalog, most=9) if one.kind == kind)


@pytest.mark.parametrize(("kind", "address", "steps"), HAVE, ids=lambda value: value if isinstance(value, str) else "")
def test_it_is_found_and_every_answer_closes_it(kind: str, address: str, steps: tuple[dict[str, Any], ...]) -> None:
    draft = made(*steps)
    key = f"{kind}:{address}"

    assert key in [gap.key for gap in gaps(draft, CATALOG)]
    question = asked_about(draft, kind)
    assert len(question.choices) > 1
    assert key in [gap.key for gap in question.gaps]
    for choice in question.choices:
        if not choice.operations:
            continue
        found = apply(draft, choice.operations, CATALOG)
        assert isinstance(found, Revision), (choice, found)
        assert key not in [gap.key for gap in gaps(found.draft, CATALOG)], choice
        assert [problem for problem in found.new_problems if problem.severity == "error"] == []
    assert key not in [gap.key for gap in gaps(draft, CATALOG, settled=[key])]


def test_every_kind_has_an_example() -> None:
    assert {kind for kind, _, _ in HAVE} | {"missing_key"} == set(RANKS)


def test_a_draft_that_leaves_nothing_open_has_no_gap_but_what_is_said() -> None:
    draft = made(*CLOSED)

    assert [gap.key for gap in gaps(draft, CATALOG)] == ["no_time_limit:/steps/paid", "duplicate:/runs"]


def test_the_key_is_asked_for_where_nobody_says_it() -> None:
    draft = made(plain("a"))
    question = asked_about(draft, "missing_key", KEYLESS)

    assert [choice.text for choice in question.choices] == [
        "The key of the Kafka record, unchanged.",
        "The field `order_id`.",
        "The field `customer-id`.",
    ]
    for choice in question.choices[1:]:
        found = apply(draft, choice.operations, KEYLESS)
        assert isinstance(found, Revision)
        assert "missing_key" not in {gap.kind for gap in gaps(found.draft, KEYLESS)}
        assert found.new_problems == ()


def test_an_event_that_is_waited_for_needs_its_key_in_the_catalog() -> None:
    draft = made(WAIT, plain("a", "paid"))
    found = [gap.key for gap in gaps(draft, KEYLESS) if gap.kind == "missing_key"]

    assert found == ["missing_key:/on/placed", "missing_key:/steps/paid/wait/events/captured"]


def test_at_most_three_are_asked_and_the_most_important_first() -> None:
    draft = made(
        ASK, {"id": "charge", "needs": ["ask"], "call": {"operation": "card.charge"}}, {**CHOOSE, "needs": ["charge"]}
    )
    found = questions(draft, CATALOG)
    ranks = [RANKS.index(one.kind) for one in found]

    assert len(found) == 3
    assert ranks == sorted(ranks)
    assert [one.kind for one in found] == ["no_failure_path", "nobody_answers", "no_way_out"]
    assert [gap.key for one in found for gap in one.gaps if one.kind == "no_failure_path"] == [
        "no_failure_path:/steps/charge"
    ]


def test_several_of_one_kind_are_one_question() -> None:
    other = {"id": "refund", "needs": ["charge"], "call": {"operation": "card.refund", "within": "1h"}}
    question = asked_about(made(CALL, other), "no_failure_path")

    assert question.text == "What happens when `charge` or `refund` fails?"
    assert [one.op for one in question.choices[1].operations] == ["add_step", "add_step"]


def test_an_answer_as_json_is_an_edit() -> None:
    question = asked_about(made(CALL), "no_failure_path")
    told = json.loads(json.dumps(question.facts()))

    assert told["gaps"] == ["no_failure_path:/steps/charge"]
    assert read_operations(told["choices"][1]["operations"]) == question.choices[1].operations
    assert told["choices"][0]["operations"] == []


def test_nobody_who_answers_may_count_as_rejected() -> None:
    draft = made(ASK, plain("go", "ask.approved"), plain("stop", "ask.rejected"))
    rejected = next(one for one in asked_about(draft, "nobody_answers").choices if one.text == "It counts as rejected.")
    found = apply(draft, rejected.operations, CATALOG)

    assert isinstance(found, Revision)
    assert found.difference.sentences == [
        "The step `stop` now comes after `ask` was rejected or after `ask` ran out of time (it came after `ask` was "
        "rejected)."
    ]


def test_ids_that_are_taken_are_not_taken_again() -> None:
    question = asked_about(made(CALL, plain("charge_failure", "charge")), "no_failure_path")
    step = question.choices[1].operations[0].model_dump()["step"]

    assert step["id"] == "charge_failure_2"


def test_the_shared_draft_is_asked_about() -> None:
    assert [one.kind for one in questions(DRAFT, CATALOG)] == ["no_time_limit", "duplicate", "late_event"]
