"""Calls are checked against the tool's schema, and schemas have a strict form or honestly none."""

from __future__ import annotations

import json
from typing import Any

import jsonschema_rs
import pytest

from streamflow.models.tools import Tool, checked, ordered, strict, without_absent

STEP: dict[str, Any] = {
    "type": "object",
    "properties": {
        "id": {"type": "string", "minLength": 1},
        "after": {"type": ["string", "null"]},
        "kind": {"enum": ["call", "wait"]},
        "needs": {"type": "array", "items": {"type": "string"}, "maxItems": 3},
        "with": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"name": {"type": "string"}, "expr": {"type": "string"}},
                "required": ["name"],
                "additionalProperties": False,
            },
        },
        "limit": {"anyOf": [{"type": "integer", "minimum": 1}, {"type": "string"}]},
    },
    "required": ["id"],
    "additionalProperties": False,
}


def closed(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


def objects(schema: Any) -> list[dict[str, Any]]:
    """All object schemas within."""
    if isinstance(schema, list):
        return [found for one in schema for found in objects(one)]
    if not isinstance(schema, dict):
        return []
    own = [schema] if schema.get("type") == "object" else []
    return own + [found for one in schema.values() for found in objects(one)]


def test_the_strict_form_closes_every_object_and_requires_every_property() -> None:
    made = strict(STEP)

    assert made is not None
    assert len(objects(made)) == 2
    for one in objects(made):
        assert one["required"] == list(one["properties"])
        assert one["additionalProperties"] is False
    text = json.dumps(made)
    assert not any(word in text for word in ("minimum", "minLength", "maxItems"))


@pytest.mark.parametrize(
    "value",
    [
        {"id": "a"},
        {"id": "a", "after": None},
        {"id": "a", "after": "b", "kind": "wait", "needs": ["x"], "limit": 3},
        {"id": "a", "with": [{"name": "n"}, {"name": "m", "expr": "1"}]},
    ],
)
def test_what_fits_the_strict_form_is_the_same_value_without_its_nulls(value: dict[str, Any]) -> None:
    """A model that must give every property gives null for what it leaves out."""
    made = strict(STEP)
    assert made is not None
    full = {name: value.get(name) for name in STEP["properties"]}
    if "with" in value:
        full["with"] = [{"name": one["name"], "expr": one.get("expr")} for one in value["with"]]

    jsonschema_rs.validate(made, full)
    expected = {"after": None} | value  # null is a value of its own there
    assert without_absent(full, STEP) == expected
    assert checked("step", json.dumps(full), [Tool("step", "", STEP)], nulls_are_absent=True) == (expected, None)


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "properties": {}},
        {"type": "object", "additionalProperties": {"type": "string"}},
        {"type": "object", "additionalProperties": True},
        {"type": "array", "items": {"type": "string"}},
        {"$ref": "#/$defs/x"},
        closed(a={"$ref": "#/$defs/x"}),
        closed(a={}),
        closed(a={"type": "array"}),
        closed(a={"type": "object"}),
        closed(a={"allOf": [{"type": "string"}]}),
        closed(a={"not": {"type": "string"}}),
        closed(a={"anyOf": [{"type": "string"}, {"type": "object"}]}),
        closed(a={"type": "object", "patternProperties": {"x": {}}, "additionalProperties": False}),
        closed() | {"if": {}, "then": {}},
    ],
    ids=json.dumps,
)
def test_a_schema_that_cannot_be_said_strictly_has_no_strict_form(schema: dict[str, Any]) -> None:
    assert strict(schema) is None


@pytest.mark.parametrize(
    "raw",
    [
        '{"id": "\\ud800"}',
        '{"id": 1e999}',
        "NaN",
        '{"id": NaN}',
        '{"id": Infinity}',
        "{" * 50_000,
        "[" * 50_000 + "]" * 50_000,
    ],
)
def test_what_is_no_json_is_a_problem_and_no_crash(raw: str) -> None:
    arguments, problem = checked("step", raw, [Tool("step", "", STEP)], nulls_are_absent=False)

    assert arguments == {}
    assert problem
    assert len(problem) < 600


def test_no_arguments_are_an_empty_object() -> None:
    tool = Tool("now", "", {"type": "object", "properties": {}, "additionalProperties": False})

    assert checked("now", "", [tool], nulls_are_absent=False) == ({}, None)
    assert checked("now", '{"a": 1}', [tool], nulls_are_absent=False)[1]


def test_bounds_that_the_strict_form_leaves_out_are_still_held() -> None:
    full = dict.fromkeys(STEP["properties"]) | {"id": "", "limit": 0}

    problem = checked("step", json.dumps(full), [Tool("step", "", STEP)], nulls_are_absent=True)[1] or ""
    assert "/id" in problem
    assert "/limit" in problem


def test_many_problems_are_counted_and_not_listed() -> None:
    tool = Tool("many", "", {"type": "object", "additionalProperties": {"type": "string"}})
    problem = checked("many", json.dumps({f"f{n}": n for n in range(50)}), [tool], nulls_are_absent=False)[1] or ""

    assert "and 47 more" in problem
    assert len(problem) < 600


def test_tools_have_one_order() -> None:
    tools = [Tool(name, "", {}) for name in ("b", "c", "a")]

    assert [tool.name for tool in ordered(tools)] == [tool.name for tool in ordered(tools[::-1])] == ["a", "b", "c"]


def test_arguments_of_a_recursive_schema_that_do_not_fit_are_told_at_once() -> None:
    branches = [
        {"type": "object", "required": ["op", "of"], "properties": {"op": {"const": op}, "of": RULE}} for op in "ab"
    ]
    rule = {
        "oneOf": [*branches, {"type": "object", "required": ["field"], "properties": {"field": {"type": "string"}}}]
    }
    tool = Tool("add", "", {"type": "object", "$defs": {"rule": rule}, "properties": {"rule": RULE}})
    value: dict[str, Any] = {"field": 5}
    for _ in range(40):
        value = {"op": "a", "of": value}
    _, problem = checked("add", json.dumps({"rule": value}), [tool], nulls_are_absent=False)
    assert problem is not None
    assert problem.startswith("The arguments of add do not fit its schema: /rule: {")
    assert problem.endswith("Correct them.")
    assert len(problem) < 500


RULE = {"$ref": "#/$defs/rule"}
