from __future__ import annotations

from typing import Any

import pytest

from streamflow.definition.schema_shape import shape_of
from streamflow.definition.schema_types import common, json_types, typed_environment, with_fields

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "id": {"type": "string"},
        "amount": {"type": "number"},
        "count": {"type": "integer"},
        "maybe": {"type": ["integer", "null"]},
        "at": {"type": "string", "format": "date-time"},
        "state": {"enum": ["new", "paid"]},
        "open": {"anyOf": [{"type": "string"}, {"type": "integer"}]},
        "bag": {"type": "object"},
        "order-id": {"type": "string"},
        "in": {"type": "integer"},
        "a_b": {"type": "string"},
        "aB": {"type": "integer"},
        "tags": {"type": "array", "items": {"type": "string"}},
        "grid": {"type": "array", "items": {"type": "array", "items": {"type": "integer"}}},
        "tree": {"$ref": "#/$defs/tree"},
        "both": {"allOf": [{"$ref": "#/$defs/named"}, {"properties": {"size": {"type": "integer"}}}]},
    },
    "$defs": {
        "tree": {
            "type": "object",
            "properties": {
                "name": {"type": "string"},
                "left": {"$ref": "#/$defs/tree"},
                "right": {"$ref": "#/$defs/tree"},
            },
        },
        "named": {"type": "object", "properties": {"name": {"type": "string"}}},
    },
}
ENVIRONMENT, TYPES = typed_environment({"event": SCHEMA, "now": {}})


@pytest.mark.parametrize(
    ("source", "returned"),
    [
        ("event.amount > 10 && event.amount > 10.5", "BOOL"),
        ("event.count + 1", "INT"),
        ("event.maybe == null ? 0 : event.maybe + 1", "INT"),
        ("event.at", "STRING"),
        ("event.state == 'new'", "BOOL"),
        ("event.open", "DYN"),
        ("event.bag.whatever.deep", "DYN"),
        ("event['order-id']", "STRING"),
        ("event.`order-id`", "STRING"),
        ("event[?'order-id'].orValue('')", "STRING"),
        ("event['in'] + event['count']", "INT"),
        ("event.a_b", "STRING"),
        ("event.aB", "INT"),
        ("event.tags.map(t, t + 'x')", "LIST<STRING>"),
        ("event.grid[0]", "LIST<DYN>"),
        ("event.tree.left", "DYN"),
        ("event.both.name + string(event.both.size)", "STRING"),
        ("has(event.id)", "BOOL"),
        ("now + duration('1h')", "TIMESTAMP"),
        ("'order-id' in ['order-id']", "BOOL"),
    ],
)
def test_fields_have_the_types_of_their_schema(source: str, returned: str) -> None:
    assert ENVIRONMENT.compile(with_fields(source)).return_type().name() == returned


@pytest.mark.parametrize(
    "source",
    [
        "event.amout",
        "event['amout']",
        "has(event.idd)",
        "event.both.nam",
        "event.id > 1",
        "event.count == 'a'",
        "event.count > 1.5",
        "event['order-idd']",
        "event.id == null",
    ],
)
def test_what_does_not_fit_the_schema_is_refused(source: str) -> None:
    with pytest.raises(RuntimeError):
        ENVIRONMENT.compile(with_fields(source))


def test_only_indexes_are_rewritten_and_places_stay() -> None:
    source = """event["count"] + "x[\\"a\\"]" in ["a"] ? r"\\" : a[ 'b' ] // ["c"]"""
    assert with_fields(source) == """event.count    + "x[\\"a\\"]" in ["a"] ? r"\\" : a.b      // ["c"]"""


def test_what_holds_for_several_events_is_typed_and_the_rest_is_open() -> None:
    merged = common(
        [
            SCHEMA,
            {
                "type": "object",
                "properties": {"id": {"type": "string"}, "amount": {"type": "string"}, "extra": {"type": "integer"}},
            },
        ]
    )
    assert json_types(merged["properties"]["id"]) == {"string"}
    assert json_types(merged["properties"]["amount"]) == {"number", "string"}
    assert json_types(merged["properties"]["extra"]) == set()
    assert common([SCHEMA, {}]) == {}
    assert common([SCHEMA]) == shape_of(SCHEMA)


@pytest.mark.parametrize(
    ("schema", "source"),
    [
        ({"$ref": "#/$defs/a", "properties": {"more": {"type": "string"}}}, "event.id + event.more"),
        ({"$ref": "#/$defs/a", "required": ["id"], "description": "an a"}, "event.id"),
        (
            {
                "type": "object",
                "properties": {"kind": {"type": "string"}},
                "if": {"properties": {"kind": {"const": "card"}}},
                "then": {"properties": {"card": {"type": "string"}}},
                "else": {"$ref": "#/$defs/a"},
            },
            "event.kind + event.card + event.id",
        ),
        (
            {
                "type": "object",
                "properties": {"a": {"type": "string"}},
                "dependentSchemas": {"a": {"properties": {"b": {"type": "string"}}}},
            },
            "event.a + event.b",
        ),
        (
            {
                "type": "object",
                "properties": {"a": {"type": "string"}},
                "patternProperties": {"^x_": {"type": "string"}},
            },
            "event.a + event.x_1",
        ),
        (
            {"type": "object", "properties": {"a": {"type": "string"}}, "additionalProperties": {"type": "integer"}},
            "event.other + 1",
        ),
        (
            {
                "type": "object",
                "properties": {
                    "l": {"type": "array", "prefixItems": [{"type": "string"}, {"type": "integer"}], "items": False}
                },
            },
            "event.l[1] + 1",
        ),
        (
            {
                "type": "object",
                "properties": {
                    "l": {"type": "array", "prefixItems": [{"type": "string"}], "items": {"type": "integer"}}
                },
            },
            "event.l[0] + 'x'",
        ),
    ],
)
def test_what_a_schema_declares_anywhere_is_declared(schema: dict[str, Any], source: str) -> None:
    definitions = {"$defs": {"a": {"type": "object", "properties": {"id": {"type": "string"}}}}}
    environment, _ = typed_environment({"event": {**schema, **definitions}})
    environment.compile(with_fields(source))
    if "additionalProperties" not in schema and "patternProperties" not in schema:
        with pytest.raises(RuntimeError):
            environment.compile(with_fields(source + " == event.misspelt"))


def test_references_that_lead_nowhere_or_round_in_a_circle_say_nothing() -> None:
    for reference in ("#/$defs/gone", "http://example.org/schema", "#", "#gone", "other.json#/a", "http://[", "#/%zz"):
        shape = shape_of({"$ref": reference})
        assert json_types(shape) == set()
        assert shape.get("open")
    assert shape_of(True) == {}


def test_a_wide_recursive_schema_is_typed_in_bounded_time() -> None:
    names = [f"d{index}" for index in range(30)]
    definitions = {
        name: {"type": "object", "properties": {other: {"$ref": f"#/$defs/{other}"} for other in names}}
        for name in names
    }
    _, types = typed_environment({"event": {"$ref": "#/$defs/d0", "$defs": definitions}})
    assert len(types.properties) < 3000


@pytest.mark.parametrize(
    ("schema", "types"),
    [
        ({"type": "string"}, {"string"}),
        ({"type": ["string", "null"]}, {"string", "null"}),
        ({"const": 1}, {"integer"}),
        ({"enum": ["a", None, 1.5, True]}, {"string", "null", "number", "boolean"}),
        ({"properties": {}}, {"object"}),
        ({"oneOf": [{"type": "string"}]}, {"string"}),
        ({}, set()),
    ],
)
def test_the_types_that_a_schema_allows(schema: dict[str, Any], types: set[str]) -> None:
    assert json_types(schema) == types
