"""The account of an erasure: a record of `audit` as a CloudEvent in binary mode. It says that a business key was
erased, when and why, and not which one."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from streamflow.engine.effects import RecordErasure
from streamflow.wire.codec import DecodeError
from streamflow.wire.decoding import Headers
from streamflow.wire.transitions import rfc3339

TYPE = "streamflow.KeyErased"
_encoder = msgspec.json.Encoder(order="deterministic")
_decoder = msgspec.json.Decoder(RecordErasure)


def encode_erasure(effect: RecordErasure, place: str) -> tuple[bytes, bytes, Headers]:
    """(key, value, headers) of the record. `place` is that of the command in `commands`, and the record's id."""
    headers = (
        ("ce_id", place.encode()),
        ("ce_source", b"/streamflow/erasures"),
        ("ce_specversion", b"1.0"),
        ("ce_time", rfc3339(effect.at_ms)),
        ("ce_type", TYPE.encode()),
        ("content-type", b"application/json"),
    )
    return effect.command_id.encode(), _encoder.encode(effect), headers


def decode_erasure(value: bytes, headers: Iterable[tuple[str, bytes]]) -> RecordErasure:
    """What a record of `audit` says. Raises DecodeError (`bad_record`)."""
    try:
        if dict(headers).get("ce_type") == TYPE.encode():
            return _decoder.decode(value)
    except (ValueError, RecursionError):
        pass
    raise DecodeError("bad_record", "The record is not an entry about an erasure. Only the engine writes them.")
