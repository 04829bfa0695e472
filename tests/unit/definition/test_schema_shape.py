from __future__ import annotations

import time
from typing import Any

import pytest

from streamflow.definition.json_schema import common, json_types, may_be_null
from streamflow.definition.schema_shape import shape_of
from streamflow.definition.schema_types import typed_environment, with_fields

TEXT: dict[str, Any] = {"type": "string"}
WHOLE: dict[str, Any] = {"type": "integer"}
A = {"type": "object", "properties": {"a": TEXT, "n": WHOLE}, "additionalProperties": False}
B = {"type": "object", "properties": {"b": TEXT, "n": WHOLE}, "additionalProperties": False}


def returned(schema: dict[str, Any], source: str) -> str:
    environment, _ = typed_environment({"event": schema})
    return str(environment.compile(with_fields(source)).return_type().name())


@pytest.mark.parametrize(
    ("schema", "source", "type_"),
    [
        # references
        ({"$ref": "#/$defs/a", "properties": {"x": TEXT}, "$defs": {"a": A}}, "event.x + event.a", "STRING"),
        ({"$ref": "#here", "$defs": {"a": {"$anchor": "here", **A}}}, "event.n", "INT"),
        ({"$ref": "#/definitions/a%20b", "definitions": {"a b": A}}, "event.n", "INT"),
        ({"$ref": "#/other/0", "other": [A]}, "event.n", "INT"),
        ({"$id": "https://a.example/one", "$ref": "two", "$defs": {"x": {"$id": "two", **A}}}, "event.n", "INT"),
        ({"$ref": "urn:x:two", "$defs": {"x": {"$id": "urn:x:two", **A}}}, "event.n", "INT"),
        (
            {
                "$ref": "urn:x:two",
                "$defs": {
                    "x": {"$id": "urn:x:two", "properties": {"n": {"$ref": "#/$defs/w"}}, "$defs": {"w": WHOLE}},
                    "w": TEXT,
                },
            },
            "event.n",
            "INT",
        ),
        ({"$dynamicRef": "#t", "$defs": {"x": {"$dynamicAnchor": "t", **A}}}, "event.n", "INT"),
        (
            {
                "type": "object",
                "properties": {"p": {"type": "object", "properties": {"q": {"$ref": "#/$defs/w"}}, "$defs": {}}},
                "$defs": {"w": WHOLE},
            },
            "event.p.q",
            "INT",
        ),
        # alternatives
        ({"type": "object", "properties": {"p": {"oneOf": [A, {"type": "null"}]}}}, "event.p.n", "INT"),
        ({"type": "object", "properties": {"p": {"anyOf": [TEXT, {"type": "null"}]}}}, "event.p == null", "BOOL"),
        ({"oneOf": [A, B]}, "event.n", "INT"),
        ({"oneOf": [A, B]}, "event.a", "STRING"),
        ({"anyOf": [{"properties": {"a": TEXT}}, {"properties": {"a": WHOLE}}]}, "event.a", "DYN"),
        ({"anyOf": [{"properties": {"a": TEXT}}, {"properties": {"b": WHOLE}}]}, "event.b", "DYN"),
        ({"properties": {"p": {"type": "object", "anyOf": [{"required": ["q"]}], **A}}}, "event.p.n", "INT"),
        ({"type": "object", "properties": {"p": {"oneOf": [TEXT, WHOLE]}}}, "event.p", "DYN"),
        # all at once
        ({"allOf": [A, {"properties": {"n": {"minimum": 1}}}]}, "event.n", "INT"),
        (
            {"allOf": [{"properties": {"p": {"type": ["string", "null"]}}}, {"properties": {"p": TEXT}}]},
            "event.p",
            "STRING",
        ),
        (
            {"allOf": [{"properties": {"p": {"type": ["string", "null"]}}}, {"properties": {"p": {"type": "null"}}}]},
            "event.p == null",
            "BOOL",
        ),
        ({"allOf": [{"properties": {"p": {"type": "number"}}}, {"properties": {"p": WHOLE}}]}, "event.p", "INT"),
        # in cases
        (
            {"properties": {"k": TEXT}, "if": {"properties": {"k": {"const": "x"}}}, "then": A},
            "event.k + event.a",
            "STRING",
        ),
        ({"properties": {"k": TEXT}, "dependentSchemas": {"k": A}}, "event.n", "DYN"),
        ({"properties": {"k": TEXT}, "dependencies": {"k": A, "a": ["z"]}}, "event.n == event.z", "BOOL"),
        ({"properties": {"p": A}, "then": {"properties": {"p": {"properties": {"more": TEXT}}}}}, "event.p.n", "INT"),
        (
            {"properties": {"p": A}, "then": {"properties": {"p": {"properties": {"more": TEXT}}}}},
            "event.p.more",
            "DYN",
        ),
        ({"properties": {"a": TEXT}, "not": {"properties": {"b": TEXT}}}, "event.b", "DYN"),
        ({"properties": {"a": TEXT}, "required": ["c"]}, "event.c", "DYN"),
        # properties and items
        ({"properties": {"a": TEXT}, "patternProperties": {"^x": WHOLE}}, "event.x1", "DYN"),
        ({"properties": {"a": TEXT}, "additionalProperties": WHOLE}, "event.other", "DYN"),
        ({"properties": {"l": {"type": "array", "prefixItems": [TEXT, WHOLE]}}}, "event.l[1]", "DYN"),
        ({"properties": {"l": {"type": "array", "prefixItems": [TEXT], "items": TEXT}}}, "event.l[1]", "STRING"),
        ({"properties": {"l": {"type": "array", "items": [TEXT, WHOLE]}}}, "event.l[1]", "DYN"),
        (
            {"properties": {"l": {"items": A, "type": "array", "contains": {"properties": {"z": TEXT}}}}},
            "event.l[0].z",
            "DYN",
        ),
        # values
        ({"properties": {"p": {"const": "x"}}}, "event.p", "STRING"),
        ({"properties": {"p": {"enum": ["x", None]}}}, "event.p == null || event.p == 'x'", "BOOL"),
        ({"properties": {"p": {"type": "string", "nullable": True}}}, "event.p == null", "BOOL"),
        ({"properties": {"p": True, "q": {}, "r": False}}, "[event.p, event.q, event.r]", "LIST<DYN>"),
        # names
        ({"properties": {'say "x"': WHOLE}}, 'event["say \\"x\\""]', "INT"),
        ({"properties": {"it's": WHOLE}}, r"event['it\'s'] + event['it\u0027s']", "INT"),
        ({"properties": {"a\nb\\": WHOLE}}, r'event["a\nb\\"]', "INT"),
    ],
)
def test_what_is_told_is_merged_where_that_is_exact_and_open_where_it_is_not(
    schema: dict[str, Any], source: str, type_: str
) -> None:
    found = returned(schema, source)
    assert found == type_


@pytest.mark.parametrize(
    ("schema", "source"),
    [
        ({"$ref": "#/$defs/a", "$defs": {"a": A}}, "event.x"),
        ({"oneOf": [A, B]}, "event.c"),
        ({"type": "object", "properties": {"p": {"oneOf": [A, {"type": "null"}]}}}, "event.p.x"),
        ({"allOf": [A, {"properties": {"x": TEXT}}]}, "event.y"),
        ({"properties": {"k": TEXT}, "then": {"properties": {"a": TEXT}}}, "event.b"),
        ({"properties": {"l": {"type": "array", "items": A}}}, "event.l[0].x"),
        ({"properties": {'say "x"': WHOLE}}, 'event["say \\"y\\""]'),
    ],
)
def test_a_misspelt_field_is_still_refused(schema: dict[str, Any], source: str) -> None:
    with pytest.raises(RuntimeError):
        returned(schema, source)


def test_up_to_draft_7_what_stands_beside_a_reference_counts_for_nothing_but_is_declared() -> None:
    schema = {"properties": {"p": {"$ref": "#/definitions/a", "type": "string", "properties": {"n": TEXT, "z": TEXT}}}}
    old = {"$schema": "http://json-schema.org/draft-07/schema#", "definitions": {"a": A}, **schema}
    assert returned(old, "event.p.n") == "INT"
    assert returned(old, "event.p.z") == "DYN"


def test_unions_of_several_events() -> None:
    one = {
        "type": "object",
        "properties": {"id": TEXT, "p": {"$ref": "#/$defs/x"}},
        "$defs": {"x": A},
        "required": ["p"],
    }
    two = {"type": "object", "properties": {"id": TEXT, "p": A, "q": TEXT}, "required": ["id", "p"]}
    both = common([one, two])
    assert json_types(both["properties"]["p"]["properties"]["n"]) == {"integer"}
    assert json_types(both["properties"]["q"]) == set()
    assert both["required"] == ["p"]
    assert not may_be_null(both["properties"]["p"])


@pytest.mark.parametrize("keyword", ["properties", "allOf", "anyOf", "oneOf"])
def test_schemas_that_lead_everywhere_are_read_in_bounded_time(keyword: str) -> None:
    names = [f"d{index}" for index in range(40)]
    parts = [{"$ref": f"#/$defs/{name}"} for name in names]
    inside = {keyword: dict(zip(names, parts, strict=True)) if keyword == "properties" else parts}
    definitions = {name: {"type": "object", **inside, "required": [name]} for name in names}
    schema = {"$ref": "#/$defs/d0", "$defs": definitions}
    other = {"$ref": "#/$defs/d1", "$defs": {**definitions, "z": {}}}
    began = time.process_time()
    common([schema, other])
    _, types = typed_environment({"event": schema})
    assert time.process_time() - began < 5
    assert len(types.properties) < 3000


def test_doubling_schemas_are_read_in_bounded_time() -> None:
    """Each level has the next one twice, so that it is a tree of 2^40 schemas written in 40 lines."""

    def levels(leaf: dict[str, Any]) -> dict[str, Any]:
        definitions = {
            f"d{n}": {"type": "object", "properties": {k: {"$ref": f"#/$defs/d{n + 1}"} for k in "ab"}}
            for n in range(40)
        }
        return {"$ref": "#/$defs/d0", "$defs": {**definitions, "d40": leaf}}

    began = time.process_time()
    assert common([levels(TEXT), levels(WHOLE)])
    assert returned(levels(TEXT), "event.a.b.a") != "DYN"
    assert time.process_time() - began < 2


def test_deep_and_odd_schemas_are_open() -> None:
    deep: dict[str, Any] = {"type": "string"}
    for _ in range(500):
        deep = {"type": "object", "properties": {"p": deep}}
    assert shape_of(deep)["properties"]["p"]
    odd: dict[str, Any]
    for odd in (
        {"properties": 1, "allOf": 2, "$ref": 3, "type": 4, "required": 5, "items": 6, "enum": 7},
        {"type": [[]]},
    ):
        assert shape_of(odd) is not None
