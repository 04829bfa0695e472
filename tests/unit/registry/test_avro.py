"""Avro to data: every type, what is refused, and bytes that are something else."""

from __future__ import annotations

import io
import json
import random
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any
from uuid import UUID

import fastavro
import pytest

from streamflow.registry.avro import AvroSchema, avro_reader
from streamflow.registry.registered import RegisteredSchema
from streamflow.wire.codec import DecodeError
from streamflow.wire.frame import head

ORDER: dict[str, Any] = {
    "type": "record",
    "name": "Order",
    "namespace": "shop",
    "fields": [
        {"name": "id", "type": "string"},
        {"name": "count", "type": "int"},
        {"name": "total", "type": "double"},
        {"name": "note", "type": ["null", "string"], "default": None},
        {"name": "state", "type": {"type": "enum", "name": "State", "symbols": ["OPEN", "PAID"]}},
        {"name": "lines", "type": {"type": "array", "items": "long"}},
        {"name": "labels", "type": {"type": "map", "values": "boolean"}},
        {"name": "raw", "type": "bytes"},
        {"name": "price", "type": {"type": "bytes", "logicalType": "decimal", "precision": 10, "scale": 2}},
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {"name": "day", "type": {"type": "int", "logicalType": "date"}},
        {"name": "clock", "type": {"type": "int", "logicalType": "time-millis"}},
        {"name": "token", "type": {"type": "string", "logicalType": "uuid"}},
    ],
}
DATA: dict[str, Any] = {
    "id": "o-1",
    "count": 3,
    "total": 12.5,
    "note": None,
    "state": "PAID",
    "lines": [1, 2**40],
    "labels": {"gift": True},
    "raw": b"\x00\xff",
    "price": Decimal("12.50"),
    "at": datetime(2026, 11, 29, 8, 30, 0, 250_000, tzinfo=UTC),
    "day": date(2026, 11, 29),
    "clock": time(8, 30, 1),
    "token": UUID("6e0a0ec4-5d3c-4c7b-8c70-2b1ecb9c7d10"),
}
TREE = {
    "type": "record",
    "name": "Tree",
    "fields": [{"name": "child", "type": ["null", "Tree"], "default": None}],
}


def schema(definition: Any, **references: Any) -> RegisteredSchema:
    texts = {name: json.dumps(one) for name, one in references.items()}
    return RegisteredSchema(id=7, type="AVRO", text=json.dumps(definition), references=texts)


def framed(definition: Any, data: Any) -> bytes:
    stream = io.BytesIO()
    fastavro.schemaless_writer(stream, fastavro.parse_schema(definition), data)
    return head(7) + stream.getvalue()


def code(definition: Any, value: bytes) -> str:
    with pytest.raises(DecodeError) as caught:
        avro_reader(AvroSchema(schema(definition)))(value)
    return caught.value.code


def test_every_type_becomes_what_json_has_for_it() -> None:
    assert avro_reader(AvroSchema(schema(ORDER)))(framed(ORDER, DATA)) == {
        "id": "o-1",
        "count": 3,
        "total": 12.5,
        "note": None,
        "state": "PAID",
        "lines": [1, 2**40],
        "labels": {"gift": True},
        "raw": "AP8=",
        "price": "12.50",
        "at": "2026-11-29T08:30:00.250000Z",
        "day": "2026-11-29",
        "clock": "08:30:01",
        "token": "6e0a0ec4-5d3c-4c7b-8c70-2b1ecb9c7d10",
    }


def test_a_schema_may_build_on_others() -> None:
    line = {"type": "record", "name": "shop.Line", "fields": [{"name": "sku", "type": "string"}]}
    order = {
        "type": "record",
        "name": "shop.Basket",
        "fields": [{"name": "lines", "type": {"type": "array", "items": "shop.Line"}}],
    }
    stream = io.BytesIO()
    named: dict[str, Any] = {}
    fastavro.parse_schema(line, named_schemas=named)
    fastavro.schemaless_writer(stream, fastavro.parse_schema(order, named_schemas=named), {"lines": [{"sku": "a"}]})

    assert avro_reader(AvroSchema(schema(order, line=line)))(head(7) + stream.getvalue()) == {"lines": [{"sku": "a"}]}


@pytest.mark.parametrize("definition", ["string", "long", ["null", "string"], {"type": "array", "items": "int"}])
def test_a_schema_need_not_be_a_record(definition: Any) -> None:
    data: Any = {"string": "a", "long": 5}.get(str(definition), None if isinstance(definition, list) else [1])

    assert avro_reader(AvroSchema(schema(definition)))(framed(definition, data)) == data


@pytest.mark.parametrize(
    ("definition", "value", "expected"),
    [
        (ORDER, framed(ORDER, DATA)[:-3], "schema_decode_failed"),
        (ORDER, framed(ORDER, DATA) + b"x", "schema_decode_failed"),
        (ORDER, head(7), "schema_decode_failed"),
        ("string", head(7) + b"\x04\xff\xff", "schema_decode_failed"),
        ("bytes", head(7) + b"\xfe\xff\xff\xff\xff\xff\xff\x7fabc", "schema_decode_failed"),
        ("double", framed("double", float("nan")), "out_of_range"),
        (TREE, head(7) + b"\x02" * 100 + b"\0", "too_deep"),
        (TREE, head(7) + b"\x02" * 400_000 + b"\0", "too_deep"),
        ({"type": "long", "logicalType": "timestamp-millis"}, framed("long", 2**62), "schema_decode_failed"),
    ],
)
def test_bytes_that_are_something_else_are_refused(definition: Any, value: bytes, expected: str) -> None:
    assert code(definition, value) == expected


@pytest.mark.parametrize(
    "definition",
    [
        {"type": "nothing"},
        {"type": "record", "name": "A", "fields": [{"name": "b", "type": "Missing"}]},
        {"type": "array", "items": "null"},
        {"type": "array", "items": {"type": "record", "name": "Empty", "fields": []}},
        {"type": "record"},
        7,
    ],
)
def test_a_schema_that_cannot_be_used_is_refused(definition: Any) -> None:
    with pytest.raises(ValueError, match=r"it (is|has)"):
        avro_reader(AvroSchema(schema(definition)))


def test_a_schema_of_a_thousand_levels_is_refused() -> None:
    for levels in (100, 5000, 100_000):
        text = '{"type": "array", "items": ' * levels + '"int"' + "}" * levels

        with pytest.raises(ValueError, match="too deep"):
            AvroSchema(RegisteredSchema(id=7, type="AVRO", text=text))


def test_damaged_bytes_never_raise_anything_else() -> None:
    dice = random.Random(13)
    for definition, good in ((ORDER, framed(ORDER, DATA)), (TREE, head(7) + b"\x02\x02\0")):
        read = avro_reader(AvroSchema(schema(definition)))
        for _ in range(3000):
            value = bytearray(good)
            for _ in range(dice.randint(1, 4)):
                value[dice.randrange(5, len(value))] = dice.randrange(256)
            try:
                json.dumps(read(bytes(value)))
            except DecodeError as error:
                assert error.code in {"schema_decode_failed", "out_of_range", "too_deep"}
