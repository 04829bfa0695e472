"""Events in the formats of a schema registry through real workers: they start runs, wait for the registry, and what the
runs emit is written with the schema that was found at publication."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import KafkaException, Message
from confluent_kafka.schema_registry import Schema, SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer, AvroSerializer
from confluent_kafka.serialization import MessageField, SerializationContext

from streamflow.cli.main import main
from streamflow.definition.syntax import parse_catalog, parse_definition
from streamflow.errors import OperationError, Rejected
from streamflow.kafka.publication import read_log
from streamflow.ops.publishing import publish_checked
from streamflow.settings import Registry, Settings
from streamflow.wire.frame import framed_schema, head
from tests.conftest import eventually
from tests.integration.ingress_bench import Bench, read_all
from tests.servers.apicurio import BY_TOPIC
from tests.servers.memory_registry import MemoryRegistry, memory_registry
from tests.unit.registry.test_readers import framed

pytestmark = [pytest.mark.broker, pytest.mark.timeout(180)]

PLACED = {"type": "record", "name": "Placed", "fields": [{"name": "order", "type": "string"}]}
SHIPPED = {
    "type": "record",
    "name": "Shipped",
    "fields": [{"name": "order", "type": "string"}, {"name": "count", "type": ["null", "int"], "default": None}],
}
DEFINITION = """
name: shipping
version: "1"
on: [{id: placed, event: order.placed}]
steps:
  - id: ship
    emit: {event: order.shipped, data: [{name: order, expr: trigger.order}]}
"""
CATALOG = """
events:
  - {name: order.placed, topics: [SOURCE], start: earliest, match: {path: order}, key: {path: order}, schema: {type: object, properties: {order: {type: string}}, required: [order]}}
  - {name: order.shipped, topics: [TARGET], key: {path: order}, registry: {subject: TARGET-value}, schema: {type: object, properties: {order: {type: string}}, required: [order], additionalProperties: false}}
"""  # noqa: E501


def header(record: Message, name: str) -> bytes:
    """A header of a record."""
    found: Any = dict(record.headers() or [])[name]
    assert isinstance(found, bytes)
    return found


class World:
    """Workers beside a registry, and a definition that ships what is placed."""

    def __init__(self, settings: Settings, folder: Path, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("STREAMFLOW_REGISTRY__URL", url)
        self.bench = Bench(settings.model_copy(update={"registry": Registry(url=url)}), folder)
        self.confluent = SchemaRegistryClient({"url": url, "timeout": 20})
        self.url = url
        self.source, self.target = self.bench.topic(), self.bench.topic()

    def publish(self) -> None:
        catalog = parse_catalog(CATALOG.replace("SOURCE", self.source).replace("TARGET", self.target))
        publish_checked(self.bench.settings, parse_definition(DEFINITION), catalog)

    def register(self, subject: str, schema: Any) -> int:
        return self.confluent.register_schema(subject, Schema(json.dumps(schema), "AVRO"))

    def shipped(self) -> dict[str, Message]:
        """What was shipped, by the order, as a consumer with Confluent's client reads it."""
        read = AvroDeserializer(self.confluent, conf=BY_TOPIC)
        context = SerializationContext(self.target, MessageField.VALUE)
        found = {}
        for record in read_all(self.bench.servers, self.target):
            data = read(record.value() or b"", context)
            assert isinstance(data, dict)
            found[str(data["order"])] = record
        return found

    def until_shipped(self, *orders: str) -> dict[str, Message]:
        def all_there() -> dict[str, Message] | None:
            try:
                found = self.shipped()
            except KafkaException:  # a partition of a new topic may still look for its leader
                return None
            return found if found.keys() >= set(orders) else None

        return eventually(all_there, timeout=60, every=0.2) or {}

    def reasons(self) -> list[str]:
        """Of the dead letters."""
        return [header(letter, "streamflow.dlq.reason").decode() for letter in self.bench.records("dead-letters")]

    def close(self) -> None:
        self.confluent.close()
        for worker in self.bench.workers:
            if worker.process.poll() is None:
                worker.kill()


@pytest.fixture
def registry() -> Iterator[MemoryRegistry]:
    with memory_registry() as running:
        yield running


@pytest.fixture(params=["apicurio", "memory"])
def world(
    request: pytest.FixtureRequest, topics: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[World]:
    url = request.getfixturevalue("apicurio" if request.param == "apicurio" else "registry").url
    made = World(topics, tmp_path, url, monkeypatch)
    yield made
    made.close()


def test_events_in_avro_start_runs_that_emit_avro(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    shipped_id = world.register(f"{world.target}-value", SHIPPED)
    write = AvroSerializer(world.confluent, json.dumps(PLACED), conf=BY_TOPIC)
    context = SerializationContext(world.source, MessageField.VALUE)
    world.publish()
    for role in ("ingress", "engine"):
        world.bench.worker(role=role)

    values = [write({"order": f"o-{n}"}, context) for n in range(3)]
    world.bench.send(world.source, *values, {"order": "o-json"}, head(999_999) + b"x", values[0][:-1])

    found = world.until_shipped("o-0", "o-1", "o-2", "o-json")
    record = found["o-0"]
    assert framed_schema(record.value()) == shipped_id
    assert header(record, "content-type") == b"application/avro"
    assert header(record, "ce_dataschema").decode() == f"{world.url}/schemas/ids/{shipped_id}"
    assert header(record, "ce_type") == b"order.shipped"
    assert eventually(lambda: len(world.reasons()) == 2, timeout=60)
    assert sorted(world.reasons()) == ["schema_decode_failed", "schema_unknown"]
    counts = world.bench.read(world.source, 6)
    assert (counts["matched"], counts["dead"]) == (4, 2)

    monkeypatch.setenv("STREAMFLOW_KAFKA__BOOTSTRAP_SERVERS", world.bench.settings.kafka.bootstrap_servers or "")
    monkeypatch.setenv("STREAMFLOW_TOPICS__PREFIX", world.bench.settings.topics.prefix)
    assert main(["events", "send", "order.shipped", "--data", '{"order": "o-sent"}']) == 0
    assert framed_schema(world.until_shipped("o-sent")["o-sent"].value()) == shipped_id


def test_a_source_waits_for_a_registry_that_is_away_and_loses_nothing(
    registry: MemoryRegistry, topics: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(topics, tmp_path, registry.url, monkeypatch)
    try:
        world.register(f"{world.target}-value", SHIPPED)
        schema_id = world.register(f"{world.source}-value", PLACED)
        other = world.bench.topic()
        world.publish()
        plain = CATALOG.replace("SOURCE", other).replace("TARGET", world.target).replace("order.placed", "plain.placed")
        second = parse_definition(DEFINITION.replace("order.placed", "plain.placed").replace("shipping", "plain"))
        publish_checked(world.bench.settings, second, parse_catalog(plain))
        ingress = world.bench.worker()
        world.bench.worker(role="engine")
        registry.stop()

        world.bench.send(world.source, framed(schema_id, {"order": "o-away"}, json.dumps(PLACED)), {"order": "o-after"})
        eventually(lambda: ingress.says("sources_wait_for_registry"), timeout=60)
        world.bench.send(other, {"order": "o-other"})
        assert world.bench.read(other, 1)["matched"] == 1
        assert world.bench.counts(world.source)["read"] < 2
        registry.start()

        world.until_shipped("o-away", "o-after", "o-other")
        assert world.reasons() == []
        assert world.bench.read(world.source, 2)["matched"] == 2
    finally:
        world.close()


def test_a_publication_that_the_registry_cannot_answer_changes_nothing(world: World) -> None:
    definition = parse_definition(DEFINITION)
    catalog = parse_catalog(CATALOG.replace("SOURCE", world.source).replace("TARGET", world.target))
    with pytest.raises(OperationError) as unknown:
        publish_checked(world.bench.settings, definition, catalog)
    assert unknown.value.code == "subject_unknown"
    world.register(f"{world.target}-value", {"type": "record", "name": "Other", "fields": []})
    with pytest.raises(Rejected) as misfit:
        publish_checked(world.bench.settings, definition, catalog)
    assert misfit.value.code == "schema_misfit"
    log = read_log(world.bench.settings)
    assert (dict(log.versions), dict(log.bindings)) == ({}, {})
