"""The records of `unclaimed`: events that no run took, as CloudEvents in binary mode. A public contract, without
payloads."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from streamflow.engine.effects import Unclaimed
from streamflow.wire.codec import DecodeError
from streamflow.wire.decoding import Headers
from streamflow.wire.transitions import rfc3339, source_of

TYPE = "streamflow.EventUnclaimed"
_encoder = msgspec.json.Encoder(order="deterministic")
_decoder = msgspec.json.Decoder(Unclaimed)


def encode_unclaimed(
    effect: Unclaimed, environment: str, topic_id: str, partition: int
) -> tuple[bytes, bytes, Headers]:
    """(key, value, headers) of the record. Its source names `environment`. Its id is the place of the delivery in
    `commands`, the topic with `topic_id`: a delivery ends once."""
    headers = (
        ("ce_id", f"{topic_id}/{partition}/{effect.offset}".encode()),
        ("ce_source", source_of(environment, effect.definition)),
        ("ce_specversion", b"1.0"),
        ("ce_time", rfc3339(effect.ended_ms)),
        ("ce_type", TYPE.encode()),
        ("content-type", b"application/json"),
    )
    return effect.key.encode(), _encoder.encode(effect), headers


def decode_unclaimed(value: bytes, headers: Iterable[tuple[str, bytes]]) -> Unclaimed:
    """What a record of `unclaimed` says. Raises DecodeError (`bad_record`)."""
    try:
        if dict(headers).get("ce_type") == TYPE.encode():
            return _decoder.decode(value)
    except (ValueError, RecursionError) as error:
        reason = type(error).__name__
    else:
        reason = "another ce_type"
    raise DecodeError(
        "bad_record", f"The record says nothing of an event ({reason}). Only the engine writes this topic."
    )
