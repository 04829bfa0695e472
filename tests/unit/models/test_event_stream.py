"""Bedrock's event stream, against messages of Amazon's own test suites."""

from __future__ import annotations

import base64
import json
import zlib

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streamflow.models.event_stream import EventStreamError, Message, MessageReader, event_of
from tests.hostile_records import DEEP
from tests.scripted_model.frames import bedrock_chunk, bedrock_exception, bedrock_message

# From the tests of botocore and the SDKs of Amazon (Apache-2.0).
EMPTY = b"\x00\x00\x00\x10\x00\x00\x00\x00\x05\xc2H\xeb}\x98\xc8\xff"
INTEGER_HEADER = b"\x00\x00\x00+\x00\x00\x00\x0e4\x8b\xec{\x08event-id\x04\x00\x00\xa0\x0c{'foo':'bar'}\xd3\x89\x02\x85"
NO_HEADERS = b"\x00\x00\x00\x1d\x00\x00\x00\x00\xfdR\x8cZ{'foo':'bar'}\xc3e96"
TEXT = bedrock_chunk({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "ü"}})


@pytest.mark.parametrize(
    ("data", "payload"), [(EMPTY, b""), (INTEGER_HEADER, b"{'foo':'bar'}"), (NO_HEADERS, b"{'foo':'bar'}")]
)
def test_messages_of_others_are_read(data: bytes, payload: bytes) -> None:
    reader = MessageReader()

    assert list(reader.feed(data)) == [Message({}, payload)]
    assert reader.is_between


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.integers(1, 40), min_size=1, max_size=30))
def test_messages_come_whole_however_the_bytes_are_cut(cuts: list[int]) -> None:
    data = TEXT + EMPTY + TEXT
    reader, found, place, turn = MessageReader(), [], 0, 0
    while place < len(data):
        size = cuts[turn % len(cuts)]
        found += list(reader.feed(data[place : place + size]))
        place, turn = place + size, turn + 1

    assert [event_of(message) for message in found] == [event_of(found[0]), None, event_of(found[0])]
    assert event_of(found[0]) == (
        "content_block_delta",
        '{"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "\\u00fc"}}',
    )
    assert reader.is_between


@pytest.mark.parametrize("place", range(0, len(TEXT), 7))
def test_any_changed_byte_is_found(place: int) -> None:
    data = bytearray(TEXT)
    data[place] ^= 0x40

    with pytest.raises(EventStreamError):
        list(MessageReader().feed(bytes(data)))


@pytest.mark.parametrize("size", [1, 11, 12, 40, len(TEXT) - 1])
def test_a_cut_message_is_not_between_messages(size: int) -> None:
    reader = MessageReader()

    assert list(reader.feed(TEXT[:size])) == []
    assert not reader.is_between


def test_lengths_that_cannot_be_are_refused_before_anything_is_kept() -> None:
    def prelude(total: int, headers: int) -> bytes:
        lengths = total.to_bytes(4, "big") + headers.to_bytes(4, "big")
        return lengths + zlib.crc32(lengths).to_bytes(4, "big")

    for total, headers in ((1 << 31, 0), (15, 0), (100, 99), (1 << 20, 1 << 19)):
        with pytest.raises(EventStreamError):
            list(MessageReader().feed(prelude(total, headers)))


def test_an_exception_is_an_error_event() -> None:
    (message,) = MessageReader().feed(bedrock_exception("throttlingException", "Too many tokens"))

    assert event_of(message) == (
        "error",
        json.dumps({"type": "error", "error": {"type": "throttlingException", "message": "Too many tokens"}}),
    )


@pytest.mark.parametrize(
    "payload",
    [
        b"nonsense",
        b"[]",
        b"{}",
        b'{"bytes": 7}',
        b'{"bytes": "***"}',
        json.dumps({"bytes": base64.b64encode(b"nonsense").decode()}).encode(),
        json.dumps({"bytes": base64.b64encode(b"[1]").decode()}).encode(),
        json.dumps({"bytes": base64.b64encode(b"{}").decode()}).encode(),
        json.dumps({"bytes": base64.b64encode(b"\xff\xfe").decode()}).encode(),
        json.dumps({"bytes": base64.b64encode(DEEP).decode()}).encode(),
        DEEP,
    ],
)
def test_a_chunk_that_holds_no_event_is_refused(payload: bytes) -> None:
    (message,) = MessageReader().feed(bedrock_message({":event-type": "chunk", ":message-type": "event"}, payload))

    with pytest.raises(EventStreamError):
        event_of(message)


@pytest.mark.parametrize(
    "headers", [b"\x05:name", b"\x01a\x63", b"\x01a\x07\x00\xff", b"\x01a\x07\x00\x01\xff", b"\x01a\x05"]
)
def test_headers_that_cannot_be_read_are_refused(headers: bytes) -> None:
    total = 12 + len(headers) + 4
    data = total.to_bytes(4, "big") + len(headers).to_bytes(4, "big")
    data += zlib.crc32(data).to_bytes(4, "big") + headers
    data += zlib.crc32(data).to_bytes(4, "big")

    with pytest.raises(EventStreamError):
        list(MessageReader().feed(data))
