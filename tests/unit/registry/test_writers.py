"""Payloads as they are written with a schema: read back they are the same, and nothing is dropped or rounded."""

from __future__ import annotations

import json
from typing import Any

import pytest

from streamflow.definition.catalog import Binding, BoundSchema
from streamflow.errors import OperationError
from streamflow.registry.event_writers import EventWriters
from streamflow.registry.readers import payload_reader
from streamflow.registry.registered import RegisteredSchema
from streamflow.registry.writers import payload_writer
from streamflow.wire.codec import DecodeError
from tests.unit.registry.test_avro import ORDER, TREE
from tests.unit.registry.test_protobuf import SCHEMA as PROTOBUF

DATA = {
    "id": "o-1",
    "count": 3,
    "total": 12,
    "state": "PAID",
    "lines": [1, 2.0],
    "labels": {"b": True, "a": False},
    "raw": "AP8=",
    "price": "12.50",
    "at": "2026-11-29T09:30:00.25+01:00",
    "day": "2026-11-29",
    "clock": "08:30:01",
    "token": "6e0a0ec4-5d3c-4c7b-8c70-2b1ecb9c7d10",
}


def bound(schema: Any, type: Any = "AVRO", **fields: Any) -> BoundSchema:
    text = schema if isinstance(schema, str) and type == "PROTOBUF" else json.dumps(schema)
    return BoundSchema(subject="s-value", version=1, id=7, type=type, text=text, **fields)


def there_and_back(schema: BoundSchema, data: Any) -> Any:
    value = payload_writer(schema)(json.dumps(data).encode())
    assert value == payload_writer(schema)(json.dumps(data).encode())
    registered = RegisteredSchema(id=7, type=schema.type, text=schema.text, references=schema.references)
    return payload_reader(registered).read(value)


def why(schema: BoundSchema, data: Any) -> str:
    with pytest.raises(DecodeError) as caught:
        payload_writer(schema)(json.dumps(data).encode())
    assert caught.value.code == "schema_encode_failed"
    return str(caught.value.facts["why"])


def test_a_record_of_avro_is_read_back() -> None:
    assert there_and_back(bound(ORDER), DATA) == DATA | {
        "note": None,
        "total": 12.0,
        "lines": [1, 2],
        "at": "2026-11-29T08:30:00.250000Z",
    }


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"id": 5}, "at /id there should be a value of the type string"),
        ({"count": 2**31}, "at /count"),
        ({"count": 1.5}, "at /count"),
        ({"count": True}, "at /count"),
        ({"state": "secret"}, "at /state there should be one of 2 symbols"),
        ({"lines": [1, "secret"]}, "at /lines/1"),
        ({"price": "1.234"}, "at /price there should be a decimal of 10 digits"),
        ({"price": "123456789012"}, "at /price"),
        ({"at": "2026-11-29T09:30:00"}, "at /at there should be a time with its offset"),
        ({"day": "secret"}, "at /day"),
        ({"raw": "secret!"}, "at /raw there should be bytes in base64"),
        ({"token": "secret"}, "at /token"),
        ({"surplus": 1}, "has no field surplus"),
        ({"note": 5}, "at /note"),
    ],
)
def test_what_the_schema_has_no_place_for_is_refused_without_its_content(changes: dict[str, Any], said: str) -> None:
    told = why(bound(ORDER), DATA | changes)
    assert said in told
    assert "secret" not in told


def test_a_field_without_a_default_has_to_be_there() -> None:
    assert "the field id is missing" in why(bound(ORDER), {name: one for name, one in DATA.items() if name != "id"})
    assert why(bound(ORDER), [1]) == "at / there should be an object"


def test_a_union_takes_the_first_branch_that_fits() -> None:
    one = {"type": "record", "name": "One", "fields": [{"name": "a", "type": "int"}]}
    two = {"type": "record", "name": "Two", "fields": [{"name": "a", "type": "string"}]}
    schema = bound(["null", one, two, {"type": "map", "values": "int"}, "double"])
    for data in (None, {"a": 1}, {"a": "x"}, {"b": 3}, 1.5):
        assert there_and_back(schema, data) == data
    assert "one of 5 types" in why(schema, "text")
    assert there_and_back(bound(TREE), {"child": {"child": None}}) == {"child": {"child": None}}


def test_a_message_of_protobuf_is_read_back() -> None:
    schema = bound(PROTOBUF.text, "PROTOBUF", references=dict(PROTOBUF.references), message="shop.Order")
    data = {"order_id": "o-1", "amount": 2**60, "state": "PAID", "at": "2026-11-29T08:30:00Z", "labels": {"x": 1}}

    assert there_and_back(schema, data).items() >= data.items()
    assert "secret" not in why(schema, {"state": "secret"})
    assert "secret" not in why(schema, {"order_id": {"secret": "secret"}})
    assert why(schema, {"surplus": 1})


def test_a_document_of_json_satisfies_its_schema() -> None:
    schema = bound({"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}, "JSON")

    assert there_and_back(schema, {"n": 5}) == {"n": 5}
    assert "secret" not in why(schema, {"n": "secret"})


@pytest.mark.parametrize(
    "schema",
    [
        bound({"type": "nothing"}),
        bound(5, "JSON"),
        bound("not base64", "PROTOBUF"),
        bound(PROTOBUF.text, "PROTOBUF", references=dict(PROTOBUF.references), message="Missing"),
    ],
)
def test_a_schema_that_cannot_be_used_says_so(schema: BoundSchema) -> None:
    with pytest.raises(OperationError) as caught:
        payload_writer(schema)
    assert caught.value.code == "schema_unusable"


def test_a_writer_is_made_once_for_each_binding() -> None:
    writers = EventWriters()
    binding = Binding(topics=["t"], written=bound("string", uri="http://registry/schemas/ids/7"))

    first = writers.of("placed", binding)
    assert first is not None
    assert writers.of("placed", binding.model_copy()) is first
    assert first.headers == (("content-type", "application/avro"), ("ce_dataschema", "http://registry/schemas/ids/7"))
    assert writers.of("placed", Binding(topics=["t"])) is None
    assert writers.of("placed", None) is None
    assert writers.of("placed", Binding(topics=["t"], written=bound("bytes"))) is not first
