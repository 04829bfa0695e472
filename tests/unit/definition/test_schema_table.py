"""The places and words that are found by asking which parts fit: those of the engine, also where it has no end."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import jsonschema_rs
import pytest

from streamflow.definition.json_pointer import pointer
from streamflow.definition.schema_faults import MASK, FoundFaults, schema_faults
from streamflow.definition.validation import Validator, compiled
from tests.unit.definition import hard_values

OLD = {"$schema": "http://json-schema.org/draft-04/schema#"}
SEVENTH = {"$schema": "http://json-schema.org/draft-07/schema#"}
OF_2019 = {"$schema": "https://json-schema.org/draft/2019-09/schema"}
TEXT = {"type": "string"}
LINE = {"required": ["sku"], "properties": {"sku": TEXT, "n": {"minimum": 1}}}
PARTY = {
    "$id": "party",
    "$anchor": "it",
    "$defs": {"name": {"maxLength": 3}},
    "properties": {"name": {"$ref": "#/$defs/name"}},
}
DOCUMENT = {
    "$id": "https://a.example/order",
    "type": "object",
    "properties": {
        "lines": {"type": "array", "items": {"$ref": "#/components/schemas/line"}, "minItems": 1, "uniqueItems": True},
        "buyer": {"$ref": "party"},
        "seller": {"$ref": "party#it"},
        "parent": {"$ref": "#"},
    },
    "components": {"schemas": {"line": LINE}},
    "$defs": {"party": PARTY},
}
MERGED = {"allOf": [{"properties": {"a": {}}}], "anyOf": [{"properties": {"b": TEXT}}]}
RECURSIVE = {"$recursiveAnchor": True, "properties": {"a": {"$recursiveRef": "#"}, "b": TEXT}}


@pytest.fixture(scope="module")
def hard() -> dict[str, tuple[str, str]]:
    """(place, text) of each hard value, from a process whose memory is bounded."""
    ran = subprocess.run([sys.executable, hard_values.__file__], capture_output=True, timeout=300, check=False)
    assert ran.returncode == 0, ran.stderr.decode()[-2000:]
    return {name: tuple(told) for name, told in json.loads(ran.stdout).items()}


def test_what_is_told_of_a_value_is_bounded_in_time_and_memory(hard: dict[str, tuple[str, str]]) -> None:
    assert hard.keys() == hard_values.cases().keys()
    for name, (place, text) in hard.items():
        assert place is not None, name
        assert 0 < len(text) < 2000, name


@pytest.mark.parametrize(
    ("name", "place", "text"),
    [
        ("rules", "/rule", "/rule: the value is not valid under any of the schemas listed in the 'oneOf' keyword"),
        ("many rules", "/rule", "/rule: the value is not valid under any of the schemas listed in the 'oneOf' keyword"),
        ("oneOf [5]", "", "the value is not valid under any of the schemas listed in the 'oneOf' keyword"),
        ("unevaluated 5", "", "the value is not valid under any of the schemas listed in the 'anyOf' keyword"),
        ("allOf 5", "/a" * 64, "/a" * 64 + ': the value is not of type "object" but a number'),
        ("dependentSchemas 5", "/a" * 64, "/a" * 64 + ': the value is not of type "object" but a number'),
        ("patterns 5", "/a" * 64, "/a" * 64 + ': the value is not of type "object" but a number'),
        ("twice", "", 'the value is not of type "string" but a number'),
        ("last item", "/300000", '/300000: the value is not of type "string" but a number'),
        ("unevaluated items", "", "Unevaluated items are not allowed (300000 items)"),
    ],
)
def test_the_place_is_found_however_deep_or_long_a_value_is(
    hard: dict[str, tuple[str, str]], name: str, place: str, text: str
) -> None:
    assert hard[name] == (place[:200], text)


@pytest.mark.parametrize(
    ("schema", "values"),
    [
        (DOCUMENT, [{"lines": []}, {"lines": [{"sku": 1, "n": 0}, {}]}, {"lines": [{"sku": "a"}] * 2}, 5]),
        (DOCUMENT, [{"buyer": {"name": "long"}, "seller": {"name": "long"}, "parent": {"lines": 1}}]),
        ({"properties": {"a": TEXT}, "patternProperties": {"^a": {"maxLength": 2}, "b$": False}}, [{"a": 1, "ab": 2}]),
        ({"properties": {"a": TEXT}, "additionalProperties": TEXT}, [{"a": 1, "b": 2}]),
        ({"properties": {"a": TEXT}, "additionalProperties": False}, [{"a": 1, "b": 2, "c": 3}]),
        ({"additionalProperties": False, "minProperties": 2}, [{"b": 2}]),
        ({"propertyNames": {"pattern": "^a", "maxLength": 1}, "maxProperties": 1}, [{"bb": 1, "ab": 2}]),
        ({"prefixItems": [TEXT, {"minimum": 5}], "items": TEXT}, [[1, 2, 3, "x"]]),
        ({"prefixItems": [TEXT], "items": False}, [["a", 2, 3]]),
        ({"contains": TEXT, "minContains": 2, "maxContains": 3, "items": {"maxLength": 1}}, [["aa"], list("abcd"), []]),
        ({"if": {"required": ["a"]}, "then": {"required": ["b"]}, "else": {"required": ["c"]}}, [{"a": 1}, {"b": 1}]),
        ({"if": TEXT, "then": False}, ["a"]),
        ({"dependentSchemas": {"a": {"required": ["b"]}}, "dependentRequired": {"a": ["c", "d"]}}, [{"a": 1, "c": 2}]),
        ({"allOf": [TEXT, {"minLength": 2}], "anyOf": [TEXT, {"minimum": 2}], "oneOf": [{}, {"not": {}}, {}]}, [1]),
        ({"oneOf": [{"minimum": 2}, {"minimum": 3}]}, [1, 4]),
        ({"not": {"required": ["b"], "properties": {"a": TEXT}}}, [{"b": 1}]),
        ({"enum": [1, "a"], "const": 1, "format": "date", "multipleOf": 2}, ["b", 5]),
        ({"type": ["object", "null"], "nullable": True, "required": ["a", "b"]}, [{}, 1]),
        ({"type": "integer", "nullable": True, "enum": [1]}, ["a"]),
        ({"properties": {"a": TEXT}, "unevaluatedProperties": False}, [{"a": 1, "b": 2}]),
        (MERGED | {"unevaluatedProperties": False}, [{"a": 1, "b": "", "c": 2}]),
        ({"prefixItems": [{}], "contains": TEXT, "unevaluatedItems": {"type": "null"}}, [[1, "a", 2]]),
        ({"$ref": "#/$defs/a", "minimum": 2, "$defs": {"a": {"maximum": 0}}}, [1]),
        (SEVENTH | {"$ref": "#/definitions/a", "minimum": 2, "definitions": {"a": {"maximum": 0}}}, [1]),
        (SEVENTH | {"items": [TEXT], "additionalItems": False, "minItems": 4}, [[1, 2, 3]]),
        (SEVENTH | {"items": [TEXT], "additionalItems": {"minimum": 3}}, [[1, 2, 3]]),
        (SEVENTH | {"dependencies": {"a": ["b", "c"], "d": {"required": ["e"]}}}, [{"a": 1, "d": 2}]),
        (SEVENTH | {"definitions": {"a": {"$id": "#a", "type": "string"}}, "items": {"$ref": "#a"}}, [[1]]),
        (OLD | {"minimum": 1, "exclusiveMinimum": True, "if": {}, "then": {"maximum": 0}, "id": "x"}, [1]),
        (OLD | {"properties": {"a": TEXT, "id": TEXT}, "additionalProperties": False}, [{"a": 1, "b": 1, "id": 1}]),
        (OF_2019 | RECURSIVE, [{"a": {"a": {"b": 1}}, "b": 2}]),
        ({"$dynamicAnchor": "n", "properties": {"a": {"$dynamicRef": "#n"}, "b": TEXT}}, [{"a": {"b": 1}}]),
    ],
    ids=lambda one: json.dumps(one)[:60],
)  # fmt: skip
@pytest.mark.parametrize("mask", [MASK, None])
def test_places_and_words_are_those_of_the_engine(schema: dict[str, Any], values: list[Any], mask: str | None) -> None:
    validator = compiled(schema, masked=mask is not None)
    engine = jsonschema_rs.validator_for(validator.schema, validate_formats=True, mask=mask)
    for value in values:
        errors = {(pointer(error.instance_path), str(error.message)) for error in engine.iter_errors(value)}
        assert errors
        assert validator.table is not None
        found = FoundFaults(validator.table, value)
        assert found.is_whole
        assert {(place, words.split(" but ")[0]) for place, words in found.faults} == errors


def test_where_a_reference_depends_on_the_way_to_it_all_that_is_told_is_that_the_value_does_not_fit() -> None:
    generic = {"$id": "list", "items": {"$dynamicRef": "#item"}, "$defs": {"any": {"$dynamicAnchor": "item"}}}
    schema = {
        "$id": "https://a.example/",
        "$ref": "list",
        "$defs": {"t": TEXT | {"$dynamicAnchor": "item"}, "l": generic},
    }
    validator = compiled(schema, masked=True)
    assert validator.is_valid(["a"])
    assert validator.table is None
    assert schema_faults(validator, ["a", 1]) == "something in it does not fit"
    assert Validator(schema).fault(["a", 1]) == ""
