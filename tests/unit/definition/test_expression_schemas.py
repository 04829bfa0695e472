"""What the schemas of an expression's variables change: where 10.0 is a whole number, and what is warned about."""

from __future__ import annotations

import json
from typing import Any

import pytest

from streamflow.definition.check import check
from streamflow.definition.compile import compile_plan
from streamflow.definition.expression import compile_expression
from streamflow.definition.plan import SetPlan, WaitPlan
from streamflow.definition.syntax import parse_catalog, parse_definition

SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["count", "counts", "lines", "kind"],
    "properties": {
        "count": {"type": "integer"},
        "maybe": {"type": ["integer", "null"]},
        "amount": {"type": "number"},
        "counts": {"type": "array", "items": {"type": "integer"}},
        "lines": {"type": "array", "items": {"$ref": "#/$defs/line"}},
        "kind": {"type": ["string", "null"]},
        "open": {"anyOf": [{"type": "string"}, {"type": "null"}]},
        "ship-to": {"type": "string"},
        "flag": {"type": ["boolean", "null"]},
        "customer": {"type": "object", "properties": {"name": {"type": "string"}}},
    },
    "$defs": {"line": {"type": "object", "required": ["n"], "properties": {"n": {"type": "integer"}, "sku": {}}}},
}
DATA: dict[str, Any] = {
    "count": 10.0,
    "maybe": 1e1,
    "amount": 10.0,
    "counts": [1.0, 2, 3.0],
    "lines": [{"n": 2.0}, {"n": 1}],
}


@pytest.mark.parametrize(
    ("source", "value"),
    [
        ("trigger.count + 1", 11),
        ("trigger['count'] % 3", 1),
        ("string(trigger.count)", "10"),
        ("[trigger.count]", [10]),
        ("trigger.maybe / 4", 2),
        ("trigger.?count.orValue(0) + 1", 11),
        ("trigger.?lines[0].?n.orValue(0) + 1", 3),
        ("trigger.counts[0] + 1", 2),
        ("trigger.counts.map(c, c * 2)", [2, 4, 6]),
        ("trigger.counts.sum() + 1", 7),
        ("trigger.counts.sort()[0] + 1", 2),
        ("trigger.lines.map(l, l.n + 1)", [3, 2]),
        ("trigger.lines.filter(l, l.n > 1).map(l, l.n + 1)", [3]),
        ("trigger.lines.filter(l, l.n > 1)[0].n + 1", 3),
        ("trigger.lines.map(l, l.n).sum() + 1", 4),
        ("trigger.lines.sortBy(l, l.n).map(l, l.n + 1)", [2, 3]),
        ("trigger.lines.transformList(i, l, l.n + i)", [2, 2]),
        ("trigger.lines.all(i, l, l.n + i > 0)", True),
        ("cel.bind(x, trigger.lines[0], x.n + 1)", 3),
        ("trigger.lines.map(l, cel.bind(n, l.n, n + n))", [4, 2]),
    ],
)
def test_a_whole_number_by_its_schema_is_whole_also_where_it_comes_with_a_point(source: str, value: Any) -> None:
    found = compile_expression(source, {"trigger": SCHEMA}).evaluate({"trigger": DATA})
    assert found == value
    assert repr(found) == repr(value)


def test_a_number_is_what_it_comes_as() -> None:
    assert compile_expression("trigger.amount / 4.0", {"trigger": SCHEMA}).evaluate({"trigger": DATA}) == 2.5
    assert DATA["counts"] == [1.0, 2, 3.0]
    assert repr(DATA["counts"][0]) == "1.0"


CATALOG = parse_catalog(
    """
events:
  - name: e
    topics: [t]
    schema: {type: object, required: [n, lines], properties: {n: {type: integer}, lines: {type: array, items: {type: object, properties: {n: {type: integer}}}}}}
  - {name: f, topics: [t], schema: {type: object, properties: {n: {type: integer}}}}
operations:
  - {name: op, input: {type: object}, output: {type: object, properties: {n: {type: integer}}}}
"""  # noqa: E501
)
DEFINITION = parse_definition(
    """
name: d
version: "1"
on: [{id: go, event: e, where: event.n % 2 == 0, key: event.n}]
steps:
  - {id: got, wait: {events: [{id: f, event: f, where: event.n + 1 == trigger.n}], within: 1h}}
  - {id: done, needs: [got], each: {items: trigger.lines}, call: {operation: op, with: [{name: n, expr: item.n + index}]}}
  - {id: x, needs: [done], set: [{name: a, expr: trigger.n + 1}, {name: b, expr: steps.got.data.n + 1}, {name: c, expr: 'steps.done[0].n + 1'}]}
"""  # noqa: E501
)


def test_the_plan_of_a_definition_reads_by_the_schemas_of_its_catalog() -> None:
    assert [str(problem) for problem in check(DEFINITION, CATALOG) if problem.severity == "error"] == []
    plan = compile_plan(DEFINITION, CATALOG, "sha")
    (trigger,) = plan.triggers
    assert trigger.where is not None
    assert trigger.key is not None
    assert trigger.where.holds({"event": {"n": 10.0}})
    assert trigger.key.evaluate({"event": {"n": 10.0}}) == 10
    wait = plan.steps["got"].work
    assert isinstance(wait, WaitPlan)
    (clause,) = wait.clauses
    assert clause.where is not None
    assert clause.where.holds({"event": {"n": 9.0}, "trigger": {"n": 1e1}})
    work: Any = plan.steps["done"].work
    assert work.values[0][1].evaluate({"item": {"n": 2.0}, "index": 1}) == 3
    values = plan.steps["x"].work
    assert isinstance(values, SetPlan)
    variables = {"trigger": {"n": 1.0}, "steps": {"got": {"data": {"n": 2.0}}, "done": [{"n": 3.0}]}}
    assert [repr(value.evaluate(variables)) for _, value in values.values] == ["2", "3", "4"]


def warnings(source: str, **step: Any) -> list[tuple[str, str]]:
    """Code and pointer of what is found in an expression of a definition whose trigger follows SCHEMA."""
    catalog = CATALOG.model_copy(
        update={"events": [CATALOG.events[0].model_copy(update={"schema_": SCHEMA})]},
    )
    definition = {
        "name": "d",
        "version": "1",
        "on": [{"id": "go", "event": "e", "key": "'k'", **step.pop("on", {})}],
        "steps": [{"id": "x", **({"set": [{"name": "v", "expr": source}]} if source else {}), **step}],
    }
    found = check(parse_definition(json.dumps(definition)), catalog)
    assert all(problem.severity == "warning" and problem.fix for problem in found if problem.code in ("SF279", "SF280"))
    return [(problem.code, problem.pointer) for problem in found]


AT = "/steps/0/set/0/expr"


@pytest.mark.parametrize(
    ("source", "codes"),
    [
        ("trigger.count + 1", []),
        ("double(trigger.amount)", ["SF279"]),
        ("trigger['ship-to']", ["SF279"]),
        ("has(trigger.amount) ? trigger.amount : 0", []),
        ("trigger.?amount.orValue(0)", []),
        ("trigger[?'ship-to'].orValue('')", []),
        ("trigger.customer.name", ["SF279"]),
        ("has(trigger.customer.name)", ["SF279"]),
        ("has(trigger.customer) && has(trigger.customer.name) ? trigger.customer.name : ''", []),
        ("trigger.?customer.name.orValue('')", []),
        ("trigger.lines.map(l, l.n)", []),
        ("trigger.lines.map(l, l.sku)", ["SF279"]),
        ("trigger.lines.map(l, has(l.sku) ? l.sku : '')", []),
        ("trigger.lines[0].sku", ["SF279"]),
        ("trigger.kind + 'x'", ["SF280"]),
        ("trigger.kind.size()", ["SF280"]),
        ("trigger.kind == 'a'", []),
        ("trigger.kind", []),
        ("trigger.kind != null ? trigger.kind + 'x' : ''", []),
        ("has(trigger.open) ? trigger.open + 'x' : ''", ["SF280"]),
        ("has(trigger.maybe) && trigger.maybe != null && trigger.maybe + 1 > 2", []),
        ("has(trigger.flag) && trigger.flag", ["SF280"]),
        ("has(trigger.flag) ? (trigger.flag ? 1 : 2) : 3", ["SF280"]),
    ],
)
def test_what_may_be_missing_or_null_is_a_warning_unless_it_is_asked_for(source: str, codes: list[str]) -> None:
    assert warnings(source) == [(code, AT) for code in codes]


def test_a_condition_that_may_be_null_is_a_warning() -> None:
    print_: dict[str, Any] = {"print": {"text": "'x'"}}
    assert warnings("", **{"if": "has(trigger.flag) ? trigger.flag : false", **print_}) == []
    assert warnings("", **{"if": "trigger.flag", **print_}) == [("SF279", "/steps/0/if"), ("SF280", "/steps/0/if")]


def test_what_the_step_or_the_trigger_asks_for_counts() -> None:
    assert warnings("trigger.amount", **{"if": "has(trigger.amount)"}) == []
    assert warnings("trigger.amount", on={"where": "has(event.amount)"}) == []
    assert warnings("trigger.kind + 'x'", on={"where": "event.kind != null"}) == []
    assert warnings("trigger.amount", on={"where": "has(event.maybe)"}) == [("SF279", AT)]
