"""Ingress and a schema registry: records wait for their schemas, and nothing is dropped while it is away."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Iterator
from typing import Any, cast

import pytest
from aiokafka.structs import TopicPartition

from streamflow.core.event_router import EventRouter
from streamflow.core.metrics import NoMetrics
from streamflow.core.source_position import SourcePosition
from streamflow.definition.catalog import Binding, Catalog
from streamflow.definition.compile import compile_plan
from streamflow.definition.model import Definition
from streamflow.engine.match import Published
from streamflow.ids import partition_of
from streamflow.registry.client import registry_client
from streamflow.registry.readers import SchemaReaders
from streamflow.runtime.schema_waits import SchemaWaits
from streamflow.runtime.source_intake import SourceIntake
from streamflow.runtime.source_log import SourceLog
from streamflow.settings import Registry
from streamflow.wire.codec import decode_command
from streamflow.wire.dead_letter import PREFIX
from streamflow.wire.decoding import MOST_SCHEMAS
from streamflow.wire.frame import head
from tests.servers.memory_registry import MemoryRegistry, memory_registry
from tests.unit.registry.test_protobuf import SCHEMA as PROTOBUF
from tests.unit.registry.test_protobuf import line_file, text
from tests.unit.registry.test_protobuf import written as protobuf_order
from tests.unit.registry.test_readers import framed
from tests.unit.runtime.test_ingress_session import Consumer, Fetched

ORDERS, PARCELS = TopicPartition("orders", 0), TopicPartition("parcels", 0)
ORDER = json.dumps({"type": "record", "name": "Order", "fields": [{"name": "order_id", "type": "string"}]})


def published(match: dict[str, Any] | None = None, **fields: Any) -> Published:
    """A definition that starts by what `match` says, or by everything with an `order_id`, which is the key."""
    event = {
        "name": "placed",
        "match": match or {"path": "order_id"},
        "key": {"path": "order_id"},
        "schema": {"type": "object", "required": ["order_id"], "properties": {"order_id": {"pattern": "^o-"}}},
        **fields,
    }
    catalog = Catalog.model_validate({"events": [event]})
    whole = {
        "name": "loan",
        "version": "1",
        "on": [{"id": "t", "event": "placed"}],
        "steps": [{"id": "p", "print": {"text": "'x'"}}],
    }
    plan = compile_plan(Definition.model_validate(whole), catalog, "sha")
    specs = {spec.name: spec.bound(Binding(topics=["orders", "parcels"])) for spec in catalog.events}
    return Published(plan=plan, specs=specs, at=1, newest=True)


class Outbox:
    def __init__(self) -> None:
        self.commands: list[Any] = []
        self.letters: list[Any] = []

    def partition_of(self, key: str) -> int:
        return partition_of(key, 2)

    def add(self, partition: int, key: str, value: bytes) -> None:
        self.commands.append(decode_command(value))

    def add_dead(self, letters: Any) -> None:
        self.letters += letters

    def reasons(self) -> list[str]:
        return [dict(letter.headers)[f"{PREFIX}reason"].decode() for letter in self.letters]


class World:
    def __init__(self, registry: MemoryRegistry, *, unknown_s: float = 30) -> None:
        self.readers = SchemaReaders(registry_client(Registry(url=registry.url)), keep=10, unknown_s=unknown_s)
        self.waits = SchemaWaits(self.readers, NoMetrics(), retry_s=0.2)
        self.consumer, self.outbox = Consumer(), Outbox()
        self.intake = SourceIntake(cast(Any, self.consumer), cast(Any, self.outbox), SourceLog(), self.waits)
        self.intake.router = EventRouter([published()], event_bytes=10_000, record_bytes=20_000, unframe=self.readers)
        self.sources = {tp: SourcePosition(tp.topic, 0, "A", 0, 0) for tp in (ORDERS, PARCELS)}

    async def take(self, *values: bytes, tp: TopicPartition = ORDERS, first: int = 0) -> None:
        records = [Fetched(offset, b"k", value, tp.topic) for offset, value in enumerate(values, first)]
        await self.intake.take(tp, self.sources[tp], records)

    async def until_ready(self) -> None:
        """Until no partition waits."""
        asking = asyncio.create_task(self.waits.ask())
        async with asyncio.timeout(20):
            while self.intake.unread:
                self.intake.resume()
                await asyncio.sleep(0.01)
        asking.cancel()

    def data(self) -> list[Any]:
        return [command.event.data for command in self.outbox.commands]


@pytest.fixture
def registry() -> Iterator[MemoryRegistry]:
    with memory_registry() as running:
        yield running


@pytest.fixture
def world(registry: MemoryRegistry) -> Iterator[World]:
    made = World(registry)
    yield made
    made.readers.close()


def test_events_in_each_format_start_runs_beside_plain_json(registry: MemoryRegistry, world: World) -> None:
    avro = registry.register("orders", ORDER)
    json_schema = registry.register("orders-json", "{}", type="JSON")
    registry.register("lines", text(line_file()), type="PROTOBUF")
    reference = {"name": "line.proto", "subject": "lines", "version": 1}
    protobuf = registry.register("orders-proto", PROTOBUF.text, type="PROTOBUF", references=[reference])
    values = (
        b'{"order_id": "o-1"}',
        framed(avro, {"order_id": "o-2"}, ORDER),
        head(json_schema) + b'{"order_id": "o-3"}',
        head(protobuf) + protobuf_order(order_id="o-4")[5:],
    )

    async def scenario() -> None:
        first = 0
        while first < len(values):
            await world.take(*values[first:], first=first)
            await world.until_ready()
            first = world.sources[ORDERS].next

    asyncio.run(scenario())
    assert [data["order_id"] for data in world.data()] == ["o-1", "o-2", "o-3", "o-4"]
    assert [command.key for command in world.outbox.commands] == ["o-1", "o-2", "o-3", "o-4"]
    assert world.outbox.letters == []


def test_while_the_registry_is_away_a_source_waits_and_others_go_on(registry: MemoryRegistry, world: World) -> None:
    schema_id = registry.register("orders", ORDER)
    values = (b'{"order_id": "o-1"}', framed(schema_id, {"order_id": "o-2"}, ORDER), b'{"order_id": "o-3"}')

    async def scenario() -> None:
        registry.status = 503
        await world.take(*values)
        assert [data["order_id"] for data in world.data()] == ["o-1"]
        assert world.consumer.done == [("seek", 1), ("pause", ORDERS)]
        assert world.intake.unread == {ORDERS}
        asking = asyncio.create_task(world.waits.ask())
        await world.take(b'{"order_id": "o-9"}', tp=PARCELS)
        async with asyncio.timeout(20):
            while len(registry.asked) < 3:  # noqa: ASYNC110 - it counts in another thread
                await asyncio.sleep(0.01)
        world.intake.resume()
        assert world.intake.unread == {ORDERS}
        registry.status = 0
        await world.until_ready()
        asking.cancel()
        assert world.consumer.done[-1] == ("resume", ORDERS)
        await world.take(*values[1:], first=1)

    asyncio.run(scenario())
    assert [data["order_id"] for data in world.data()] == ["o-1", "o-9", "o-2", "o-3"]
    assert world.outbox.letters == []
    assert world.sources[ORDERS].counts.matched == 3


def test_what_cannot_be_read_becomes_a_dead_letter_and_the_next_record_is_read(
    registry: MemoryRegistry, world: World
) -> None:
    schema_id = registry.register("orders", ORDER)
    lists = registry.register("lists", '{"type": "array", "items": "null"}')
    good = framed(schema_id, {"order_id": "o-1"}, ORDER)
    values = (
        head(999) + b"x",
        head(lists) + b"\0",
        good[:-1],
        good + b"x",
        framed(schema_id, {"order_id": "wrong"}, ORDER),
        good,
    )

    async def scenario() -> None:
        first = 0
        while first < len(values):
            await world.take(*values[first:], first=first)
            await world.until_ready()
            first = world.sources[ORDERS].next

    asyncio.run(scenario())
    assert world.outbox.reasons() == [
        "schema_unknown",
        "schema_unusable",
        "schema_decode_failed",
        "schema_decode_failed",
        "schema_mismatch",
    ]
    assert [letter.value for letter in world.outbox.letters] == list(values[:5])
    assert [data["order_id"] for data in world.data()] == ["o-1"]


def batch(*schema_ids: int) -> Fetched:
    """One record: a batch of CloudEvents, each with another of these schemas."""
    attributes = {"specversion": "1.0", "source": "/shop", "type": "placed", "datacontenttype": "application/avro"}
    events = [
        attributes | {"id": f"e{number}", "data_base64": base64.b64encode(head(number) + b"x").decode()}
        for number in schema_ids
    ]
    headers = (("content-type", b"application/cloudevents-batch+json"),)
    return Fetched(0, b"k", json.dumps(events).encode(), headers=headers)


def test_a_record_with_many_unknown_schemas_is_waited_for_once(registry: MemoryRegistry) -> None:
    world = World(registry, unknown_s=0)  # as if the registry took longer for all of them than an answer counts

    async def scenario() -> None:
        record = batch(*range(1, 61))
        await world.intake.take(ORDERS, world.sources[ORDERS], [record])
        await world.until_ready()
        await world.intake.take(ORDERS, world.sources[ORDERS], [record])

    asyncio.run(scenario())
    assert world.intake.unread == set()
    assert world.sources[ORDERS].next == 1
    assert set(world.outbox.reasons()) == {"schema_unknown"}
    assert len(registry.asked) == 60
    world.readers.close()


def test_for_a_record_with_too_many_schemas_the_registry_is_not_asked(registry: MemoryRegistry, world: World) -> None:
    sizes: Any = {"event_bytes": 50_000, "record_bytes": 100_000}
    world.intake.router = EventRouter([published()], **sizes, unframe=world.readers)
    asyncio.run(world.intake.take(ORDERS, world.sources[ORDERS], [batch(*range(1, MOST_SCHEMAS + 2))]))
    assert world.intake.unread == set()
    assert world.sources[ORDERS].next == 1
    assert set(world.outbox.reasons()) == {"schema_unknown"}
    assert registry.asked == []


def test_sources_that_are_opened_again_wait_for_nothing(registry: MemoryRegistry, world: World) -> None:
    asyncio.run(world.take(head(1) + b"x"))
    assert world.intake.unread == {ORDERS}
    world.intake.drop()
    assert world.intake.unread == set()


def test_without_a_registry_a_framed_record_says_that_none_is_set(world: World) -> None:
    world.intake.schemas = None
    world.intake.router = EventRouter([published()], event_bytes=10_000, record_bytes=20_000)
    asyncio.run(world.take(head(1) + b"x"))
    assert world.outbox.reasons() == ["schema_registry_format"]


def test_events_of_one_topic_are_told_apart_by_the_names_of_their_schemas(
    registry: MemoryRegistry, world: World
) -> None:
    order = registry.register("orders", ORDER)
    other = registry.register("others", ORDER.replace('"Order"', '"Other"'))
    for schema_id in (order, other, 77):
        world.readers.fetch(schema_id)
    match = {"header": "streamflow.schema", "equals": "Order"}
    world.intake.router = EventRouter(
        [published(match)], event_bytes=10_000, record_bytes=20_000, unframe=world.readers
    )

    asyncio.run(
        world.take(
            framed(other, {"order_id": "o-1"}, ORDER),
            framed(order, {"order_id": "o-2"}, ORDER),
            b'{"order_id": "o-3"}',
            head(77) + b"x",
        )
    )

    assert [data["order_id"] for data in world.data()] == ["o-2"]
    assert world.outbox.reasons() == ["schema_unknown"]  # nothing says that it is none of the events


def test_keys_in_the_formats_of_a_registry_are_business_keys(registry: MemoryRegistry, world: World) -> None:
    text_id, one = registry.register("a", '"string"'), ORDER.replace("order_id", "id")
    one_id = registry.register("b", one)
    two = one.replace('[{"name"', '[{"name": "x", "type": "int"}, {"name"')
    two_id = registry.register("c", two)
    keys = [
        framed(text_id, "k-1", '"string"'),
        framed(one_id, {"id": "k-2"}, one),
        b"k-3",
        framed(two_id, {"x": 1, "id": "k-4"}, two),
        head(55) + b"x",
    ]
    sizes: Any = {"event_bytes": 10_000, "record_bytes": 20_000}
    world.intake.router = EventRouter([published(key=None)], **sizes, unframe=world.readers)
    records = [Fetched(offset, key, b'{"order_id": "o-1"}') for offset, key in enumerate(keys)]

    async def scenario() -> None:
        while world.sources[ORDERS].next < len(records):
            await world.intake.take(ORDERS, world.sources[ORDERS], records)
            await world.until_ready()

    asyncio.run(scenario())
    assert [command.key for command in world.outbox.commands] == ["k-1", "k-2", "k-3"]
    assert world.outbox.reasons() == ["missing_key", "schema_unknown"]


def test_a_fault_of_ours_holds_up_the_source_alone(
    registry: MemoryRegistry, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    schema_id = registry.register("orders", ORDER)
    ask, times = world.readers._registry.schema, iter(range(9))

    def schema(wanted: int) -> Any:
        if next(times) < 2:
            raise RuntimeError("closed")
        return ask(wanted)

    monkeypatch.setattr(world.readers._registry, "schema", schema)

    async def scenario() -> None:
        await world.take(framed(schema_id, {"order_id": "o-1"}, ORDER))
        await world.until_ready()
        await world.take(framed(schema_id, {"order_id": "o-1"}, ORDER))

    asyncio.run(scenario())
    assert [data["order_id"] for data in world.data()] == ["o-1"]
