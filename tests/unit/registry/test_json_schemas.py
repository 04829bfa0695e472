"""Registered schemas as JSON Schemas: what is read by them is what they describe; and catalogs drafted from them."""

from __future__ import annotations

import json
from typing import Any

import jsonschema_rs
import pytest
from ruamel.yaml import YAML

from streamflow.definition.catalog import CatalogFile
from streamflow.errors import OperationError
from streamflow.importing.subjects import subject_catalog, topic_of
from streamflow.registry.avro import AvroSchema, avro_reader
from streamflow.registry.json_schemas import described
from streamflow.registry.protobuf import ProtobufSchema, protobuf_reader
from streamflow.registry.registered import RegisteredSchema
from tests.unit.registry.test_avro import DATA, ORDER, TREE, framed, schema
from tests.unit.registry.test_protobuf import SCHEMA as PROTOBUF
from tests.unit.registry.test_protobuf import written


def registered(subject: str, definition: Any, type: Any = "AVRO") -> RegisteredSchema:
    return RegisteredSchema(id=7, type=type, text=json.dumps(definition), subject=subject, version=1)


def test_what_is_read_by_avro_is_what_is_described() -> None:
    name, found = described(schema(ORDER))
    data = avro_reader(AvroSchema(schema(ORDER)))(framed(ORDER, DATA))

    jsonschema_rs.validate(found, data)
    assert name == "shop.Order"
    assert found["properties"]["note"] == {"type": ["string", "null"]}
    assert "note" not in found["required"]
    for field, wrong in (("id", 5), ("state", "LOST"), ("at", 5), ("lines", ["a"]), ("labels", {"a": 1})):
        assert not jsonschema_rs.is_valid(found, data | {field: wrong}), field


def test_a_type_within_itself_and_one_that_is_named_twice_are_referred_to() -> None:
    _, tree = described(schema(TREE))
    jsonschema_rs.validate(tree, {"child": {"child": None}})
    assert not jsonschema_rs.is_valid(tree, {"child": {"child": 5}})

    line = {"type": "record", "name": "Line", "fields": [{"name": "sku", "type": "string"}]}
    twice = {
        "type": "record",
        "name": "Two",
        "fields": [{"name": "a", "type": line}, {"name": "b", "type": ["Line", "int"]}],
    }
    _, found = described(schema(twice))
    jsonschema_rs.validate(found, {"a": {"sku": "x"}, "b": {"sku": "y"}})
    assert not jsonschema_rs.is_valid(found, {"a": {"sku": "x"}, "b": {"sku": 5}})


def test_what_is_read_by_protobuf_is_what_is_described() -> None:
    name, found = described(PROTOBUF, "shop.Order")
    data = protobuf_reader(ProtobufSchema(PROTOBUF))(
        written(order_id="o-1", lines=[{"sku": "a"}], labels={"x": 1}, most=5)
    )

    jsonschema_rs.validate(found, data)
    assert name == "shop.Order"
    for field, wrong in (("order_id", 5), ("amount", "5"), ("state", "LOST"), ("lines", [{"sku": 5}]), ("at", 5)):
        assert not jsonschema_rs.is_valid(found, data | {field: wrong}), field
    _, inner = described(PROTOBUF, "Order.Inner")
    jsonschema_rs.validate(inner, {"deep": {"deep": {}}})
    assert not jsonschema_rs.is_valid(inner, {"deep": {"deep": 5}})


def test_what_cannot_be_described_says_so() -> None:
    for one in (registered("a", {"type": "nothing"}), registered("a", 5, "JSON")):
        with pytest.raises(OperationError) as caught:
            described(one)
        assert caught.value.code == "schema_unusable"


def test_a_catalog_is_drafted_from_subjects() -> None:
    json_schema = {
        "title": "Paid",
        "type": "object",
        "properties": {"type": {"const": "paid"}, "event_id": {"type": "string"}},
        "required": ["type", "event_id"],
    }
    found = subject_catalog(
        [
            registered("orders-value", ORDER),
            registered("orders-key", "string"),
            registered("payments-value", json_schema, "JSON"),
            registered("shop.Order", ORDER),
            registered("broken-value", {"type": "nothing"}),
            registered("copies-value", ORDER),
        ],
        emits=True,
    )

    catalog = CatalogFile.model_validate(YAML(typ="safe").load(found.text())).complete()
    events = {event.name: event for event in catalog.events}
    assert {name: event.topics for name, event in events.items()} == {
        "shop.Order": ["orders"],
        "Paid": ["payments"],
    }
    assert events["shop.Order"].registry is not None
    assert events["shop.Order"].registry.subject == "orders-value"
    assert events["shop.Order"].match is not None
    assert events["shop.Order"].match.header == "streamflow.schema"
    assert events["shop.Order"].match.equals == "shop.Order"
    assert [one.file for one in found.skipped] == ["orders-key", "shop.Order", "broken-value", "copies-value"]
    assert topic_of("orders-value") == "orders"
    assert topic_of("shop.Order") is None
    assert subject_catalog([registered("shop.Order", ORDER)], topic="orders", emits=False).events[0]["topics"] == [
        "orders"
    ]
