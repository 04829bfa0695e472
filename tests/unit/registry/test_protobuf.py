"""Protobuf to data, by the descriptors of a registry."""

from __future__ import annotations

import base64
import random
from typing import Any

import msgspec
import pytest
from google.protobuf import json_format, message_factory
from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool

from streamflow.registry.protobuf import ProtobufSchema, protobuf_reader, with_descriptors
from streamflow.registry.registered import RegisteredSchema
from streamflow.wire.codec import DecodeError
from streamflow.wire.frame import encoded_indexes, head, message_indexes

F = FieldDescriptorProto


def field(name: str, number: int, kind: int, type_name: str = "", *, repeated: bool = False) -> FieldDescriptorProto:
    label = F.LABEL_REPEATED if repeated else F.LABEL_OPTIONAL
    return F(name=name, number=number, type=kind, type_name=type_name or None, label=label)


def order_file() -> FileDescriptorProto:
    """A file with a message of every kind of field, and one within it."""
    file = FileDescriptorProto(name="order.proto", package="shop", syntax="proto3")
    file.dependency.extend(
        [
            "google/protobuf/timestamp.proto",
            "google/protobuf/wrappers.proto",
            "google/protobuf/struct.proto",
            "line.proto",
        ]
    )
    state = file.enum_type.add(name="State")
    state.value.add(name="OPEN", number=0)
    state.value.add(name="PAID", number=1)
    file.message_type.append(DescriptorProto(name="Other", field=[field("a", 1, F.TYPE_STRING)]))
    order = file.message_type.add(name="Order")
    entry = order.nested_type.add(name="LabelsEntry")
    entry.options.map_entry = True
    entry.field.extend([field("key", 1, F.TYPE_STRING), field("value", 2, F.TYPE_INT64)])
    order.nested_type.append(
        DescriptorProto(name="Inner", field=[field("deep", 1, F.TYPE_MESSAGE, ".shop.Order.Inner")])
    )
    order.field.extend(
        [
            field("order_id", 1, F.TYPE_STRING),
            field("amount", 2, F.TYPE_UINT64),
            field("ratio", 3, F.TYPE_DOUBLE),
            field("state", 4, F.TYPE_ENUM, ".shop.State"),
            field("raw", 5, F.TYPE_BYTES),
            field("at", 6, F.TYPE_MESSAGE, ".google.protobuf.Timestamp"),
            field("most", 7, F.TYPE_MESSAGE, ".google.protobuf.Int64Value"),
            field("more", 8, F.TYPE_MESSAGE, ".google.protobuf.Struct"),
            field("lines", 9, F.TYPE_MESSAGE, ".shop.Line", repeated=True),
            field("labels", 10, F.TYPE_MESSAGE, ".shop.Order.LabelsEntry", repeated=True),
            field("paid", 11, F.TYPE_BOOL),
            field("late", 12, F.TYPE_MESSAGE, ".google.protobuf.Timestamp"),
        ]
    )
    return file


def line_file() -> FileDescriptorProto:
    file = FileDescriptorProto(name="line.proto", package="shop", syntax="proto3")
    file.message_type.append(DescriptorProto(name="Line", field=[field("sku", 1, F.TYPE_STRING)]))
    return file


def text(file: FileDescriptorProto) -> str:
    return base64.b64encode(file.SerializeToString()).decode()


SCHEMA = RegisteredSchema(id=9, type="PROTOBUF", text=text(order_file()), references={"line.proto": text(line_file())})


def written(**fields: Any) -> bytes:
    """A framed order; `fields` as JSON has them."""
    message = json_format.ParseDict(fields, ProtobufSchema(SCHEMA).message((1,))())
    return head(9) + encoded_indexes((1,)) + bytes(message.SerializeToString())


def code(value: bytes) -> str:
    with pytest.raises(DecodeError) as caught:
        protobuf_reader(ProtobufSchema(SCHEMA))(value)
    return caught.value.code


def test_every_kind_of_field_becomes_what_json_has_for_it() -> None:
    value = written(
        order_id="o-1",
        amount=2**63,
        ratio=0.5,
        state=1,
        raw="AP8=",
        at="2025-11-29T08:30:00Z",
        most=2**53 + 1,
        more={"a": [1, None, "x"]},
        lines=[{"sku": "a"}, {"sku": "b"}],
        labels={"x": 2**60},
    )

    assert protobuf_reader(ProtobufSchema(SCHEMA))(value) == {
        "order_id": "o-1",
        "amount": 2**63,
        "ratio": 0.5,
        "state": "PAID",
        "raw": "AP8=",
        "at": "2025-11-29T08:30:00Z",
        "most": 2**53 + 1,
        "more": {"a": [1.0, None, "x"]},
        "lines": [{"sku": "a"}, {"sku": "b"}],
        "labels": {"x": 2**60},
        "paid": False,
    }


def test_an_absent_field_has_its_default_unless_its_absence_can_be_told() -> None:
    read = protobuf_reader(ProtobufSchema(SCHEMA))(written())

    assert read["order_id"] == ""
    assert read["lines"] == []
    assert "at" not in read


def test_the_first_message_is_one_byte_and_others_are_numbered() -> None:
    assert encoded_indexes((0,)) == b"\0"
    for indexes in ((0,), (1,), (1, 1), (130, 0, 5)):
        value = head(9) + encoded_indexes(indexes) + b"rest"
        assert message_indexes(value) == (indexes, len(value) - 4)
    assert protobuf_reader(ProtobufSchema(SCHEMA))(head(9) + b"\0") == {"a": ""}
    assert protobuf_reader(ProtobufSchema(SCHEMA))(head(9) + encoded_indexes((1, 1))) == {}
    assert ProtobufSchema(SCHEMA).indexes("shop.Order.Inner") == (1, 1)
    assert ProtobufSchema(SCHEMA).indexes("Order") == (1,)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (head(9), "schema_decode_failed"),
        (head(9) + b"\x02", "schema_decode_failed"),
        (head(9) + encoded_indexes((7,)), "schema_decode_failed"),
        (head(9) + b"\xff" * 30, "schema_decode_failed"),
        (written(order_id="o-1")[:-1], "schema_decode_failed"),
        (written(ratio="Infinity"), "out_of_range"),
    ],
)
def test_bytes_that_are_something_else_are_refused(value: bytes, expected: str) -> None:
    assert code(value) == expected


def test_messages_within_messages_are_bounded() -> None:
    inner = b""
    for _ in range(80):
        inner = b"\x0a" + _length(len(inner)) + inner
    assert code(head(9) + encoded_indexes((1, 1)) + inner) == "too_deep"
    for _ in range(2000):
        inner = b"\x0a" + _length(len(inner)) + inner
    assert code(head(9) + encoded_indexes((1, 1)) + inner) == "schema_decode_failed"


def _length(size: int) -> bytes:
    encoded = bytearray()
    while size > 0x7F:
        encoded.append(size & 0x7F | 0x80)
        size >>= 7
    return bytes([*encoded, size])


@pytest.mark.parametrize(
    ("schema", "why"),
    [
        (RegisteredSchema(id=1, type="PROTOBUF", text='syntax = "proto3"; message A {'), "compiler refuses it"),
        (RegisteredSchema(id=1, type="PROTOBUF", text=text(order_file())), "no reference"),
        (
            RegisteredSchema(
                id=1,
                type="PROTOBUF",
                text=text(
                    FileDescriptorProto(
                        name="a.proto",
                        syntax="proto3",
                        message_type=[DescriptorProto(name="A", field=[field("b", 1, F.TYPE_MESSAGE, ".Missing")])],
                    )
                ),
            ),
            "does not stand",
        ),
    ],
)
def test_a_schema_that_cannot_be_used_is_refused(schema: RegisteredSchema, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        protobuf_reader(ProtobufSchema(schema))


def test_damaged_bytes_never_raise_anything_else() -> None:
    dice, good = random.Random(13), written(order_id="o-1", amount=5, lines=[{"sku": "a"}], labels={"x": 1})
    read = protobuf_reader(ProtobufSchema(SCHEMA))
    for _ in range(3000):
        value = bytearray(good)
        for _ in range(dice.randint(1, 4)):
            value[dice.randrange(5, len(value))] = dice.randrange(256)
        try:
            msgspec.json.encode(read(bytes(value)))
        except DecodeError as error:
            assert error.code in {"schema_decode_failed", "out_of_range", "too_deep"}


def test_a_message_of_generated_code_is_read_alike() -> None:
    pool = DescriptorPool()
    pool.Add(line_file())
    line = message_factory.GetMessageClass(pool.FindMessageTypeByName("shop.Line"))(sku="a")
    schema = RegisteredSchema(id=3, type="PROTOBUF", text=text(line_file()))

    assert protobuf_reader(ProtobufSchema(schema))(head(3) + b"\0" + line.SerializeToString()) == {"sku": "a"}


LINE_PROTO = 'syntax = "proto3";\npackage shop;\nmessage Line { string sku = 1; }\n'
BASKET_PROTO = """syntax = "proto3";
package shop;
import "google/protobuf/timestamp.proto";
import "parts/line.proto";
message Basket { repeated Line lines = 1; google.protobuf.Timestamp at = 2; }
"""


@pytest.mark.parametrize("line", [LINE_PROTO, text(line_file())])
def test_a_text_is_compiled_with_what_it_imports(line: str) -> None:
    schema = RegisteredSchema(id=3, type="PROTOBUF", text=BASKET_PROTO, references={"parts/line.proto": line})
    value = head(3) + b"\0" + b"\x0a\x03\x0a\x01a\x12\x02\x08\x01"

    assert protobuf_reader(ProtobufSchema(schema))(value) == {"lines": [{"sku": "a"}], "at": "1970-01-01T00:00:01Z"}
    ready = with_descriptors(schema)
    assert list(ready.references) == ["parts/line.proto"]
    assert with_descriptors(ready) == ready
    assert protobuf_reader(ProtobufSchema(ready))(value) == protobuf_reader(ProtobufSchema(schema))(value)


@pytest.mark.parametrize(
    "references", [{}, {"../../etc/line.proto": LINE_PROTO}, {"/tmp/line.proto": LINE_PROTO}, {"parts/line.proto": "x"}]
)
def test_a_text_whose_imports_are_not_there_is_refused(references: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"compiler refuses|no path of a file"):
        ProtobufSchema(RegisteredSchema(id=3, type="PROTOBUF", text=BASKET_PROTO, references=references))
