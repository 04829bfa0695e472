"""How the records of each mirrored topic are written: with the schema of this release, under the id that the registry
gave it."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping
from contextlib import closing
from typing import Any, NamedTuple

from streamflow.kafka.topics import COMMANDS, DEAD_LETTERS, RUNS, mirror_topic_name
from streamflow.registry.client import registry_client
from streamflow.settings import Settings
from streamflow.wire.avro_records import command_value, dead_letter_value, run_value
from streamflow.wire.avro_schemas import avro_schemas
from streamflow.wire.dead_letter import Outgoing
from streamflow.wire.decoding import Record
from streamflow.wire.frame import head

_VALUES: Mapping[str, Callable[[Record], dict[str, Any]]] = {
    RUNS: run_value,
    COMMANDS: command_value,
    DEAD_LETTERS: dead_letter_value,
}
_CONTENT_TYPE = ("content-type", b"application/avro")


class Format(NamedTuple):
    """How the records of one topic are written."""

    target: str  # the topic that they go to
    write: Callable[[Record], Outgoing]  # raises DecodeError for a record that is none of ours


def registered_formats(settings: Settings) -> dict[str, Format]:
    """The formats by the role of the topic, after their schemas were registered under the subject of each target.

    Blocks. Raises OperationError as `registry_client` and `Registry.register`."""
    schemas = avro_schemas()
    found: dict[str, Format] = {}
    with closing(registry_client(settings.registry)) as registry:
        for role in settings.mirror.topics:
            target = mirror_topic_name(settings, role)
            text = json.dumps(schemas[f"{role}.avsc"])
            schema_id = registry.register(f"{target}-value", text)
            uri = f"{(settings.registry.url or '').rstrip('/')}/schemas/ids/{schema_id}"
            found[role] = Format(target, avro_writer(role, schema_id, uri))
    return found


def avro_writer(role: str, schema_id: int, uri: str) -> Callable[[Record], Outgoing]:
    """What writes records of the topic `role` with its schema, which the registry has as `schema_id` at `uri`.

    A record of `runs` stays a CloudEvent, with `uri` as its `dataschema`."""
    import fastavro

    parsed = fastavro.parse_schema(avro_schemas()[f"{role}.avsc"])
    begin, value_of = head(schema_id), _VALUES[role]
    own = (_CONTENT_TYPE, ("ce_dataschema", uri.encode())) if role == RUNS else (_CONTENT_TYPE,)

    def write(record: Record) -> Outgoing:
        stream = io.BytesIO()
        stream.write(begin)
        fastavro.schemaless_writer(stream, parsed, value_of(record))
        kept = record.headers if role == RUNS else ()
        headers = tuple((name, value) for name, value in kept if name != _CONTENT_TYPE[0])
        return Outgoing(record.key, stream.getvalue(), headers + own)

    return write
