"""CloudEvents 1.0 over Kafka: the attributes of an event in binary mode (`ce_` headers) and in structured mode (one
JSON envelope).

Plain records, which carry neither, have no attributes. Batched mode does not exist in the Kafka binding.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any, NamedTuple

from streamflow.wire.codec import DecodeError

STRUCTURED = "application/cloudevents+json"
# a traceparent has 55; it is in every record that comes of an event, so a longer text is taken for none
TRACE_CHARS = 256


class Attributes(NamedTuple):
    """The attributes that matter to us; None where the event has none. `time` is RFC 3339 text, `trace` a W3C
    traceparent."""

    type: str | None = None
    id: str | None = None
    time: str | None = None
    content_type: str = ""
    trace: str | None = None
    source: str | None = None


NO_ATTRIBUTES = Attributes()


def media_type(content_type: str) -> str:
    """`content_type` without its parameters, in lower case."""
    return content_type.split(";", 1)[0].strip().lower()


def binary(headers: Mapping[str, bytes]) -> Attributes:
    """The attributes in a record's headers. Without `ce_` headers only `content_type` and `trace` may be set.

    Raises DecodeError (`bad_cloudevent`) for an attribute that is no UTF-8."""
    return Attributes(
        _text(headers, "ce_type"),
        _text(headers, "ce_id"),
        _text(headers, "ce_time"),
        media_type(_text(headers, "content-type") or _text(headers, "ce_datacontenttype") or ""),
        _trace(_text(headers, "traceparent")) or _trace(_text(headers, "ce_traceparent")),
        _text(headers, "ce_source"),
    )


def structured(envelope: Any, trace: str | None) -> tuple[Attributes, Any]:
    """The attributes and the payload of a structured event.

    Raises DecodeError (`bad_cloudevent`) when `envelope` lacks a required attribute or one is no text. `data_base64`
    gives bytes."""
    if not isinstance(envelope, dict):
        found = type(envelope).__name__
        raise DecodeError(
            "bad_cloudevent",
            f"expected a CloudEvent as a JSON object but found a {found}; send attributes and data in one object",
        )
    for name in ("specversion", "id", "source", "type"):
        if not isinstance(envelope.get(name), str) or not envelope[name]:
            raise DecodeError(
                "bad_cloudevent", f"expected the attribute {name} as text but it is missing or something else; set it"
            )
    time, content = envelope.get("time"), envelope.get("datacontenttype", "application/json")
    if not (time is None or isinstance(time, str)) or not isinstance(content, str):
        raise DecodeError(
            "bad_cloudevent",
            "expected time and datacontenttype as text but one is something else; send text or leave them out",
        )
    data = envelope.get("data")
    if "data_base64" in envelope:
        try:
            data = base64.b64decode(envelope["data_base64"], validate=True)
        except (binascii.Error, TypeError, ValueError) as error:
            raise DecodeError(
                "bad_cloudevent", "expected base64 in data_base64 but it is something else; encode the payload again"
            ) from error
    parent = envelope.get("traceparent")
    return Attributes(
        envelope["type"],
        envelope["id"],
        time,
        media_type(content),
        _trace(parent if isinstance(parent, str) else trace),
        envelope["source"],
    ), data


def _trace(text: str | None) -> str | None:
    return text if text and len(text) <= TRACE_CHARS else None


def _text(headers: Mapping[str, bytes], name: str) -> str | None:
    value = headers.get(name)
    if value is None:
        return None
    try:
        return value.decode()
    except UnicodeDecodeError as error:
        raise DecodeError(
            "bad_cloudevent", f"expected UTF-8 text in header {name} but found other bytes; encode it as UTF-8"
        ) from error
