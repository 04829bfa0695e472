"""CloudEvents 1.0 over Kafka: the attributes of an event in binary mode (`ce_` headers), in structured mode (one JSON
envelope) and in a batch (an array of envelopes).

The sources are the Kafka protocol binding and the JSON event format of CloudEvents 1.0.2. The binding has no batched
mode, but producers that relay HTTP send it. Plain records, which carry none of these, have no attributes.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from streamflow.definition.json_kinds import json_kind
from streamflow.engine.trace import Trace, read_correlation, read_trace
from streamflow.wire.codec import DecodeError

STRUCTURED = "application/cloudevents+json"
BATCHED = "application/cloudevents-batch+json"
PREFIX = "ce_"  # of a header that is an attribute
TRACE_PARENT, TRACE_STATE = "traceparent", "tracestate"  # headers of W3C Trace Context
CORRELATION = "correlation-id"  # the header of a plain record; an attribute of CloudEvents is `correlationid`


Texts = tuple[tuple[str, str], ...]
"""Headers whose values are texts."""


class Attributes(NamedTuple):
    """The attributes that matter to us; None where the event has none. `time` is RFC 3339 text, `trace` a W3C
    trace context, `correlation_id` what its sender knows it by (the extension `correlationid` of CloudEvents)."""

    type: str | None = None
    id: str | None = None
    time: str | None = None
    content_type: str = ""
    trace: Trace | None = None
    source: str | None = None
    correlation_id: str = ""


NO_ATTRIBUTES = Attributes()
_CONTEXT = frozenset({TRACE_PARENT, TRACE_STATE, "correlationid"})


def media_type(content_type: str) -> str:
    """`content_type` without its parameters, in lower case."""
    return content_type.split(";", 1)[0].strip().lower()


def binary(headers: Mapping[str, bytes]) -> Attributes:
    """The attributes in a record's headers. Without `ce_` headers only `content_type`, `trace` and
    `correlation_id` may be set.

    Raises DecodeError (`bad_cloudevent`) for an attribute that is no UTF-8."""
    return Attributes(
        _text(headers, "ce_type"),
        _text(headers, "ce_id"),
        _text(headers, "ce_time"),
        media_type(_text(headers, "content-type") or _text(headers, "ce_datacontenttype") or ""),
        _trace(headers, "") or _trace(headers, PREFIX),
        _text(headers, "ce_source"),
        read_correlation(_text(headers, "ce_correlationid")) or read_correlation(_text(headers, CORRELATION)),
    )


def structured(envelope: Any, outside: Attributes) -> tuple[Attributes, Any]:
    """The attributes and the payload of a structured event; `outside` are those in the headers of its record, which
    give the trace and the correlation id that it does not have itself.

    Raises DecodeError (`bad_cloudevent`) when `envelope` lacks a required attribute or one is no text. `data_base64`
    gives bytes."""
    if not isinstance(envelope, dict):
        raise _bad(f"A CloudEvent is {json_kind(envelope)}. Send its attributes and data as one JSON object.")
    for name in ("specversion", "id", "source", "type"):
        if not isinstance(envelope.get(name), str) or not envelope[name]:
            raise _bad(f"The attribute {name} of a CloudEvent is missing or no text. Set it to a text.")
    for name in ("time", "datacontenttype"):
        if not isinstance(envelope.get(name), str | None):
            raise _bad(f"The attribute {name} of a CloudEvent is not a text. Send a text, or leave it out.")
    time, content = envelope.get("time"), envelope.get("datacontenttype") or "application/json"
    data, encoded = envelope.get("data"), envelope.get("data_base64")
    if encoded is not None:
        if data is not None:
            raise _bad("A CloudEvent has both data and data_base64. Send one of them.")
        try:
            data = base64.b64decode(encoded, validate=True)
        except (binascii.Error, TypeError, ValueError) as error:
            raise _bad("The data_base64 of a CloudEvent is not base64. Encode the payload again.") from error
    inside = {name: found for name, found in envelope.items() if name in _CONTEXT and isinstance(found, str)}
    return Attributes(
        envelope["type"],
        envelope["id"],
        time,
        media_type(content),
        read_trace(inside.get(TRACE_PARENT), inside.get(TRACE_STATE)) or outside.trace,
        envelope["source"],
        read_correlation(inside.get("correlationid")) or outside.correlation_id,
    ), data


def binary_data(envelope: Any) -> bytes | None:
    """The payload of a structured event that is not JSON; None when it has none, or one that cannot be read."""
    encoded = envelope.get("data_base64") if isinstance(envelope, dict) else None
    try:
        return base64.b64decode(encoded, validate=True) if isinstance(encoded, str) else None
    except ValueError:
        return None


def enveloped(value: bytes, headers: Texts) -> tuple[bytes, Texts]:
    """The value and headers of an event in structured mode, of those that it has in binary mode: the same event gives
    the same bytes."""
    attributes = {name.removeprefix(PREFIX): text for name, text in headers if name.startswith(PREFIX)}
    content = dict(headers).get("content-type", "")
    envelope = attributes | {"datacontenttype": content, "data_base64": base64.b64encode(value).decode()}
    rest = tuple(one for one in headers if not one[0].startswith(PREFIX) and one[0] != "content-type")
    return msgspec.json.encode(envelope), (*rest, ("content-type", STRUCTURED))


def batch(value: Any) -> list[Any]:
    """The envelopes of a batch, each to be read by `structured`. Raises DecodeError (`bad_cloudevent`)."""
    if not isinstance(value, list):
        raise _bad(f"A batch of CloudEvents is {json_kind(value)}. Send a JSON array of events.")
    return value


def as_headers(envelope: Mapping[str, Any]) -> dict[str, bytes]:
    """The attributes of a structured event as the headers that it has in binary mode, so that what reads a header reads
    it in every mode. What is no attribute by its type (an object or an array) is left out."""
    found: dict[str, bytes] = {}
    for name, value in envelope.items():
        if name in ("data", "data_base64"):
            continue
        if isinstance(value, bool):
            value = "true" if value else "false"
        if isinstance(value, str | int):
            found[PREFIX + name] = str(value).encode()
    return found


def attributes_in(headers: Mapping[str, bytes]) -> dict[str, str]:
    """All attributes of an event by name, as `cloudevent` has them in expressions; empty for a plain record.

    Raises DecodeError (`bad_cloudevent`) for one that is no UTF-8."""
    found = {
        name.removeprefix(PREFIX): text
        for name in headers
        if name.startswith(PREFIX) and (text := _text(headers, name)) is not None
    }
    content = _text(headers, "content-type") if found else None
    if content is not None and media_type(content) not in (STRUCTURED, BATCHED):
        found.setdefault("datacontenttype", content)
    return found


def trace_headers(trace: Trace | None) -> tuple[tuple[str, bytes], ...]:
    """The headers of a record that was made in the span `trace`."""
    if trace is None:
        return ()
    parent = (TRACE_PARENT, trace.parent.encode())
    return (parent, (TRACE_STATE, trace.state.encode())) if trace.state else (parent,)


def context_in(headers: Mapping[str, bytes]) -> tuple[Trace | None, str]:
    """The trace context and the correlation id in a record's headers, whatever else is in them."""
    try:
        found = binary(headers)
    except DecodeError:
        return None, ""
    return found.trace, found.correlation_id


def _bad(message: str) -> DecodeError:
    return DecodeError("bad_cloudevent", message)


def _trace(headers: Mapping[str, bytes], prefix: str) -> Trace | None:
    parent = _text(headers, prefix + TRACE_PARENT)
    return None if parent is None else read_trace(parent, _text(headers, prefix + TRACE_STATE))


def _text(headers: Mapping[str, bytes], name: str) -> str | None:
    value = headers.get(name)
    if value is None:
        return None
    try:
        return value.decode()
    except UnicodeDecodeError as error:
        raise _bad(f"The header {name} is not UTF-8. Encode it as UTF-8.") from error
