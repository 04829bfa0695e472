"""The AsyncAPI document: every topic, every message, and references that lead somewhere."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import jsonschema_rs
import msgspec
import pytest

from streamflow.definition.catalog import Binding, BoundSchema, Catalog, Subject
from streamflow.definition.content import canonical, sha256_of
from streamflow.definition.syntax import parse_definition
from streamflow.engine.commands import Event
from streamflow.engine.transitions import RunStarted, Transition
from streamflow.kafka.definitions import Snapshot
from streamflow.kafka.topics import topics
from streamflow.ops.asyncapi import asyncapi
from streamflow.settings import Kafka, Mirror, Registry, Settings
from streamflow.wire.codec import encode_command
from streamflow.wire.transitions import encode_transition
from tests.builders import a_delivery, an_event

SETTINGS = Settings(
    kafka=Kafka(bootstrap_servers="a:9092, b:9092"),
    registry=Registry(url="http://registry:8081"),
    mirror=Mirror(topics=["runs", "dead-letters"]),
)
DEFINITION = parse_definition(
    'name: ship\nversion: "1"\non: [{id: t, event: order.placed}]\n'
    "steps: [{id: a, emit: {event: order.shipped, data: [{name: id, expr: trigger.id}]}}]"
)
EVENTS: list[dict[str, Any]] = [
    {
        "name": "order.placed",
        "title": "An order",
        "match": {"path": "id"},
        "schema": {"$ref": "#/$defs/order", "$defs": {"order": {"type": "object", "required": ["id"]}}},
    },
    {"name": "order.shipped"},
]
AVRO = '{"type": "record", "name": "Shipped", "fields": [{"name": "id", "type": "string"}]}'


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    content = canonical(DEFINITION, Catalog.model_validate({"events": EVENTS}))
    sha = sha256_of(content)
    written = BoundSchema(subject="parcels-value", version=2, id=7, type="AVRO", text=AVRO)
    shipped = Binding(topics=["parcels", "old"], registry=Subject(subject="parcels-value"), written=written)
    log = Snapshot()
    records: dict[str, Any] = {
        "binding/order.placed": Binding(topics=["orders"]).model_dump(exclude_none=True),
        "binding/order.shipped": shipped.model_dump(exclude_none=True),
        **{f"event/{event['name']}": event for event in EVENTS},
        f"definition/{sha}": content,
        "version/ship@1": {"sha": sha, "retired": False, "published_ms": 5},
        "name/ship": {"version": "1", "sha": sha},
    }
    for offset, (key, value) in enumerate(records.items()):
        log.read(key.encode(), value if isinstance(value, bytes) else msgspec.json.encode(value), offset)
    return asyncapi(SETTINGS, log)


def references(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        if isinstance(part.get("$ref"), str):
            yield part["$ref"]
        for one in part.values():
            yield from references(one)
    elif isinstance(part, list):
        for one in part:
            yield from references(one)


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    found = set(references(document))
    assert len(found) > 50
    for reference in found:
        at: Any = document
        for name in reference.removeprefix("#/").split("/"):
            at = at[name.replace("~1", "/").replace("~0", "~")]


def test_every_topic_is_a_channel(document: dict[str, Any]) -> None:
    addresses = {channel["address"] for channel in document["channels"].values()}
    assert addresses == {topic.name for topic in topics(SETTINGS)} | {"orders", "parcels", "old"}
    assert all(channel["messages"] for channel in document["channels"].values())
    assert [server["host"] for server in document["servers"].values()] == ["a:9092", "b:9092"]
    assert document["servers"]["broker-1"]["bindings"]["kafka"]["schemaRegistryUrl"] == "http://registry:8081"


def test_what_is_received_and_sent_is_what_definitions_say(document: dict[str, Any]) -> None:
    operations = document["operations"]
    assert operations["receive-orders"]["messages"] == [{"$ref": "#/channels/orders/messages/order.placed"}]
    assert operations["receive-orders"]["bindings"]["kafka"]["groupId"]["enum"] == ["streamflow.ingress"]
    assert operations["send-parcels"]["messages"] == [{"$ref": "#/channels/parcels/messages/order.shipped"}]
    assert "send-old" not in operations
    assert "receive-parcels" not in operations


def test_a_message_says_how_it_is_written(document: dict[str, Any]) -> None:
    placed, shipped = (document["components"]["messages"][name] for name in ("order.placed", "order.shipped"))
    assert (placed["contentType"], placed["title"]) == ("application/json", "An order")
    assert shipped["contentType"] == "application/avro"
    assert shipped["payload"]["schema"] == json.loads(AVRO)
    assert shipped["headers"]["properties"]["ce_type"]["const"] == "order.shipped"
    assert shipped["x-subject"] == {"subject": "parcels-value", "version": 2, "id": 7}


def test_a_mirrored_topic_has_its_avro_schema(document: dict[str, Any]) -> None:
    message = document["components"]["messages"]["streamflow.runs.avro"]
    assert message["contentType"] == "application/avro"
    assert message["payload"]["schema"]["name"] == "Transition"
    assert "send-streamflow.runs.avro" in document["operations"]
    assert "without `.avro`" in document["channels"]["streamflow.runs.avro"]["description"]


def test_our_own_records_fit_their_contracts(document: dict[str, Any]) -> None:
    started = RunStarted(
        trigger="t", event=Event(name="placed", id="e1", time_ms=1, data={"id": 1}), sha="ab", revision="7"
    )
    common: dict[str, Any] = {"run": "0-1", "definition": "ship", "version": "1", "key": "k", "seq": 1, "at_ms": 5}
    _, transition, _ = encode_transition(Transition(**common, cause="c", data=started), None)
    for name, value in (("runs", transition), ("commands", encode_command(a_delivery(an_event())))):
        whole = {"$ref": f"#/components/schemas/streamflow.{name}", "components": document["components"]}
        validator = jsonschema_rs.validator_for(whole)
        validator.validate(json.loads(value))
        assert not validator.is_valid({"run": 5})
    json.dumps(document)
