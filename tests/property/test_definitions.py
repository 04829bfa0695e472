"""Whatever an author puts together: it is checked without breaking, and what has no errors compiles to the same plan
again and again, and is drawn."""

from __future__ import annotations

from typing import Any

import merman
from hypothesis import given, settings
from hypothesis import strategies as st

from streamflow.definition.check import CODES, check
from streamflow.definition.compile import compile_plan, plan_of
from streamflow.definition.content import canonical, read_content, sha256_of
from streamflow.definition.diff import diff, sentences
from streamflow.definition.mermaid import mermaid
from streamflow.definition.model import Definition
from streamflow.definition.plan_text import describe
from streamflow.definition.syntax import parse_definition, to_yaml
from tests.conftest import examples
from tests.unit.definition.examples import CATALOG

ENGINE = merman.Merman()
IDS = ("a", "b", "c", "d", "e")
OUTCOMES = ("", "", "", ".failure", ".timeout", ".approved", ".x", ".done")
GOOD = (
    "trigger.id",
    "'x'",
    "run.key",
    "1",
    "trigger.lines",
    "has(steps.a)",
    "has(errors.b) ? errors.b.code : ''",
    "now",
)
OTHER = (
    "item",
    "item.sku",
    "index",
    "steps.a.charge",
    "errors.c.code",
    "steps.b",
    "trigger.idd",
    "1 +",
    "errors",
    "trigger.lines.map(item, item)",
    "steps.z.q",
)
EXPRESSIONS = st.sampled_from((*GOOD, *GOOD, *OTHER))
LENGTHS = st.sampled_from(("5s", "1h", "0s", "2d"))
VALUES = st.lists(
    st.builds(
        lambda name, expr: {"name": name, "expr": expr},
        st.sampled_from(("card", "cents", "sku", "id", "x")),
        EXPRESSIONS,
    ),
    max_size=3,
)


def part(required: dict[str, Any], **optional: Any) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(required, optional=optional)


RETRY = part({}, attempts=st.integers(1, 9), backoff=LENGTHS, codes=st.just([{"id": "busy", "attempts": 2}]))
OPERATIONS = st.sampled_from(("card.charge", "stock.reserve", "anything", "anything", "gone"))
CALL = part({"operation": OPERATIONS}, **{"with": VALUES}, retry=RETRY, timeout=LENGTHS, within=LENGTHS)
RUN = part(
    {"definition": st.sampled_from(("parcel", "generated")), "version": st.sampled_from(("1", "2"))},
    **{"with": VALUES},
    key=EXPRESSIONS,
    within=LENGTHS,
)
WAIT = part(
    {"events": st.just([{"id": "x", "event": "raw"}])},
    within=LENGTHS,
    forever=st.booleans(),
    since=st.sampled_from(("run", "here")),
    take=st.sampled_from(("one", "every")),
    keep=LENGTHS,
)
WORK = st.one_of(
    CALL.map(lambda call: {"call": call}),
    CALL.map(lambda call: {"call": call, "undo": {"operation": "anything"}}),
    st.builds(lambda call, items: {"call": call, "each": {"items": items}}, CALL, EXPRESSIONS),
    RUN.map(lambda run: {"run": run}),
    part({"text": EXPRESSIONS, "who": st.just(["clerks"])}, within=LENGTHS, forever=st.booleans()).map(
        lambda approval: {"approval": approval}
    ),
    EXPRESSIONS.map(lambda that: {"require": {"that": that}}),
    EXPRESSIONS.map(lambda reason: {"fail": {"reason": reason}}),
    WAIT.map(lambda wait: {"wait": wait}),
    EXPRESSIONS.map(lambda expr: {"set": [{"name": "charge", "expr": expr}]}),
    EXPRESSIONS.map(lambda expr: {"choose": [{"id": "x", "if": expr}, {"id": "y"}]}),
)
NEED = st.builds(lambda id_, outcome: id_ + outcome, st.sampled_from(IDS), st.sampled_from(OUTCOMES))
STEP = st.builds(
    lambda id_, needs, join, condition, work: (
        {"id": id_, "needs": needs, "join": join} | ({"if": condition} if condition else {}) | work
    ),
    st.sampled_from(IDS),
    st.lists(NEED, max_size=2, unique=True),
    st.sampled_from(("all", "any")),
    st.none() | EXPRESSIONS,
    WORK,
)
DEFINITIONS = st.builds(
    lambda steps, on, more: Definition.model_validate(
        {"name": "generated", "version": "1", "on": on, "steps": steps} | more
    ),
    st.lists(STEP, min_size=1, max_size=5, unique_by=lambda step: step["id"]),
    st.sampled_from(([{"id": "placed", "event": "order.placed"}], [])),
    part({}, input=st.just({"type": "object", "properties": {"id": {"type": "string"}}}), output=st.sampled_from(IDS)),
)


GIVEN = {
    "card.charge": [{"name": "card", "expr": "run.key"}, {"name": "cents", "expr": "100"}],
    "stock.reserve": [{"name": "sku", "expr": "trigger.id"}],
    "anything": [{"name": "all", "expr": "trigger"}],
}
ENDS = {
    "call": ["", ".failure", ".timeout"],
    "run": ["", ".failure", ".timeout"],
    "approval": ["", ".approved", ".rejected", ".timeout"],
}
ENDS |= {"choose": ["", ".x", ".y"], "wait": ["", ".x", ".timeout"], "set": [""]}


@st.composite
def runnable(draw: st.DrawFn) -> Definition:
    """A definition that can run, or nearly so: only its needs may exclude each other."""
    steps: list[dict[str, Any]] = []
    for id_ in draw(st.lists(st.sampled_from(IDS), min_size=1, max_size=5, unique=True)):
        kind = draw(st.sampled_from(("call", "call", "run", "approval", "choose", "wait", "set", "fail")))
        operation = draw(st.sampled_from(tuple(GIVEN)))
        call = {"operation": operation, "with": GIVEN[operation], "within": "1h"}
        retry = draw(
            st.none()
            | st.builds(
                lambda attempts: {"attempts": attempts, "codes": [{"id": "attempt_lost", "attempts": 2}]},
                st.integers(1, 9),
            )
        )
        work: Any = {
            "call": call | ({"retry": retry} if retry else {}),
            "run": {"definition": "parcel", "version": "2"},
            "approval": {"text": "run.key", "who": ["clerks"], "within": "1h"},
            "choose": [{"id": "x", "if": "trigger.id == 'x'"}, {"id": "y"}],
            "wait": {"events": [{"id": "x", "event": "raw"}], "within": "1h", "since": "run"},
            "set": [{"name": "x", "expr": "run.key"}],
            "fail": {"reason": "'over'"},
        }[kind]
        earlier = [
            step["id"] + end for step in steps for kind_of, ends in ENDS.items() if kind_of in step for end in ends
        ]
        step = {
            "id": id_,
            "needs": draw(st.lists(st.sampled_from(earlier), max_size=2, unique=True)) if earlier else [],
            kind: work,
        }
        if kind in ("call", "run"):
            step |= draw(st.sampled_from(({}, {"each": {"items": "trigger.lines"}})))
            step |= draw(
                st.sampled_from(
                    ({}, {"undo": {"operation": "anything", "with": [{"name": "x", "expr": f"has(steps.{id_})"}]}})
                )
            )
        step["join"] = draw(st.sampled_from(("all", "any")))
        steps.append(step)
    steps = [step for step in steps if "fail" not in step] + [step for step in steps if "fail" in step]
    on = [{"id": "placed", "event": "order.placed"}]
    return Definition.model_validate(
        {"name": "generated", "version": "1", "on": on, "steps": draw(st.permutations(steps))}
    )


@settings(max_examples=examples(150), deadline=None)
@given(definition=DEFINITIONS)
def test_whatever_is_put_together_is_checked_written_and_drawn(definition: Definition) -> None:
    found = check(definition, CATALOG)
    assert {problem.code for problem in found} <= set(CODES)
    assert parse_definition(to_yaml(definition)) == definition
    assert ENGINE.validate(mermaid(definition, CATALOG), None).valid


@settings(max_examples=examples(150), deadline=None)
@given(definition=runnable())
def test_what_has_no_errors_compiles_to_the_same_plan_again_and_again(definition: Definition) -> None:
    errors = {problem.code for problem in check(definition, CATALOG) if problem.severity == "error"}
    assert errors <= {"SF217", "SF218"}
    if errors:
        return
    content = canonical(definition, CATALOG)
    again, catalog = read_content(content)
    assert canonical(again, catalog) == content
    plan = plan_of(content)
    assert plan.sha == sha256_of(content)
    assert describe(plan) == describe(compile_plan(definition, CATALOG, plan.sha))
    place = {id_: index for index, id_ in enumerate(plan.steps)}
    for step in plan.sequence:
        assert all(place[need.step] < place[step.id] for need in step.needs)
        assert step.handled == {
            need.outcome for other in plan.sequence for need in other.needs if need.step == step.id
        } & {"failure", "timeout"}
        assert plan.step(step.id) is step
        assert plan.step(f"{step.id}.undo") is step.undo


@settings(max_examples=examples(100), deadline=None)
@given(before=DEFINITIONS, after=DEFINITIONS)
def test_every_difference_is_told_and_none_where_there_is_none(before: Definition, after: Definition) -> None:
    changes = diff(before, after)
    told = sentences(changes)
    assert len(told) == len(changes)
    assert all(sentence.endswith(".") for sentence in told)
    assert diff(after, after) == ()
    if changes == ():
        order = sorted(before.steps, key=lambda step: step.id)
        assert before.model_copy(update={"steps": order}) == after.model_copy(
            update={"steps": sorted(after.steps, key=lambda step: step.id)}
        )
