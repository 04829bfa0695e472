"""The records of `logs`: log lines about a run, under its id, in the partition of the run. JSON values with sorted
keys."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct

from streamflow.wire.codec import DecodeError

LINE_BYTES = 8000  # of a record's value; fields that do not fit are left out
TEXT_CHARS = 2000  # of one text in it


class LogLine(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A line that a process has logged about a run."""

    run: str
    """The run id."""

    at_ms: int
    """When it was logged, by the clock of the process, in epoch milliseconds."""

    role: str
    """The role of the process, such as `tasks`."""

    level: str
    """`debug`, `info`, `warning` or `error`."""

    event: str
    """What happened: a stable name, or a text."""

    fields: dict[str, Any] = {}
    """What else the line says."""


_encoder = msgspec.json.Encoder(order="sorted", enc_hook=str)
_decoder = msgspec.json.Decoder(LogLine)


def encode_line(line: LogLine) -> bytes:
    """The value of a line's record, of LINE_BYTES at most: what is too long is cut, and fields that do not fit are
    left out."""
    fields: dict[str, Any] = {}
    left = LINE_BYTES - 2 * TEXT_CHARS
    for name, value in line.fields.items():
        kept = value[:TEXT_CHARS] if isinstance(value, str) else value
        try:
            size = len(_encoder.encode({name[:TEXT_CHARS]: kept}))
        except (TypeError, ValueError, OverflowError, RecursionError):
            continue
        if size <= left:
            fields[name[:TEXT_CHARS]] = kept
            left -= size
    event = line.event[: TEXT_CHARS // 2].encode("utf-8", "replace").decode()
    return _encoder.encode(msgspec.structs.replace(line, event=event, fields=fields))


def decode_line(value: bytes) -> LogLine:
    """The line in a record of `logs`. Raises DecodeError (`bad_log_line`)."""
    try:
        return _decoder.decode(value)
    except (ValueError, RecursionError) as error:
        raise DecodeError(
            "bad_log_line", "expected a log line of a run but found another value. Only workers write this topic."
        ) from error
