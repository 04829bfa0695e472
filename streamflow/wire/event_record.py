"""An event as a record that is found as the catalog says: the reverse of `extraction`. What sends events by hand, and
what plays them in simulations, writes them by this."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import msgspec
from msgspec import Struct

from streamflow.definition.catalog import EventSpec, Location, TimeLocation
from streamflow.definition.json_schema import json_types
from streamflow.definition.plan import whole_number
from streamflow.definition.schema_shape import ANY, shape_of
from streamflow.errors import Rejected
from streamflow.wire.decoding import Headers
from streamflow.wire.transitions import rfc3339

_WHOLE = re.compile("0|-?[1-9][0-9]{0,29}")
_PER_MS = {"us": 1000, "ns": 1_000_000}


class Stamp(Struct, frozen=True, kw_only=True):
    """What an event is given where it says nothing itself."""

    id: str
    time_ms: int  # epoch milliseconds
    source: str | None = None  # of a CloudEvent; None for none
    is_cloudevent: bool = False  # also where the catalog identifies the event by something else than its type
    headers: Mapping[str, str] = {}  # of the record; they go before everything else
    number: int | None = None  # instead of `id` where the schema wants a whole number and `id` is none


class EventRecord(NamedTuple):
    """A record to be sent."""

    key: bytes | None
    value: bytes
    headers: Headers


def event_record(spec: EventSpec, data: Any, key: str | None, stamp: Stamp) -> EventRecord:
    """`data` as a record that is the event `spec`: what the catalog reads to identify it, and its id, time and
    key, are added where they are missing. Events that are identified by their CloudEvents type become CloudEvents in
    binary mode, others stay plain JSON. Where the schema declares an id, time or key as a number, it is
    one: a time without a unit in milliseconds.

    Raises Rejected (`payload_no_object`) when a place is in the payload and the payload is no JSON object."""
    data = copy.deepcopy(data)
    headers = dict(stamp.headers)
    match = spec.match
    if match is None or match.type is not None or stamp.is_cloudevent:
        attributes = {
            "ce_specversion": "1.0",
            "ce_type": spec.name if match is None or match.type is None else match.type,
            "ce_source": stamp.source,
            "ce_id": stamp.id,
            "ce_time": rfc3339(stamp.time_ms).decode(),
        }
        headers = {name: value for name, value in attributes.items() if value is not None} | headers
    headers.setdefault("content-type", "application/json")
    if match is not None and match.equals is not None:
        matched_at = Location(path=match.path) if match.path else Location(header=match.header)
        _fill(matched_at, lambda: match.equals, data, headers)
    if (place := spec.id) is not None:
        _fill(place, lambda: _as_declared(stamp.id, spec, place, stamp.number), data, headers)
    if (time := spec.time) is not None:
        _fill(time, lambda: _time(spec, time, stamp.time_ms), data, headers)
    if (at := spec.key) is not None and key is not None:
        _fill(at, lambda: _as_declared(key, spec, at), data, headers)
    found = key if spec.key is None else _found(spec.key, data, headers)
    return EventRecord(
        None if found is None else key_text(found).encode(),
        msgspec.json.encode(data),
        tuple((name, text.encode()) for name, text in headers.items()),
    )


def key_text(value: Any) -> str:
    """A value of the payload as the key of a record: as ingress reads it, if it can be one."""
    return str(whole_number(value) if isinstance(value, float) else value)


def at_path(data: Any, path: str) -> Any:
    """What is at the dotted `path` in `data`; None if nothing is."""
    for part in path.split("."):
        data = data.get(part) if isinstance(data, dict) else None
    return data


def wants_number(spec: EventSpec, place: Location) -> bool:
    """Whether the schema of `spec` allows numbers and no text at `place` of the payload."""
    shape = shape_of(spec.schema_)
    for part in (place.path or "").split("."):
        shape = shape.get("properties", {}).get(part) or ANY
    types = json_types(shape)
    return place.path is not None and bool(types & {"integer", "number"}) and "string" not in types


def _as_declared(text: str, spec: EventSpec, place: Location, number: int | None = None) -> str | int:
    """`text` as its place declares it: a whole number where the schema wants one and `text` writes one, or else
    `number` if there is one."""
    if not wants_number(spec, place):
        return text
    if _WHOLE.fullmatch(text):
        return int(text)
    return text if number is None else number


def _time(spec: EventSpec, place: TimeLocation, time_ms: int) -> str | int:
    if place.unit is None:
        return time_ms if wants_number(spec, place) else rfc3339(time_ms).decode()
    return time_ms // 1000 if place.unit == "s" else time_ms * _PER_MS.get(place.unit, 1)


def _fill(place: Location, make: Callable[[], Any], data: Any, headers: dict[str, str]) -> None:
    """Puts what `make` gives at `place` unless something is there."""
    if place.header is not None:
        if place.header not in headers:
            value = make()
            headers[place.header] = str(value).lower() if isinstance(value, bool) else str(value)
        return
    *parents, last = (place.path or "").split(".")
    node = data
    for part in parents:
        node = node.setdefault(part, {}) if isinstance(node, dict) else None
    if not isinstance(node, dict):
        raise Rejected(
            "payload_no_object",
            f"The catalog reads {place.path} of the payload, which is no JSON object. Send an object.",
        )
    if last not in node:
        node[last] = make()


def _found(place: Location, data: Any, headers: Mapping[str, str]) -> Any:
    return headers.get(place.header) if place.header is not None else at_path(data, place.path or "")
