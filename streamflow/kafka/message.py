"""A message of the client as the record that the rest reads."""

from __future__ import annotations

from typing import Any

from confluent_kafka import Message

from streamflow.wire.decoding import Record


def as_record(message: Message) -> Record:
    """The record in a message without an error."""
    headers: Any = message.headers() or ()
    return Record(
        message.topic() or "",
        message.partition() or 0,
        message.offset() or 0,
        message.timestamp()[1],
        message.key(),
        message.value(),
        tuple(headers),
    )
