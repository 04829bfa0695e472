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


LOGICAL = {"bytes": ("decimal",), "int": ("date", "time-millis"), "string": ("uuid",)}


def logical(name: str, **more: Any) -> Any:
    kind = next((kind for kind, names in LOGICAL.items() if name in names), "long")
    return {"type": kind, "logicalType": name, **more}


LONG = "-12345678901234567890123456789012345.12"
CENTS = logical("decimal", precision=8, scale=2)


@pytest.mark.parametrize(
    ("kind", "data", "read"),
    [
        ("double", 2**53, 2.0**53),
        ("float", 0.5, 0.5),
        ("float", 2**24, 2.0**24),
        ("float", 0.1, 0.10000000149011612),  # a fraction is rounded, which is what the type is for
        (["null", "double", "long"], 2**53 + 1, 2**53 + 1),
        (["null", "float", "double"], 0.1, 0.1),
        (["float", "long"], 2**24 + 1, 2**24 + 1),
        (["double", "string"], "1_0", "1_0"),
        (["null", logical("timestamp-millis"), "string"], "2026-01-01T00:00:00.0001Z", "2026-01-01T00:00:00.0001Z"),
        (["null", logical("timestamp-millis"), "string"], "2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z"),
        (["null", {"type": "array", "items": "long"}, {"type": "map", "values": "int"}], {"a": 1}, {"a": 1}),
        (["null", {"type": "fixed", "name": "F", "size": 3}, "string"], "abcd", "abcd"),
        (["null", "string", {"type": "enum", "name": "E", "symbols": ["a"]}], "a", "a"),
        (logical("timestamp-millis"), "2026-01-01t00:00:00.123000+02:00", "2025-12-31T22:00:00.123000Z"),
        (logical("timestamp-micros"), "2026-01-01T00:00:00.123456000Z", "2026-01-01T00:00:00.123456Z"),
        (logical("local-timestamp-millis"), "2026-01-01T10:00:00.5", "2026-01-01T10:00:00.500000"),
        (logical("time-millis"), "10:00", "10:00:00"),
        (CENTS, "-12.5", "-12.50"),
        (CENTS, 1e3, "1000.00"),
        (CENTS, "-0.00", "0.00"),
        (CENTS | {"type": "fixed", "name": "D", "size": 4}, "-0.00", "0.00"),
        (CENTS | {"precision": 40}, LONG, LONG),
        (logical("uuid"), "6E0A0EC4-5D3C-4C7B-8C70-2B1ECB9C7D10", "6e0a0ec4-5d3c-4c7b-8c70-2b1ecb9c7d10"),
    ],
)  # fmt: skip
def test_what_a_type_holds_is_written_with_the_branch_that_holds_it(kind: Any, data: Any, read: Any) -> None:
    found = there_and_back(field(kind), {"f": data})["f"]
    assert found == read
    assert type(found) is type(read)


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("double", 2**53 + 1),
        ("double", 10**400),
        ("float", 1e300),
        ("float", 2**24 + 1),
        ("float", float(2**24 + 1)),
        (["null", "double", "float"], 2**53 + 1),
        (["null", "double"], 10**400),
        (logical("timestamp-millis"), "2026-01-01T00:00:00.1234Z"),
        (logical("timestamp-micros"), "2026-01-01T00:00:00.123456789Z"),
        (logical("timestamp-millis"), "20260101T000000Z"),
        (logical("timestamp-millis"), "2026-01-01T00:00:00,5Z"),
        (logical("timestamp-millis"), "0001-01-01T00:00:00+14:00"),
        (logical("local-timestamp-millis"), "2026-01-01T10:00:00+02:00"),
        (logical("local-timestamp-micros"), "2026-01-01T10:00:00Z"),
        (logical("local-timestamp-micros"), "2026-01-01T10:00:00.1234567"),
        (logical("time-millis"), "10:00:00+02:00"),
        (logical("time-millis"), "10:00:00.1234"),
        (logical("time-micros"), "10:00:00.1234567"),
        (logical("date"), "2026-W01-1"),
        (logical("date"), "20260101"),
        (CENTS, "1_0"),
        (CENTS, "\u0663"),
        (CENTS, " 1"),
        (CENTS, "NaN"),
        (CENTS, [0, [1], 0]),
        (CENTS, "1e999999999"),
        ("bytes", "QR=="),  # which would be QQ== when it is read
        ("bytes", "ab!d"),
        ("bytes", "YQ"),
        (logical("uuid"), "{6e0a0ec4-5d3c-4c7b-8c70-2b1ecb9c7d10}"),
        (logical("uuid"), "6e0a0ec45d3c4c7b8c702b1ecb9c7d10"),
    ],
)
def test_what_a_type_does_not_hold_is_refused(kind: Any, data: Any) -> None:
    assert "at /f there should be " in why(field(kind), {"f": data})


def field(kind: Any) -> BoundSchema:
    return bound({"type": "record", "name": "R", "fields": [{"name": "f", "type": kind}]})


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
