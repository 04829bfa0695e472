"""Events that are handed in over the API: each is found in the catalog, made a record, and read as ingress will read
it, before anything is sent."""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from streamflow.definition.catalog import Catalog, EventSpec
from streamflow.errors import DefinitionError, Rejected
from streamflow.kafka.definitions import Snapshot
from streamflow.ops.produce import Outgoing, with_schema
from streamflow.ops.sending import bound_topic, event_spec, reader_of, received, unwanted
from streamflow.registry.event_writers import EventWriters
from streamflow.wire.cloudevents import NO_ATTRIBUTES, as_headers, structured
from streamflow.wire.codec import DecodeError
from streamflow.wire.decoding import Record
from streamflow.wire.event_record import Stamp, event_record
from streamflow.wire.json_text import read_json

_WRITERS = EventWriters()  # of this process, for events that are bound to a subject of a schema registry


@dataclass(frozen=True, slots=True, kw_only=True)
class Incoming:
    """An event as it was handed in."""

    event: str
    """Its name in the catalog."""

    data: Any
    """Its payload."""

    key: str | None = None
    """Its business key; None: it is in the payload, where the catalog says."""

    id: str | None = None
    """Its id, by which a repeated one is known; None: a new one."""

    headers: Mapping[str, str] = field(default_factory=dict)
    """Headers of its record."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """An event that may be sent."""

    event: str
    """Its name in the catalog."""

    id: str
    """Its id."""

    topic: str
    """The topic that it goes to."""

    record: Outgoing
    """The record."""

    warnings: tuple[str, ...] = ()
    """What its sender should know."""


def ready(log: Snapshot, incoming: Incoming, event_bytes: int) -> Ready:
    """The event as a record of at most `event_bytes`. Raises Rejected: `event_unknown`, `event_unbound`,
    `payload_no_object`, or `event_refused` when ingress would make a dead letter of it (`reason` says of which kind) or
    not take it for this event at all."""
    catalog = log.catalog()
    spec = event_spec(catalog, incoming.event)
    topic = bound_topic(spec)
    new = uuid.uuid4()
    stamp = Stamp(
        id=incoming.id or str(new),
        time_ms=time.time_ns() // 1_000_000,
        source=f"/streamflow/{log.environment}/api",
        headers=incoming.headers,
        number=new.int >> 75 if incoming.id is None else None,
    )
    made = event_record(spec, incoming.data, incoming.key, stamp)
    record = Outgoing(made.key, made.value, made.headers)
    _require_readable(catalog, spec, topic, record, event_bytes)
    try:
        record = with_schema(record, _WRITERS.of(spec.name, log.bindings.get(spec.name)))
    except DecodeError as error:
        raise Rejected("event_refused", error.message, reason=error.code) from error
    warnings = () if spec.name in received(log) else (unwanted([spec.name]),)
    return Ready(event=spec.name, id=stamp.id, topic=topic, record=record, warnings=warnings)


def cloudevent(catalog: Catalog, envelope: Any) -> Incoming:
    """A CloudEvent in structured mode (JSON event format of CloudEvents 1.0.2) as an event of the catalog: the one that
    is identified by its type, or called like it. The attribute `partitionkey` is its business key. Raises DecodeError
    (`bad_cloudevent`, `not_json`), Rejected (`event_unknown`)."""
    attributes, data = structured(envelope, NO_ATTRIBUTES)
    kind = attributes.type or ""
    named = [one.name for one in catalog.events if one.match is not None and one.match.type == kind]
    key = envelope.get("partitionkey")
    return Incoming(
        event=named[0] if named else kind,
        data=read_json(data) if isinstance(data, bytes) else data,
        key=key if isinstance(key, str) and key else None,
        id=attributes.id,
        headers={name: value.decode() for name, value in as_headers(envelope).items()},
    )


def _require_readable(catalog: Catalog, spec: EventSpec, topic: str, record: Outgoing, event_bytes: int) -> None:
    size = len(record.value or b"")
    if size > event_bytes:
        raise Rejected(
            "event_refused",
            f"The event {spec.name} has {size} bytes, and {event_bytes} is the limit. Store the data elsewhere and "
            "send a reference.",
            reason="event_too_large",
        )
    specs = [one for one in catalog.events if topic in one.topics]
    try:
        reader = reader_of(specs)
    except DefinitionError as error:
        raise Rejected("event_refused", error.message, reason=error.code) from error
    given = Record(topic, 0, 0, 0, record.key, record.value, record.headers)
    if spec not in [specs[number] for number in reader.specs(given)]:
        raise Rejected(
            "event_refused",
            f"This would not be recognised as {spec.name}: the condition that distinguishes it from other events does "
            "not hold. Correct the payload or the headers.",
            reason="not_this_event",
        )
    found, refusals = reader.read(given, "")
    if refusals:
        raise Rejected("event_refused", refusals[0].message, reason=refusals[0].reason)
    if any(one.key is None for one in found):
        raise Rejected(
            "event_refused",
            f"The event {spec.name} has no business key, neither beside its data nor where the catalog reads it. Give "
            "it one.",
            reason="missing_key",
        )
