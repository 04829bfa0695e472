"""The event stream of Amazon Bedrock (`application/vnd.amazon.eventstream`) as events of Anthropic's Messages. Pure.

A message is its length, the length of its headers, a CRC of both, headers, payload, and a CRC of all before it; numbers
are big-endian and the CRC is CRC-32. Source: "Event stream encoding" in Amazon's manuals (Lex V2, Transcribe), and
`InvokeModelWithResponseStream` of Bedrock Runtime: an event `chunk` has the payload `{"bytes": "<base64>"}`, in which
stands one event of the Messages API. `anthropic` reads this with botocore, a package of 14 MB with the description of
every service; this is what is needed of it.
"""

from __future__ import annotations

import base64
import json
import struct
import zlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import Any

_PRELUDE = struct.Struct(">III")
_LENGTH = struct.Struct(">H")
_END = struct.Struct(">I")
_MOST_MESSAGE = 24 << 20  # Amazon's own limits: 16 MiB of payload, 128 KiB of headers
_MOST_HEADERS = 128 << 10
# The lengths of values by type; 6 and 7 (bytes and text) say theirs.
_FIXED = {0: 0, 1: 0, 2: 1, 3: 2, 4: 4, 5: 8, 8: 8, 9: 16}


class EventStreamError(ValueError):
    """The bytes are no event stream."""


@dataclass(frozen=True, slots=True)
class Message:
    """One message: its headers that are texts, and its payload."""

    headers: dict[str, str]
    payload: bytes


@dataclass(slots=True)
class MessageReader:
    """Messages out of bytes that come in any pieces."""

    _kept: bytearray = field(default_factory=bytearray)

    @property
    def is_between(self) -> bool:
        """Whether no part of a message is left."""
        return not self._kept

    def feed(self, data: bytes) -> Iterator[Message]:
        """The messages that `data` completes. Raises EventStreamError."""
        self._kept += data
        while len(self._kept) >= _PRELUDE.size:
            total, headers, crc = _PRELUDE.unpack_from(self._kept)
            if zlib.crc32(self._kept[:8]) != crc:
                raise EventStreamError("the checksum of a message's lengths is wrong")
            if total > _MOST_MESSAGE or headers > _MOST_HEADERS or total < _PRELUDE.size + headers + _END.size:
                raise EventStreamError(f"a message of {total} bytes with {headers} bytes of headers cannot be")
            if len(self._kept) < total:
                return
            message = bytes(self._kept[:total])
            del self._kept[:total]
            if zlib.crc32(message[:-4]) != _END.unpack_from(message, total - 4)[0]:
                raise EventStreamError("the checksum of a message is wrong")
            start = _PRELUDE.size
            yield Message(_headers(message[start : start + headers]), message[start + headers : -4])


def _headers(data: bytes) -> dict[str, str]:
    found: dict[str, str] = {}
    place = 0
    try:
        while place < len(data):
            end = place + 1 + data[place]
            name, kind, place = data[place + 1 : end].decode(), data[end], end + 1
            if kind in (6, 7):
                (length,) = _LENGTH.unpack_from(data, place)
                value = data[place + 2 : place + 2 + length]
                place += 2 + length
                if kind == 7:
                    found[name] = value.decode()
            else:
                place += _FIXED[kind]
    except (IndexError, KeyError, UnicodeDecodeError, struct.error) as error:
        raise EventStreamError(f"the headers of a message cannot be read ({type(error).__name__})") from error
    if place != len(data):
        raise EventStreamError("the headers of a message are cut off")
    return found


def event_of(message: Message) -> tuple[str, str] | None:
    """The event of the Messages API in `message`, as its name and its JSON text; None for events of other kinds. An
    exception of Bedrock is the event `error`. Raises EventStreamError."""
    try:
        payload: Any = json.loads(message.payload or b"{}")
        if message.headers.get(":message-type") in ("exception", "error"):
            kind = message.headers.get(":exception-type") or message.headers.get(":error-code") or "error"
            text = payload.get("message") or message.headers.get(":error-message") or kind
            return "error", json.dumps({"type": "error", "error": {"type": kind, "message": text}})
        if message.headers.get(":event-type") != "chunk":
            return None
        text = base64.b64decode(payload["bytes"], validate=True).decode()
        return str(json.loads(text)["type"]), text
    except (KeyError, TypeError, AttributeError, RecursionError, ValueError) as error:
        raise EventStreamError(f"a payload is no event ({type(error).__name__})") from error


class EventStreamDecoder:
    """As the client of `anthropic` wants to be given a decoder."""

    async def aiter_bytes(self, iterator: AsyncIterator[bytes]) -> AsyncIterator[Any]:
        """The events in the bytes of `iterator`. Raises EventStreamError."""
        from anthropic._streaming import ServerSentEvent

        reader = MessageReader()
        async for data in iterator:
            for message in reader.feed(data):
                if (event := event_of(message)) is not None:
                    yield ServerSentEvent(event=event[0], data=event[1])
        if not reader.is_between:
            raise EventStreamError("the stream ends within a message")

    def iter_bytes(self, iterator: Iterator[bytes]) -> Iterator[Any]:
        """Not used: requests are asynchronous."""
        raise NotImplementedError
