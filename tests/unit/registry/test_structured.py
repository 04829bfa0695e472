"""Payloads of a schema registry within structured CloudEvents: each event of a record is read by its own schema."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from streamflow.core.outbox import Outbox, unsent_of
from streamflow.definition.catalog import Binding, BoundSchema, EventSpec
from streamflow.definition.expression import compile_expression
from streamflow.engine.effects import PublishEvent
from streamflow.registry.client import registry_client
from streamflow.registry.event_writers import EventWriters
from streamflow.registry.readers import SchemaReaders
from streamflow.settings import Registry
from streamflow.simulation.store import MemoryStore
from streamflow.wire.decoding import Record, schema_ids
from streamflow.wire.extraction import TopicReader
from streamflow.wire.frame import head
from tests.servers.memory_registry import MemoryRegistry
from tests.unit.registry.test_readers import framed

PLACED = json.dumps({"type": "record", "name": "shop.Placed", "fields": [{"name": "id", "type": "string"}]})
PAID = json.dumps({"type": "record", "name": "shop.Paid", "fields": [{"name": "id", "type": "string"}]})
SPECS = [
    (
        0,
        EventSpec.model_validate(
            {"name": "placed", "topics": ["t"], "match": {"type": "placed"}, "key": {"path": "id"}}
        ),
    ),
    (
        1,
        EventSpec.model_validate(
            {"name": "paid", "topics": ["t"], "match": {"header": "streamflow.schema", "equals": "shop.Paid"}}
        ),
    ),
]


class World:
    """A registry with two schemas, and one that keeps a single one of them."""

    def __init__(self, registry: MemoryRegistry) -> None:
        self.placed, self.paid = registry.register("placed", PLACED), registry.register("paid", PAID)
        self.readers = SchemaReaders(registry_client(Registry(url=registry.url)), keep=1, unknown_s=30)
        self.topic = TopicReader(SPECS, compile_expression, frozenset({0, 1}), self.readers)


@pytest.fixture
def world(registry: MemoryRegistry) -> World:
    return World(registry)


def envelope(kind: str, payload: bytes) -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "id": f"{kind}-1",
        "source": "/shop",
        "type": kind,
        "datacontenttype": "application/avro",
        "dataschema": "http://registry/schemas/ids/1",
        "data_base64": base64.b64encode(payload).decode(),
    }


def record(value: Any, mode: str = "") -> Record:
    headers = (("content-type", f"application/cloudevents{mode}+json".encode()),)
    return Record("t", 0, 7, 5, b"k", json.dumps(value).encode(), headers)


def test_a_payload_in_an_envelope_is_read_by_its_schema(world: World) -> None:
    one = record(envelope("placed", framed(world.placed, {"id": "o-1"}, PLACED)))
    assert schema_ids(one) == (world.placed,)
    world.readers.ask_for(one)

    found, refused = world.topic.read(one, "T")

    assert refused == []
    assert [(one.event.name, one.event.id, one.event.data, one.key) for one in found] == [
        ("placed", "placed-1", {"id": "o-1"}, "o-1")
    ]
    assert found[0].event.attributes["dataschema"] == "http://registry/schemas/ids/1"


def test_each_event_of_a_batch_has_its_own_schema(world: World) -> None:
    values = [framed(world.placed, {"id": "o-1"}, PLACED), framed(world.paid, {"id": "o-2"}, PAID), head(999) + b"x"]
    batch = record(
        [envelope(kind, value) for kind, value in zip(("placed", "paid", "placed"), values, strict=True)], "-batch"
    )
    assert schema_ids(batch) == (world.placed, world.paid, 999)
    world.readers.ask_for(batch)  # three at once, although one is kept

    found, refused = world.topic.read(batch, "T")

    assert [(one.part, one.event.name, one.event.data) for one in found] == [
        (0, "placed", {"id": "o-1"}),
        (1, "paid", {"id": "o-2"}),
    ]
    assert [(one.part, one.reason) for one in refused] == [(2, "schema_unknown")]


def test_what_is_emitted_in_structured_mode_is_read_again(world: World) -> None:
    schema = BoundSchema(
        subject="placed", version=1, id=world.placed, type="AVRO", text=PLACED, mode="structured", uri="http://r/ids/1"
    )
    written = EventWriters().of("placed", Binding(topics=["t"], written=schema))
    assert written is not None
    event = PublishEvent(
        key="k",
        id="00000001-main-1/3",
        type="placed",
        definition="d",
        run="00000001-main-1",
        at_ms=5,
        data={"id": "o-1"},
        trace=None,
    )
    outbox = Outbox(MemoryStore(), lambda name: "t", 0.0, lambda name: written)
    outbox.add(0, 0, unsent_of(event), 0.0)
    batch = outbox.next("t", 1, ())
    assert batch is not None

    key, value, headers = batch.entries[0].record()

    assert headers == (("content-type", b"application/cloudevents+json"),)
    told = json.loads(value)
    assert (told["type"], told["dataschema"], told["datacontenttype"]) == (
        "placed",
        "http://r/ids/1",
        "application/avro",
    )
    one = Record("t", 0, 7, 5, key, value, headers)
    world.readers.ask_for(one)
    found, refused = world.topic.read(one, "T")
    assert (refused, [(one.event.id, one.event.data) for one in found]) == ([], [("00000001-main-1/3", {"id": "o-1"})])


def test_an_envelope_is_put_into_json_for_who_has_no_registry(world: World) -> None:
    one = record(envelope("paid", framed(world.paid, {"id": "o-1"}, PAID)))

    plain = world.readers.as_json(one)

    assert schema_ids(plain) == ()
    found, refused = TopicReader(SPECS, compile_expression).read(plain, "T")
    assert (refused, [(one.event.name, one.event.data) for one in found]) == ([], [("paid", {"id": "o-1"})])


@pytest.mark.parametrize(
    "value", [b"data_base64", b'{"data_base64": 5}', b'{"data_base64": "!"}', b'[{"data_base64": ""}]']
)
def test_what_is_no_envelope_needs_no_schema(value: bytes) -> None:
    headers = (("content-type", b"application/cloudevents+json"),)
    assert schema_ids(Record("t", 0, 7, 5, None, value, headers)) == ()


def test_without_a_registry_the_event_is_refused(world: World) -> None:
    one = record(envelope("placed", framed(world.placed, {"id": "o-1"}, PLACED)))
    _, refused = TopicReader(SPECS, compile_expression).read(one, "T")
    assert [one.reason for one in refused] == ["unsupported_content_type"]
