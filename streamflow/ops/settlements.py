"""Settlements in the topic `dead-letters`: the notes of how letters ended."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from streamflow.kafka.topics import DEAD_LETTERS, topic_name
from streamflow.ops.record_sender import RecordSender
from streamflow.settings import Settings
from streamflow.wire.settlement import Settlement, encode_settlement

SETTLED_AT_ONCE = 200
"""How many letters are settled together."""


def settle(
    settings: Settings, settlements: Iterable[Settlement], sender: RecordSender | None = None
) -> Iterator[Settlement]:
    """Notes the ends of letters. Raises OperationError when the broker does not take one."""
    sender = sender or RecordSender(settings)
    topic, noted = topic_name(settings, DEAD_LETTERS), list(settlements)
    for begin in range(0, len(noted), SETTLED_AT_ONCE):
        batch = noted[begin : begin + SETTLED_AT_ONCE]
        places = sender.send([(topic, 0, encode_settlement(one)) for one in batch])
        yield from (one for one, place in zip(batch, places, strict=True) if place is not None)
        if None in places and sender.error is not None:
            raise sender.error
