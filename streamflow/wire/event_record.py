"""An event as a record that is found as the catalog says: the reverse of `extraction`. What sends events by hand, and
what plays them in simulations, writes them by this."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec
from msgspec import Struct

from streamflow.definition.catalog import EventSpec, Location, TimeLocation
from streamflow.definition.plan import whole_number
from streamflow.errors import Rejected
from streamflow.wire.decoding import Headers
from streamflow.wire.transitions import rfc3339

_PER_MS = {"us": 1000, "ns": 1_000_000}


class Stamp(Struct, frozen=True, kw_only=True):
    """What an event is given where it says nothing itself."""

    id: str
    time_ms: int  # epoch milliseconds
    source: str | None = None  # of a CloudEvent; None for none
    is_cloudevent: bool = False  # also where the catalog tells the event by something else than its type
    headers: Mapping[str, str] = {}  # of the record; they go before everything else


class EventRecord(NamedTuple):
    """A record to be sent."""

    key: bytes | None
    value: bytes
    headers: Headers


def event_record(spec: EventSpec, data: Any, key: str | None, stamp: Stamp) -> EventRecord:
    """`data` as a record that is the event `spec`: what the catalog reads to tell it from others, and its id, time and
    key, are added where they are missing. Events that are told by their CloudEvents type become CloudEvents in binary
    mode, others stay plain JSON.

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
        told_by = Location(path=match.path) if match.path else Location(header=match.header)
        _fill(told_by, match.equals, data, headers)
    if spec.id is not None:
        _fill(spec.id, stamp.id, data, headers)
    if spec.time is not None:
        _fill(spec.time, _time(spec.time, stamp.time_ms), data, headers)
    if spec.key is not None and key is not None:
        _fill(spec.key, key, data, headers)
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


def _time(place: TimeLocation, time_ms: int) -> str | int:
    if place.unit is None:
        return rfc3339(time_ms).decode()
    return time_ms // 1000 if place.unit == "s" else time_ms * _PER_MS.get(place.unit, 1)


def _fill(place: Location, value: str | int | bool, data: Any, headers: dict[str, str]) -> None:
    """Puts `value` at `place` unless something is there."""
    if place.header is not None:
        headers.setdefault(place.header, str(value).lower() if isinstance(value, bool) else str(value))
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
    node.setdefault(last, value)


def _found(place: Location, data: Any, headers: Mapping[str, str]) -> Any:
    return headers.get(place.header) if place.header is not None else at_path(data, place.path or "")
