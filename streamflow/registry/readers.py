"""The schemas that a process reads payloads with, by their ids: asked for once, compiled once, kept.

`missing` and `read` are for the one thread that reads records, and never block; `fetch` asks the registry, in any
thread."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import msgspec

from streamflow.errors import OperationError
from streamflow.registry.client import Registry, registry_client
from streamflow.registry.registered import RegisteredSchema
from streamflow.settings import Settings
from streamflow.wire.cloudevents import binary_data
from streamflow.wire.codec import DecodeError
from streamflow.wire.decoding import MOST_SCHEMAS, Decoded, Record, schema_ids
from streamflow.wire.frame import HEAD_BYTES, SCHEMA_NAME, framed_schema
from streamflow.wire.json_text import read_json
from streamflow.wire.locations import scalar_text
from streamflow.wire.unreadable import UNREADABLE


class PayloadReader(NamedTuple):
    """Reads the values that were written with one schema."""

    read: Callable[[bytes], Any]  # the payload of a framed value as data; raises DecodeError
    name: Callable[[bytes], str]  # what the schema calls it; empty: nothing


class _Known(NamedTuple):
    reader: PayloadReader | None
    error: DecodeError | None = None  # why nothing can be read with it
    since_s: float = 0.0  # when the registry said that


class SchemaReaders:
    """At most `keep` schemas of `registry`. That there is none of an id is remembered for `unknown_s` seconds."""

    def __init__(
        self, registry: Registry, *, keep: int, unknown_s: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._registry = registry
        self._keep = keep
        self._unknown_s = unknown_s
        self._clock = clock
        self._known: OrderedDict[int, _Known] = OrderedDict()

    def lacks(self, schema_id: int, waiting_since_s: float | None = None) -> bool:
        """Whether the registry must be asked before a value that was written with this schema can be read. That there
        is none counts for `unknown_s`, and for a value that was already waited for when it was said: else one with
        many such schemas would be asked for without end."""
        known = self._known.get(schema_id)
        if known is None or known.error is None:
            return known is None
        waited_for = waiting_since_s is not None and waiting_since_s <= known.since_s
        return not waited_for and self._clock() >= known.since_s + self._unknown_s

    def missing(self, schema_ids: Sequence[int], waiting_since_s: float | None = None) -> tuple[int, ...]:
        """Those of these schemas that the registry must be asked for, each once. None: what was written with them can
        be read until this is asked again; what was used longest ago goes here and nowhere else."""
        if missing := tuple({one: None for one in schema_ids if self.lacks(one, waiting_since_s)}):
            return missing
        for schema_id in schema_ids:
            self._known.move_to_end(schema_id)
        keep = max(self._keep, len(set(schema_ids)))  # of one record all are needed at once
        while len(self._known) > keep:
            self._known.popitem(last=False)
        return ()

    def now_s(self) -> float:
        """The time by the clock of `waiting_since_s`."""
        return self._clock()

    def fetch(self, schema_id: int) -> None:
        """Ask the registry. Blocks. Raises OperationError when it is away or refuses; what it says of the schema is
        remembered, whatever it is."""
        try:
            known = _Known(payload_reader(self._registry.schema(schema_id)))
        except OperationError as error:
            if error.retryable or error.code not in ("schema_unknown", "schema_unusable", "subject_unknown"):
                raise
            code = "schema_unusable" if error.code == "subject_unknown" else error.code  # of a reference of the schema
            known = _Known(None, DecodeError(code, error.message), self._clock())
        self._known[schema_id] = known

    def read(self, value: bytes) -> Any:
        """The payload of a framed value. Raises DecodeError: `schema_unknown`, `schema_unusable`,
        `schema_decode_failed`, `too_deep`, `out_of_range`, `not_json`."""
        return self._reader(value).read(value)

    def name(self, value: bytes) -> str:
        """What the schema of a framed value calls it: the name of its record or message, or its title; empty when it
        has none. Raises DecodeError (`schema_unknown`, `schema_unusable`)."""
        return self._reader(value).name(value)

    def _reader(self, value: bytes) -> PayloadReader:
        schema_id = framed_schema(value)
        known = None if schema_id is None else self._known.get(schema_id)
        if known is None or schema_id is None:
            raise DecodeError(
                "schema_unknown",
                f"The registry was not asked for the schema {schema_id}: the record has events with more than "
                f"{MOST_SCHEMAS} schemas, or does not name `data_base64` in plain characters. Send fewer events in one "
                "record.",
            )
        if known.reader is None:
            assert known.error is not None
            raise DecodeError(known.error.code, known.error.message)
        return known.reader

    def close(self) -> None:
        """Close the connections to the registry. What is known can still be read with."""
        self._registry.close()

    def read_asking(self, value: bytes) -> Any:
        """As `read`, after the registry was asked if need be: for callers that may block. Raises OperationError when it
        is away."""
        schema_id = framed_schema(value)
        if schema_id is not None:
            self._ask((schema_id,))
        return self.read(value)

    def ask_for(self, record: Record) -> None:
        """Asks the registry if `record` cannot be read yet. Blocks. Raises OperationError when it is away."""
        self._ask(schema_ids(record))

    def _ask(self, schema_ids: Sequence[int]) -> None:
        began_s = self._clock()
        while missing := self.missing(schema_ids, began_s):
            for schema_id in missing:
                self.fetch(schema_id)

    def as_json(self, record: Record) -> Record:
        """`record` with its payload in JSON and its key as text, for callers without a registry; as it is when it is
        not framed, or cannot be read. Raises OperationError when the registry is away."""
        self.ask_for(record)
        try:
            if framed_schema(record.key) is not None:
                key = scalar_text(Decoded(record._replace(headers=()), unframe=self).key)
                record = record._replace(key=key.encode() or None)
            if framed_schema(record.value) is None:
                return self._envelopes_as_json(record)
            value = msgspec.json.encode(self.read_asking(record.value or b""))
        except DecodeError:
            return record
        own = (("content-type", b"application/json"), (SCHEMA_NAME, self.name(record.value or b"").encode()))
        headers = tuple((name, text) for name, text in record.headers if name not in dict(own))
        return record._replace(value=value, headers=headers + own)

    def _envelopes_as_json(self, record: Record) -> Record:
        """`record` with the framed payloads of structured CloudEvents in it in JSON."""
        if not schema_ids(record):
            return record
        whole = read_json(record.value or b"")
        names: list[str] = []

        def plain(envelope: Any) -> Any:
            payload = binary_data(envelope)
            if payload is None or framed_schema(payload) is None:
                return envelope
            names.append(self.name(payload))
            kept = {name: value for name, value in envelope.items() if name != "data_base64"}
            return kept | {"data": self.read(payload), "datacontenttype": "application/json"}

        found = [plain(one) for one in whole] if isinstance(whole, list) else plain(whole)
        named = () if isinstance(whole, list) or not names else ((SCHEMA_NAME, names[0].encode()),)
        return record._replace(value=msgspec.json.encode(found), headers=record.headers + named)


def schema_readers(settings: Settings) -> SchemaReaders | None:
    """The readers of a process; None when no registry is set. Raises OperationError as `registry_client`."""
    if settings.registry.url is None:
        return None
    registry = registry_client(settings.registry)
    return SchemaReaders(registry, keep=settings.registry.cache_schemas, unknown_s=settings.registry.unknown_s)


def payload_reader(schema: RegisteredSchema) -> PayloadReader:
    """What reads values that were written with `schema`. Raises OperationError (`schema_unusable`)."""
    try:
        if schema.type == "JSON":
            title = _title(schema.text)
            return PayloadReader(lambda value: read_json(value[HEAD_BYTES:]), lambda value: title)
        if schema.type == "PROTOBUF":
            from streamflow.registry.protobuf import ProtobufSchema, protobuf_reader

            messages = ProtobufSchema(schema)
            return PayloadReader(protobuf_reader(messages), messages.name)
        from streamflow.registry.avro import AvroSchema, avro_reader

        avro = AvroSchema(schema)
        return PayloadReader(avro_reader(avro), lambda value: avro.name)
    except (*UNREADABLE, AttributeError) as error:
        raise OperationError(
            "schema_unusable",
            f"The schema {schema.id} cannot be read with: {str(error)[:300]}. Correct it in the registry.",
            retryable=False,
        ) from error


def _title(text: str) -> str:
    try:
        found = read_json(text.encode())
    except DecodeError:
        return ""
    title = found.get("title") if isinstance(found, dict) else None
    return title if isinstance(title, str) else ""
