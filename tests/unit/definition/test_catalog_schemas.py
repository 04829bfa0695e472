from __future__ import annotations

import json
import time
from typing import Any

import pytest

from streamflow.definition.catalog import Catalog
from streamflow.definition.json_schema import json_types
from streamflow.definition.schema_shape import shape_of
from streamflow.definition.syntax import parse_catalog
from streamflow.definition.validation import Validator, schema_fault
from streamflow.errors import DefinitionError

OLD = {"$schema": "http://json-schema.org/draft-07/schema#"}


def catalog(schema: dict[str, Any], shared: dict[str, Any]) -> Catalog:
    event = {"name": "order.placed", "topics": ["orders"], "schema": schema}
    operation = {"name": "ship.order", "input": schema, "output": schema}
    return parse_catalog(json.dumps({"events": [event], "operations": [operation], "schemas": shared}))


SHARED = {
    "address": {"type": "object", "properties": {"city": {"type": "string"}, "country": {"$ref": "#/schemas/country"}}},
    "country": {"type": "object", "properties": {"code": {"type": "string"}, "of": {"$ref": "#/schemas/address"}}},
    "unused": {"type": "integer"},
}


@pytest.mark.parametrize(
    "schema",
    [
        {"properties": {"to": {"$ref": "#/schemas/address"}}},
        {"properties": {"to": {"$ref": "#/schemas/address"}}, "$defs": {"address": {"type": "string"}}},
        {"properties": {"to": {"$ref": "#/$defs/address"}}, "$defs": {"address": {"$ref": "#/schemas/address"}}},
        {**OLD, "properties": {"to": {"$ref": "#/schemas/address"}}, "definitions": {"country": {}}},
        {**OLD, "properties": {"to": {"allOf": [{"$ref": "#/schemas/address"}]}}},
    ],
)
def test_a_schema_is_completed_with_the_shared_schemas_that_it_names(schema: dict[str, Any]) -> None:
    found = catalog(schema, SHARED)
    operation = found.operations[0]
    for complete in (found.events[0].schema_, operation.input, operation.output):
        assert schema_fault(complete) is None
        assert Validator(complete).fault({"to": {"city": "a", "country": {"code": 1}}}) == "/to/country/code"
        assert "unused" not in json.dumps(complete)
        code = shape_of(complete)["properties"]["to"]["properties"]["country"]["properties"]["code"]
        assert json_types(code) == {"string"}
    assert "schemas" not in found.model_dump(exclude_defaults=True)


def test_a_part_of_a_shared_schema_may_be_named() -> None:
    found = catalog({"$ref": "#/schemas/address/properties/city"}, SHARED)
    assert json_types(found.events[0].schema_) == {"string"}


def test_a_shared_schema_that_is_not_there_is_a_fault_of_the_schema_that_names_it() -> None:
    found = catalog({"$ref": "#/schemas/gone"}, SHARED)
    assert "'/schemas/gone', which is not there" in str(schema_fault(found.events[0].schema_))


def test_schemas_without_shared_ones_are_left_as_they_are() -> None:
    schema = {"type": "object", "properties": {"schemas": {"const": {"$ref": "#/schemas/address"}}}}
    assert catalog(schema, SHARED).events[0].schema_ == schema


@pytest.mark.parametrize(
    "text",
    [
        '{"events": [], "events": []}',
        '{"events": [{"name": "a", "topics": ["t"], "schema": {"const": 1e999}}]}',
        '{"events": [}',
        '{"events": ' + "[" * 50,
    ],
)
def test_faults_of_json_are_told_as_those_of_yaml(text: str) -> None:
    with pytest.raises(DefinitionError):
        parse_catalog(text)


def test_a_large_catalog_in_json_is_read_in_a_moment() -> None:
    part = {"type": "object", "properties": {f"p{n}": {"type": "string"} for n in range(100)}}
    shared = {f"s{n}": part for n in range(100)}
    events = [
        {
            "name": f"e{n}",
            "topics": ["t"],
            "schema": {"properties": {f"x{m}": {"$ref": f"#/schemas/s{m}"} for m in range(20)}},
        }
        for n in range(200)
    ]
    text = json.dumps({"events": events, "schemas": shared})
    began = time.process_time()
    assert len(parse_catalog(text).events) == 200
    assert time.process_time() - began < 3
