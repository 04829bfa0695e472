"""All topics of an environment as an AsyncAPI 3 document: those of users from the catalog and the bindings, our own
from their contracts."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from typing import Any, get_args

import msgspec

from streamflow.definition.catalog import Binding, EventSpec
from streamflow.definition.content import emitted_names, received_events
from streamflow.definition.schema_document import rewritten
from streamflow.engine.commands import Command
from streamflow.engine.effects import Unclaimed
from streamflow.engine.tasks import CancelTask, Task
from streamflow.kafka.definitions import Snapshot
from streamflow.kafka.groups import engine_group, ingress_group
from streamflow.kafka.topics import COMMANDS, DEAD_LETTERS, MIRRORS, RUNS, UNCLAIMED, Topic, topics
from streamflow.settings import Settings
from streamflow.wire.avro_schemas import avro_schemas
from streamflow.wire.cloudevents import STRUCTURED
from streamflow.wire.schemas import schemas

ASYNCAPI = "3.0.0"
KAFKA_BINDING = "0.5.0"
_KEY = {"type": "string"}
_AVRO = "application/vnd.apache.avro+json;version=1.9.0"
_CONTENT_TYPES = {"AVRO": "application/avro", "JSON": "application/json", "PROTOBUF": "application/protobuf"}
_FRAMED = {
    "schemaIdLocation": "payload",
    "schemaIdPayloadEncoding": "confluent",
    "schemaLookupStrategy": "TopicIdStrategy",
}
_ABOUT = {
    "definitions": "Published definitions, their events and bindings; compacted. Only Streamflow writes it.",
    COMMANDS: "Requests to the engine, by business key. Only processes of Streamflow write it.",
    RUNS: "What happened in runs: transitions, by business key. A public contract.",
    "state": "The changelog of the engine's state; compacted. Only the engine reads and writes it.",
    DEAD_LETTERS: "Records that were refused, as they came, with the reason in headers `streamflow.dlq.*`.",
    UNCLAIMED: "Events that no run took, without their payloads. A public contract.",
    "audit": "What people did, kept for years.",
    "logs": "Log lines about runs.",
    "access": "Users, keys, roles and sessions; compacted.",
    "jobs": "Jobs on many runs; compacted.",
    "authoring": "Conversations about definitions; compacted.",
}
_TASKS = "Attempts for the task workers of one lane."
_MIRROR = "The records of the topic of this name without `.avro`, in Avro. A public contract."


class _Document:
    """The document while it is made."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.channels: dict[str, Any] = {}
        self.operations: dict[str, Any] = {}
        self.messages: dict[str, Any] = {}
        self.schemas: dict[str, Any] = {}

    def payload(self, name: str, schema: Mapping[str, Any]) -> dict[str, str]:
        """A reference to `schema`, which is kept under `name`. What it refers to within itself is found there."""
        here = f"#/components/schemas/{name}"

        def moved(part: dict[str, Any]) -> dict[str, Any]:
            target = part.get("$ref")
            return {**part, "$ref": here + target[1:]} if isinstance(target, str) and target[:1] == "#" else part

        self.schemas[name] = rewritten(schema, moved)
        return {"$ref": here}

    def channel(self, topic: str, description: str, messages: Iterable[str], own: Topic | None = None) -> None:
        """A topic with its messages."""
        binding: dict[str, Any] = {"topic": topic, "bindingVersion": KAFKA_BINDING}
        if own is not None:
            binding |= {"partitions": own.partitions, "replicas": own.replication_factor}
            kept = {name: value for name, value in own.config.items() if name in ("cleanup.policy", "retention.ms")}
            binding["topicConfiguration"] = {
                name: [value] if name == "cleanup.policy" else int(value) for name, value in kept.items()
            }
        self.channels[_name(topic)] = {
            "address": topic,
            "description": description,
            "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in messages},
            "bindings": {"kafka": binding},
        }

    def operation(self, topic: str, action: str, messages: Iterable[str], group: str | None = None) -> None:
        """What Streamflow does with a topic; messages are those of its channel."""
        channel = f"#/channels/{_name(topic)}"
        found: dict[str, Any] = {
            "action": action,
            "channel": {"$ref": channel},
            "messages": [{"$ref": f"{channel}/messages/{name}"} for name in messages],
        }
        if group is not None:
            binding = {"groupId": {"type": "string", "enum": [group]}, "bindingVersion": KAFKA_BINDING}
            found["bindings"] = {"kafka": binding}
        self.operations[f"{action}-{_name(topic)}"] = found

    def whole(self, environment: str) -> dict[str, Any]:
        """The document."""
        title = f"Streamflow, environment {environment}"
        return {
            "asyncapi": ASYNCAPI,
            "info": {"title": title, "version": version("streamflow-kafka")},
            "defaultContentType": "application/json",
            "servers": _servers(self.settings),
            "channels": self.channels,
            "operations": self.operations,
            "components": {"messages": self.messages, "schemas": self.schemas},
        }


def asyncapi(settings: Settings, log: Snapshot) -> dict[str, Any]:
    """The document of the environment that `log` is the definitions log of. What Streamflow receives are the events
    that published definitions start by or wait for, what it sends those that they emit."""
    document = _Document(settings)
    served = list(log.served())
    received = {name for one in served for name in received_events(one.definition)}
    sent = {name for one in served for name in emitted_names(one.definition)}
    by_topic: dict[str, list[EventSpec]] = {}
    for spec in log.catalog().events:
        for topic in spec.topics:
            by_topic.setdefault(topic, []).append(spec)
    for topic, specs in sorted(by_topic.items()):
        for spec in specs:
            document.messages[_name(spec.name)] = _message(document, spec, log.bindings.get(spec.name))
        document.channel(topic, "A topic of users.", [_name(spec.name) for spec in specs])
        here = [_name(spec.name) for spec in specs if spec.name in received]
        if here:
            document.operation(topic, "receive", here, ingress_group(settings))
        there = [_name(spec.name) for spec in specs if spec.name in sent and spec.topics[:1] == [topic]]
        if there:
            document.operation(topic, "send", there)
    _add_own(document)
    return document.whole(log.environment)


def _message(document: _Document, spec: EventSpec, binding: Binding | None) -> dict[str, Any]:
    message: dict[str, Any] = {"name": spec.name, "contentType": "application/json"}
    kafka: dict[str, Any] = {"key": _KEY, "bindingVersion": KAFKA_BINDING}
    if spec.title:
        message["title"] = spec.title
    if spec.description:
        message["description"] = spec.description
    if spec.schema_:
        message["payload"] = document.payload(_name(spec.name), spec.schema_)
    written = binding.written if binding is not None else None
    if written is not None:
        message["contentType"] = _CONTENT_TYPES[written.type]
        if written.type == "AVRO":
            message["payload"] = {"schemaFormat": _AVRO, "schema": json.loads(written.text)}
        if written.mode == "structured":
            message["contentType"] = STRUCTURED
        else:
            kafka |= _FRAMED
        message["x-subject"] = {"subject": written.subject, "version": written.version, "id": written.id}
    if spec.match is None or spec.match.type is not None:
        kind = spec.name if spec.match is None or spec.match.type is None else spec.match.type
        message["headers"] = {
            "type": "object",
            "properties": {"ce_type": {"type": "string", "const": kind}, "ce_id": {"type": "string"}},
            "required": ["ce_type"],
        }
    message["bindings"] = {"kafka": kafka}
    return message


def _add_own(document: _Document) -> None:
    settings = document.settings
    contracts: dict[str, dict[str, Any]] = {
        COMMANDS: _contract(get_args(Command)),
        RUNS: {name: part for name, part in schemas()["transition.json"].items() if name != "$schema"},
        UNCLAIMED: _contract([Unclaimed]),
        "tasks": _contract([Task, CancelTask]),
    }
    avro = avro_schemas()
    for topic in topics(settings):
        kind = "tasks" if topic.role.startswith("tasks.") else topic.role
        name = _name(topic.role)
        message: dict[str, Any] = {
            "name": topic.role,
            "bindings": {"kafka": {"key": _KEY, "bindingVersion": KAFKA_BINDING}},
        }
        if kind in contracts:
            message["payload"] = document.payload(f"streamflow.{_name(kind)}", contracts[kind])
            message["contentType"] = "application/json"
        elif kind in MIRRORS:
            message["payload"] = {"schemaFormat": _AVRO, "schema": avro[f"{MIRRORS[kind]}.avsc"]}
            message["contentType"] = "application/avro"
            message["bindings"]["kafka"] |= _FRAMED
        elif kind == DEAD_LETTERS:
            message["headers"] = {
                "type": "object",
                "properties": {
                    f"streamflow.dlq.{one}": {"type": "string"} for one in ("id", "reason", "message", "stage")
                },
            }
        document.messages[f"streamflow.{name}"] = message
        about = _ABOUT.get(topic.role, _MIRROR if topic.role in MIRRORS else _TASKS)
        document.channel(topic.name, about, [f"streamflow.{name}"], topic)
        if topic.role == COMMANDS:
            document.operation(topic.name, "receive", [f"streamflow.{name}"], engine_group(settings))
        if topic.role in (RUNS, UNCLAIMED, DEAD_LETTERS, *MIRRORS):
            document.operation(topic.name, "send", [f"streamflow.{name}"])


def _contract(kinds: Iterable[Any]) -> dict[str, Any]:
    """The JSON Schema of records that are one of `kinds`."""
    kinds = list(kinds)
    _, parts = msgspec.json.schema_components(kinds, ref_template="#/$defs/{name}")
    return {"oneOf": [{"$ref": f"#/$defs/{kind.__name__}"} for kind in kinds], "$defs": dict(sorted(parts.items()))}


def _servers(settings: Settings) -> dict[str, Any]:
    kafka = settings.kafka
    protocol = "kafka-secure" if kafka.security_protocol != "PLAINTEXT" else "kafka"
    found: dict[str, Any] = {}
    for number, host in enumerate((kafka.bootstrap_servers or "localhost:9092").split(","), 1):
        found[f"broker-{number}"] = {"host": host.strip(), "protocol": protocol}
        if settings.registry.url is not None:
            found[f"broker-{number}"]["bindings"] = {
                "kafka": {
                    "schemaRegistryUrl": settings.registry.url,
                    "schemaRegistryVendor": "confluent",
                    "bindingVersion": KAFKA_BINDING,
                }
            }
    return found


def _name(text: str) -> str:
    """`text` in the letters that keys of the document may have."""
    return re.sub(r"[^A-Za-z0-9._-]", "_", text)
