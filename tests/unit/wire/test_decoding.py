"""Records as strangers write them: plain JSON, CloudEvents in binary and in structured mode, and what is none of
these."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from streamflow.engine.depth import deeper
from streamflow.engine.trace import Trace
from streamflow.wire.codec import DecodeError
from streamflow.wire.decoding import Decoded, Record
from streamflow.wire.json_text import MAX_DEPTH, read_json

PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
DATA = {"order": {"id": "o-1"}, "amount": 12}


def record(value: bytes | None, **headers: str | bytes) -> Record:
    pairs = tuple(
        (name.replace("__", "-"), content.encode() if isinstance(content, str) else content)
        for name, content in headers.items()
    )
    return Record("orders", 0, 7, 1_700_000_000_000, b"k", value, pairs)


def envelope(**changes: Any) -> bytes:
    whole = {
        "specversion": "1.0",
        "id": "e-1",
        "source": "/shop",
        "type": "order.created",
        "time": "2026-01-01T00:00:00Z",
        "data": DATA,
    }
    return json.dumps({name: value for name, value in (whole | changes).items() if value is not ...}).encode()


def test_plain_json_has_data_and_no_attributes() -> None:
    decoded = Decoded(record(json.dumps(DATA).encode()))
    assert decoded.data == DATA
    assert (decoded.attributes.type, decoded.attributes.id, decoded.attributes.time) == (None, None, None)


@pytest.mark.parametrize(
    "content_type",
    ["application/json", "application/json; charset=utf-8", "Application/JSON", "application/vnd.shop.order+json"],
)
def test_a_json_content_type_is_json(content_type: str) -> None:
    assert Decoded(record(json.dumps(DATA).encode(), content__type=content_type)).data == DATA


def test_binary_mode_has_its_attributes_in_headers() -> None:
    decoded = Decoded(
        record(
            json.dumps(DATA).encode(),
            ce_specversion="1.0",
            ce_id="e-1",
            ce_type="order.created",
            ce_source="/shop",
            ce_time="2026-01-01T00:00:00Z",
            content__type="application/json",
            traceparent=PARENT,
            tracestate="vendor=1",
            ce_correlationid="ours",
        )
    )
    assert decoded.data == DATA
    attributes = decoded.attributes
    assert (attributes.type, attributes.id, attributes.time, attributes.trace, attributes.correlation_id) == (
        "order.created",
        "e-1",
        "2026-01-01T00:00:00Z",
        Trace(PARENT, "vendor=1"),
        "ours",
    )


def test_a_text_that_is_too_long_for_a_trace_is_none() -> None:
    """It would be in every record that comes of the event."""
    assert Decoded(record(b"{}", ce_type="order.created", traceparent="00-" + "a" * 500_000)).attributes.trace is None
    inside = Decoded(
        record(
            envelope(traceparent="00-" + "a" * 500_000),
            content__type="application/cloudevents+json",
            traceparent=PARENT,
        )
    )
    assert inside.data == DATA
    assert inside.attributes.trace == Trace(PARENT)


def test_an_event_in_structured_mode_has_its_own_trace_and_correlation_id_before_its_records() -> None:
    other = PARENT.replace("4bf9", "5bf9")
    inside = Decoded(
        record(
            envelope(traceparent=other, tracestate="inner=1", correlationid="inner"),
            content__type="application/cloudevents+json",
            traceparent=PARENT,
            correlation__id="outer",
        )
    )
    assert (inside.attributes.trace, inside.attributes.correlation_id) == (Trace(other, "inner=1"), "inner")
    outside = Decoded(
        record(envelope(), content__type="application/cloudevents+json", traceparent=PARENT, correlation__id="outer")
    )
    assert (outside.attributes.trace, outside.attributes.correlation_id) == (Trace(PARENT), "outer")


def test_structured_mode_has_its_attributes_in_the_value() -> None:
    decoded = Decoded(record(envelope(), content__type="application/cloudevents+json; charset=UTF-8"))
    assert decoded.data == DATA
    assert (decoded.attributes.type, decoded.attributes.id, decoded.attributes.time) == (
        "order.created",
        "e-1",
        "2026-01-01T00:00:00Z",
    )


def test_structured_mode_may_carry_base64() -> None:
    value = envelope(data=..., data_base64=base64.b64encode(json.dumps(DATA).encode()).decode())
    assert Decoded(record(value, content__type="application/cloudevents+json")).data == DATA


def test_a_record_without_a_value_has_no_data() -> None:
    assert Decoded(record(None)).data is None


@pytest.mark.parametrize("value", [b"", b"{", b"order", b"\xff\xfe", b'{"a": NaN}', b'{"a":1} x'])
def test_bytes_that_are_no_json_are_refused(value: bytes) -> None:
    with pytest.raises(DecodeError) as caught:
        _ = Decoded(record(value)).data
    assert caught.value.code == "not_json"


def test_another_format_than_json_is_named_as_such() -> None:
    with pytest.raises(DecodeError) as caught:
        _ = Decoded(record(b"\x00\x00\x00\x00\x01", content__type="application/avro")).data
    assert caught.value.code == "unsupported_content_type"


@pytest.mark.parametrize(
    "value",
    [
        b"[]",
        b"null",
        envelope(id=...),
        envelope(id=""),
        envelope(type=3),
        envelope(source=...),
        envelope(time=5),
        envelope(data=..., data_base64="%%%"),
    ],
)
def test_a_structured_event_that_is_none_is_refused(value: bytes) -> None:
    with pytest.raises(DecodeError) as caught:
        Decoded(record(value, content__type="application/cloudevents+json"))
    assert caught.value.code == "bad_cloudevent"


def test_an_attribute_that_is_no_text_is_refused() -> None:
    with pytest.raises(DecodeError) as caught:
        Decoded(record(b"{}", ce_type=b"\xff"))
    assert caught.value.code == "bad_cloudevent"


def test_data_is_refused_when_it_is_deeper_than_what_comes_after_can_follow() -> None:
    assert read_json(b"[" * MAX_DEPTH + b"]" * MAX_DEPTH)
    with pytest.raises(DecodeError) as caught:
        read_json(b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1))
    assert caught.value.code == "too_deep"


def test_many_brackets_side_by_side_are_not_deep() -> None:
    assert len(read_json(b"[" + b",".join([b'{"a":[1]}'] * 500) + b"]")) == 500
    assert not deeper({"a": [{}]}, 3)
    assert deeper({"a": [{}]}, 2)
