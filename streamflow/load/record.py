"""An event of a scenario as a record of now: its times keep their distance to the scenario's clock."""

from __future__ import annotations

from typing import Any

from streamflow.definition.catalog import EventSpec
from streamflow.simulation.scenarios import Sent, start_ms
from streamflow.wire.codec import DecodeError
from streamflow.wire.event_record import EventRecord, Stamp, at_path, event_record
from streamflow.wire.event_time import epoch_ms

_CE_TIME = "ce_time"


def load_event(spec: EventSpec, sent: Sent, *, sent_ms: int, clock_ms: int, source: str) -> EventRecord:
    """`sent`, an event of the kind `spec`, as it is sent `sent_ms` (epoch milliseconds), while the scenario's clock
    shows `clock_ms`. An event that is said to be an hour old there is an hour old here. `source` is that of its
    CloudEvent, if it becomes one. Raises Rejected (`payload_no_object`)."""
    data, headers, said_ms = sent.data, dict(sent.headers), clock_ms
    place = spec.time
    if place is not None and place.path is not None:
        found = _time(at_path(data, place.path), place.unit)
        said_ms = said_ms if found is None else found
        data = _without(data, place.path)
    else:
        said_ms = _time(headers.pop((place.header if place is not None else None) or _CE_TIME, None), None) or said_ms
    if sent.time is not None:
        said_ms = start_ms(sent.time)
    stamp = Stamp(
        id=sent.id or "",
        time_ms=sent_ms + said_ms - clock_ms,
        source=source,
        is_cloudevent=spec.id is None,  # else nothing would hold its id
        headers=headers,
        number=int(sent.id) if sent.id is not None and sent.id.isdecimal() else None,
    )
    return event_record(spec, data, sent.key, stamp)


def _time(value: Any, unit: Any) -> int | None:
    try:
        return None if value is None else epoch_ms(value, unit)
    except DecodeError:
        return None  # what is wrong with it is for the reader to say


def _without(data: Any, path: str) -> Any:
    first, _, rest = path.partition(".")
    if not isinstance(data, dict) or first not in data:
        return data
    if rest:
        return data | {first: _without(data[first], rest)}
    return {name: value for name, value in data.items() if name != first}
