"""The client of schema registries: the same expectations of a real one and of the one in memory that unit tests use."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from confluent_kafka.schema_registry import Schema, SchemaReference, SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroSerializer
from confluent_kafka.schema_registry.protobuf import ProtobufSerializer
from confluent_kafka.serialization import MessageField, SerializationContext
from google.protobuf import timestamp_pb2

from streamflow.errors import OperationError
from streamflow.registry.client import Registry, registry_client
from streamflow.registry.readers import SchemaReaders, payload_reader
from streamflow.settings import Registry as RegistrySettings
from streamflow.wire.frame import framed_schema, head
from tests.servers.apicurio import BY_TOPIC
from tests.servers.memory_registry import memory_registry
from tests.unit.registry.test_protobuf import written as protobuf_order

pytestmark = pytest.mark.timeout(180)

ORDER: dict[str, Any] = {"type": "record", "name": "Order", "fields": [{"name": "id", "type": "string"}]}
DRAFT = "http://json-schema.org/draft-07/schema#"
LINE_PROTO = 'syntax = "proto3";\npackage shop;\nmessage Line {\n  string sku = 1;\n}\n'
ORDER_PROTO = """syntax = "proto3";
package shop;
import "google/protobuf/timestamp.proto";
import "line.proto";
message Other { string a = 1; }
message Order {
  message Inner { Inner deep = 1; }
  string order_id = 1;
  uint64 amount = 2;
  google.protobuf.Timestamp at = 6;
  repeated Line lines = 9;
  map<string, int64> labels = 10;
}
"""


@dataclass
class World:
    """A registry, our client of it, and Confluent's."""

    client: Registry
    confluent: SchemaRegistryClient
    prefix: str = field(default_factory=lambda: uuid.uuid4().hex[:8])

    def register(self, name: str, definition: Any, type: str = "AVRO", references: Any = ()) -> int:
        body = definition if isinstance(definition, str) else json.dumps(definition)
        return self.confluent.register_schema(self.subject(name), Schema(body, type, list(references)))

    def subject(self, name: str) -> str:
        return f"{self.prefix}-{name}"

    def readers(self) -> SchemaReaders:
        return SchemaReaders(self.client, keep=10, unknown_s=30)


@pytest.fixture(params=["memory", "apicurio"])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    if request.param == "apicurio":
        yield from a_world(request.getfixturevalue("apicurio").url)
        return
    with memory_registry() as registry:
        yield from a_world(registry.url)


def a_world(url: str) -> Iterator[World]:
    client = registry_client(RegistrySettings(url=url))
    with SchemaRegistryClient({"url": url, "timeout": 20}) as confluent:
        yield World(client, confluent)
    client.close()


def code(call: Any, *arguments: Any) -> str:
    with pytest.raises(OperationError) as caught:
        call(*arguments)
    return caught.value.code


def test_schemas_are_found_by_id_and_by_subject(world: World) -> None:
    first = world.register("orders-value", ORDER)
    wider = ORDER | {"fields": [*ORDER["fields"], {"name": "n", "type": "int", "default": 0}]}
    second = world.register("orders-value", wider)

    found = world.client.schema(first)
    assert (found.id, found.type, json.loads(found.text)) == (first, "AVRO", ORDER)
    latest = world.client.version(world.subject("orders-value"))
    assert (latest.id, latest.version, latest.subject) == (second, 2, world.subject("orders-value"))
    assert world.client.version(world.subject("orders-value"), 1).id == first
    assert world.subject("orders-value") in world.client.subjects()


def test_what_is_not_there_is_told_apart_from_a_registry_that_is_away(world: World) -> None:
    world.register("orders-value", ORDER)
    assert code(world.client.schema, 987_654) == "schema_unknown"
    assert code(world.client.version, world.subject("missing")) == "subject_unknown"
    assert code(world.client.version, world.subject("orders-value"), 99) == "subject_unknown"
    elsewhere = registry_client(RegistrySettings(url="http://127.0.0.1:9/apis/ccompat/v7", timeout_s=1))
    assert code(elsewhere.schema, 1) == "registry_unavailable"
    elsewhere.close()


def test_avro_is_read_as_confluents_client_writes_it(world: World) -> None:
    line = {"type": "record", "name": "shop.Line", "fields": [{"name": "sku", "type": "string"}]}
    world.register("lines", line)
    reference = SchemaReference("shop.Line", world.subject("lines"), 1)
    basket = {
        "type": "record",
        "name": "shop.Basket",
        "fields": [{"name": "lines", "type": {"type": "array", "items": "shop.Line"}}],
    }
    schema = Schema(json.dumps(basket), "AVRO", [reference])
    context = SerializationContext(world.subject("baskets"), MessageField.VALUE)
    value = AvroSerializer(world.confluent, schema, conf=BY_TOPIC)({"lines": [{"sku": "a"}]}, context)

    assert world.readers().read_asking(value) == {"lines": [{"sku": "a"}]}


def test_protobuf_is_read_as_confluents_client_writes_it(world: World) -> None:
    serializer = ProtobufSerializer(
        timestamp_pb2.Timestamp, world.confluent, BY_TOPIC | {"use.deprecated.format": False}
    )
    context = SerializationContext(world.subject("times"), MessageField.VALUE)
    value = serializer(timestamp_pb2.Timestamp(seconds=1_764_405_000), context)

    assert world.readers().read_asking(value) == "2025-11-29T08:30:00Z"


def test_a_protobuf_schema_is_read_by_its_text(world: World) -> None:
    world.register("line", LINE_PROTO, "PROTOBUF")
    reference = SchemaReference("line.proto", world.subject("line"), 1)
    schema_id = world.register("orders-proto", ORDER_PROTO, "PROTOBUF", [reference])
    sent = protobuf_order(
        order_id="o-1", amount=2**60, at="2026-11-29T08:30:00Z", lines=[{"sku": "a"}], labels={"x": 1}
    )

    found = world.readers().read_asking(head(schema_id) + sent[5:])

    expected = {"order_id": "o-1", "amount": 2**60, "lines": [{"sku": "a"}], "labels": {"x": 1}}
    assert found | expected == found
    assert found["at"] == "2026-11-29T08:30:00Z"
    latest = world.client.version(world.subject("orders-proto"))
    assert payload_reader(latest).read(head(schema_id) + sent[5:]) == found


def test_a_json_schema_is_found(world: World) -> None:
    schema_id = world.register("orders-json", {"$schema": DRAFT, "type": "object"}, "JSON")

    assert world.client.schema(schema_id).type == "JSON"
    assert world.readers().read_asking(head(schema_id) + b'{"a": 1}') == {"a": 1}
    assert framed_schema(head(schema_id)) == schema_id


def test_the_registry_says_whether_versions_are_compatible(world: World) -> None:
    subject = world.subject("orders-value")
    world.register("orders-value", ORDER)
    world.confluent.set_compatibility(subject, "NONE")
    world.register("orders-value", ORDER | {"fields": [{"name": "id", "type": "int"}]})
    assert world.client.is_compatible(subject, 2, 1)
    world.confluent.set_compatibility(subject, "BACKWARD")
    assert not world.client.is_compatible(subject, 2, 1)


def test_a_schema_is_registered_once_and_refused_where_it_does_not_fit(world: World) -> None:
    subject = world.subject("own-value")
    first = world.client.register(subject, json.dumps(ORDER))
    assert world.client.register(subject, json.dumps(ORDER)) == first
    assert world.client.version(subject).id == first
    world.confluent.set_compatibility(subject, "BACKWARD")
    worse = ORDER | {"fields": [*ORDER["fields"], {"name": "n", "type": "int"}]}
    assert code(world.client.register, subject, json.dumps(worse)) == "schema_incompatible"
    assert world.client.version(subject).version == 1
