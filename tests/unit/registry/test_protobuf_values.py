"""Events written in Protobuf: what a message does not hold as it is, is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest
from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto

from streamflow.definition.catalog import BoundSchema
from streamflow.registry.readers import payload_reader
from streamflow.registry.registered import RegisteredSchema
from streamflow.registry.writers import payload_writer
from streamflow.wire.codec import DecodeError
from tests.unit.registry.test_protobuf import field, text

F = FieldDescriptorProto
SCALARS = {
    "d": F.TYPE_DOUBLE,
    "f": F.TYPE_FLOAT,
    "i": F.TYPE_INT64,
    "n": F.TYPE_INT32,
    "u": F.TYPE_UINT64,
    "b": F.TYPE_BOOL,
    "s": F.TYPE_STRING,
    "raw": F.TYPE_BYTES,
}
KNOWN = ("Timestamp", "Duration", "Struct", "Value", "Any", "FieldMask", "Int64Value", "DoubleValue", "BytesValue")
FILES = ("timestamp", "duration", "struct", "any", "field_mask", "wrappers")
ANY = "type.googleapis.com/"


def schema() -> BoundSchema:
    file = FileDescriptorProto(name="m.proto", package="p", syntax="proto3")
    file.dependency.extend(f"google/protobuf/{name}.proto" for name in FILES)
    state = file.enum_type.add(name="State", options={"allow_alias": True})
    for name, number in (("OPEN", 0), ("PAID", 1), ("SETTLED", 1)):
        state.value.add(name=name, number=number)
    message = file.message_type.add(name="M")
    for name, key in (("Texts", F.TYPE_STRING), ("Numbers", F.TYPE_INT32), ("Flags", F.TYPE_BOOL)):
        entry = message.nested_type.add(name=f"{name}Entry")
        entry.options.map_entry = True
        entry.field.extend([field("key", 1, key), field("value", 2, F.TYPE_DOUBLE)])
    fields = [
        *((name, kind, "") for name, kind in SCALARS.items()),
        ("state", F.TYPE_ENUM, ".p.State"),
        ("inner_part", F.TYPE_MESSAGE, ".p.M"),
        *((name.lower(), F.TYPE_MESSAGE, f".google.protobuf.{name}") for name in KNOWN),
    ]
    message.field.extend(field(name, number, kind, of) for number, (name, kind, of) in enumerate(fields, 1))
    message.field.append(field("list", 50, F.TYPE_DOUBLE, repeated=True))
    for number, name in enumerate(("Texts", "Numbers", "Flags"), 51):
        message.field.append(field(name.lower(), number, F.TYPE_MESSAGE, f".p.M.{name}Entry", repeated=True))
    return BoundSchema(subject="s", version=1, id=7, type="PROTOBUF", text=text(file))


SCHEMA = schema()
WRITE = payload_writer(SCHEMA)
READ = payload_reader(RegisteredSchema(id=7, type="PROTOBUF", text=SCHEMA.text)).read


@pytest.mark.parametrize(
    ("data", "read"),
    [
        ({"d": 2**53}, {"d": 2.0**53}),
        ({"d": "1.5e3"}, {"d": 1500.0}),
        ({"f": 0.1}, {"f": 0.10000000149011612}),  # a fraction is rounded, which is what the type is for
        ({"f": 2**24}, {"f": 2.0**24}),
        ({"i": 10.0}, {"i": 10}),
        ({"i": "9007199254740993"}, {"i": 2**53 + 1}),
        ({"u": 2**64 - 1}, {"u": 2**64 - 1}),
        ({"s": "1_0"}, {"s": "1_0"}),
        ({"raw": "ab-_"}, {"raw": "ab+/"}),
        ({"raw": "YQ"}, {"raw": "YQ=="}),
        ({"state": "SETTLED"}, {"state": "PAID"}),
        ({"state": 1}, {"state": "PAID"}),
        ({"state": 5}, {"state": 5}),
        ({"d": None, "timestamp": None, "value": None}, {"d": 0.0}),
        ({"timestamp": "2026-01-01T02:00:00.123456789+02:00"}, {"timestamp": "2026-01-01T00:00:00.123456789Z"}),
        ({"duration": "-1.50s"}, {"duration": "-1.500s"}),
        ({"struct": {"a": [1, 1.5, None, True, {"b": "x"}]}}, {"struct": {"a": [1, 1.5, None, True, {"b": "x"}]}}),
        ({"value": 2**53}, {"value": 2**53}),
        ({"fieldmask": "a.bC,d"}, {"fieldmask": "a.bC,d"}),
        ({"int64value": 2**60, "doublevalue": 1, "bytesvalue": "YQ=="}, {"int64value": 2**60, "doublevalue": 1.0}),
        ({"any": {"@type": f"{ANY}p.M", "d": 5}}, {}),
        ({"any": {"@type": f"{ANY}google.protobuf.Int64Value", "value": "5"}, "list": [1, 2.5]}, {"list": [1.0, 2.5]}),
        ({"texts": {"1_0": 1}, "numbers": {"-1": 2}, "flags": {"true": 3}}, {"numbers": {"-1": 2.0}}),
    ],
    ids=lambda one: json.dumps(one)[:50],
)
def test_what_a_message_holds_is_written(data: dict[str, Any], read: dict[str, Any]) -> None:
    assert READ(WRITE(json.dumps(data).encode())).items() >= read.items()


def test_fields_may_be_called_as_in_the_schema_or_in_camel_case() -> None:
    found = READ(WRITE(json.dumps({"innerPart": {"inner_part": {"d": 2}}}).encode()))
    assert found["inner_part"]["inner_part"]["d"] == 2.0


@pytest.mark.parametrize(
    ("data", "place", "kind"),
    [
        ({"d": 2**53 + 1}, "/d", "double"),
        ({"d": "1_0"}, "/d", "double"),
        ({"d": "NaN"}, "/d", "double"),
        ({"d": "9007199254740993"}, "/d", "double"),
        ({"f": 2**24 + 1}, "/f", "float"),
        ({"i": "1_0"}, "/i", "int64"),
        ({"i": "\u0663"}, "/i", "int64"),
        ({"raw": "ab!d"}, "/raw", "bytes"),
        ({"raw": "QR=="}, "/raw", "bytes"),
        ({"state": 1.7}, "/state", "p.State"),
        ({"state": True}, "/state", "p.State"),
        ({"state": "0_1"}, "/state", "p.State"),
        ({"innerPart": {"d": 2**53 + 1}}, "/innerPart/d", "double"),
        ({"list": [1, 2**53 + 1]}, "/list/1", "double"),
        ({"texts": {"a": 2**53 + 1}}, "/texts/a", "double"),
        ({"numbers": {"1_0": 1}}, "/numbers", "int32"),
        ({"timestamp": "2026-01-01T00:00:00.1_0Z"}, "/timestamp", "google.protobuf.Timestamp"),
        ({"duration": "1_0s"}, "/duration", "google.protobuf.Duration"),
        ({"struct": {"a": 2**53 + 1}}, "/struct", "google.protobuf.Struct"),
        ({"value": [2**53 + 1]}, "/value", "google.protobuf.Value"),
        ({"int64value": "1_0"}, "/int64value", "int64"),
        ({"doublevalue": 2**53 + 1}, "/doublevalue", "double"),
        ({"any": {"@type": f"{ANY}p.M", "d": 2**53 + 1}}, "/any/d", "double"),
        ({"any": {"@type": f"{ANY}google.protobuf.Int64Value", "value": "1_0"}}, "/any/value", "int64"),
    ],
    ids=lambda one: json.dumps(one)[:50],
)
def test_what_a_message_does_not_hold_is_refused_with_its_place(data: dict[str, Any], place: str, kind: str) -> None:
    assert why(data) == f"at {place} there should be a value that the type {kind} holds"


@pytest.mark.parametrize(
    "data", [{"d": 10**400}, {"f": 1e300}, {"i": 1.5}, {"numbers": {"1": 1, "01": 2}}, [], {"s": 5}]
)
def test_what_cannot_be_written_at_all_is_refused(data: Any) -> None:
    assert why(data)


def why(data: Any) -> str:
    with pytest.raises(DecodeError) as caught:
        WRITE(json.dumps(data).encode())
    assert caught.value.code == "schema_encode_failed"
    return str(caught.value.facts["why"])
