"""`/events`: events handed in, one or many, as data or as CloudEvents."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from streamflow.errors import Rejected, StreamflowError
from streamflow.kafka.definitions import Snapshot
from streamflow.operations.callbacks import API_PATH
from streamflow.ops.intake import Incoming, Ready, cloudevent, ready
from streamflow.sidecar.log import Log
from streamflow.sidecar.principal import Right, needs
from streamflow.sidecar.problems import BODY_FAULTS, declared
from streamflow.sidecar.state import LogOf, StateOf
from streamflow.wire.cloudevents import BATCHED, STRUCTURED, media_type
from streamflow.wire.codec import DecodeError
from streamflow.wire.json_text import read_json

router = APIRouter(prefix=f"{API_PATH}/events", tags=["events"])

M = TypeVar("M", bound=BaseModel)

AT_ONCE = 500  # events of one request
_SEND = (
    *BODY_FAULTS,
    "bad_cloudevent",
    "too_many_events",
    "event_unknown",
    "event_unbound",
    "event_refused",
    "payload_no_object",
    "topic_reserved",
    "broker_refused",
)


class EventIn(BaseModel):
    """An event by its name in the catalog."""

    model_config = ConfigDict(extra="forbid")

    event: str = Field(min_length=1, max_length=400, examples=["order.placed"])
    data: Any = Field(default_factory=dict, description="the payload")
    key: str | None = Field(default=None, min_length=1, max_length=400, description="the business key")
    id: str | None = Field(
        default=None, min_length=1, max_length=400, description="the event's id: a repeated one is a duplicate"
    )


class EventsIn(BaseModel):
    """Many events."""

    model_config = ConfigDict(extra="forbid")

    events: list[EventIn] = Field(min_length=1, max_length=AT_ONCE)


_ONE, _MANY = EventIn.model_json_schema(), EventsIn.model_json_schema()
del _MANY["$defs"]  # a reference would be looked up in the whole document
_MANY["properties"]["events"]["items"] = _ONE
_EXAMPLES = {
    "one": {"value": {"event": "order.placed", "key": "A-1", "id": "o-1", "data": {"quantity": 2}}},
    "many": {"value": {"events": [{"event": "order.placed", "key": "A-1"}, {"event": "order.placed", "key": "A-2"}]}},
}
_CLOUD = {
    "specversion": "1.0",
    "type": "order.placed",
    "source": "/shop",
    "id": "o-1",
    "partitionkey": "A-1",
    "data": {},
}
_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {"oneOf": [_ONE, _MANY]},
                "examples": _EXAMPLES,
            },
            STRUCTURED: {"schema": {"type": "object"}, "example": _CLOUD},
            BATCHED: {"schema": {"type": "array", "items": {"type": "object"}}, "example": [_CLOUD]},
        },
    }
}


@router.post(
    "",
    status_code=202,
    responses={202: {"description": "Each event with its place, or why it was refused"}, **declared(*_SEND)},
    openapi_extra=_BODY,
    dependencies=[needs(Right.SEND_EVENTS)],
)
async def send(request: Request, log: LogOf, state: StateOf) -> dict[str, Any]:
    """Sends events to the topics that the catalog says, as one object, a list under `events`, a CloudEvent (structured
    or binary mode) or a batch of CloudEvents. Each is checked as ingress will check it. One that is refused is an
    error; of several each has its own row, with `status` `sent` or `refused`, and the others are sent."""
    snapshot = await log.definitions()
    given, single = await _given(request, snapshot)
    limit = state.settings.limits.event_bytes
    rows: list[dict[str, Any]] = []
    sending: list[tuple[int, Ready]] = []
    for number, one in enumerate(given):
        try:
            if isinstance(one, StreamflowError):
                raise one
            made = ready(snapshot, one, limit)
            await log.require_users_topic(made.topic)
        except StreamflowError as error:
            if single:
                raise
            rows.append({"status": "refused", "code": error.code, "message": error.message, "facts": error.facts})
        else:
            sending.append((number, made))
            rows.append({"status": "not_sent", "event": made.event, "id": made.id, "topic": made.topic})
            rows[-1]["warnings"] = list(made.warnings)
    await _send(log, sending, rows, single=single)
    return {"rows": rows, "next": None, "sent": sum(row["status"] == "sent" for row in rows)}


async def _send(log: Log, sending: list[tuple[int, Ready]], rows: list[dict[str, Any]], *, single: bool) -> None:
    """Sends what is ready, and notes in `rows` where each is. Raises OperationError (`broker_refused`)."""
    places, error = await log.send([(one.topic, one.record) for _, one in sending])
    if error is not None and (single or not any(places)):
        raise error
    for (number, _), place in zip(sending, places, strict=True):
        if place is not None:
            rows[number] |= {"status": "sent", "partition": place[0], "offset": place[1]}
        elif error is not None:
            rows[number] |= {"code": error.code, "message": error.message}


async def _given(request: Request, snapshot: Snapshot) -> tuple[list[Incoming | StreamflowError], bool]:
    """The events of a request, each or why it is none, and whether it is a single one. Raises Rejected."""
    kind = media_type(request.headers.get("content-type", ""))
    try:
        value = read_json(await request.body() or b"null")
    except DecodeError as error:
        raise Rejected(error.code, error.message) from error
    if kind == STRUCTURED:
        return [_cloud(snapshot, value)], True
    if kind == BATCHED:
        if not isinstance(value, list) or not value:
            raise Rejected("bad_cloudevent", "A batch of CloudEvents is a JSON array with one event or more. Send one.")
        _require_few(value)
        return [_cloud(snapshot, one) for one in value], False
    if "ce-specversion" in request.headers or "ce-type" in request.headers:
        return [_cloud(snapshot, _envelope(request.headers, value))], True
    if isinstance(value, dict) and "events" in value:
        if isinstance(value["events"], list):
            _require_few(value["events"])
        many = _validated(EventsIn, value)
        return [_plain(one) for one in many.events], False
    return [_plain(_validated(EventIn, value))], True


def _require_few(events: list[Any]) -> None:
    if len(events) > AT_ONCE:
        raise Rejected(
            "too_many_events", f"{len(events)} events were sent in one request, and {AT_ONCE} is the limit. Send fewer."
        )


def _cloud(snapshot: Snapshot, envelope: Any) -> Incoming | StreamflowError:
    try:
        return cloudevent(snapshot.catalog(), envelope)
    except DecodeError as error:
        return Rejected(error.code, error.message)


def _envelope(headers: Mapping[str, str], data: Any) -> dict[str, Any]:
    """A CloudEvent in binary mode (HTTP protocol binding of CloudEvents 1.0.2) as one in structured mode."""
    attributes = {name.removeprefix("ce-"): value for name, value in headers.items() if name.startswith("ce-")}
    return attributes | {"datacontenttype": media_type(headers.get("content-type", "")) or None, "data": data}


def _plain(one: EventIn) -> Incoming:
    return Incoming(event=one.event, data=one.data, key=one.key, id=one.id)


def _validated(kind: type[M], value: Any) -> M:
    try:
        return kind.model_validate(value)
    except ValidationError as error:
        first = error.errors()[0]
        place = "/" + "/".join(map(str, first["loc"]))
        raise Rejected("request_invalid", f"The body does not fit at {place}: {first['msg']}. Correct it.") from error
