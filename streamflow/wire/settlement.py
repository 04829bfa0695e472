"""What a person did with a dead letter: it was sent again, or given up with a reason. A record in `dead-letters` behind
the letter, in the same partition, so that both are kept equally long and one reading sees both.

Its headers begin with `streamflow.dlq.` as those of a letter do; no producer of a source can write such a header
(`dead_letter`). It holds no part of the letter's record.
"""

from __future__ import annotations

from typing import Literal

import msgspec
from msgspec import Struct

from streamflow.wire.dead_letter import PREFIX, DeadLetter
from streamflow.wire.decoding import Record

STAGE = "operator"
_SETTLES = f"{PREFIX}settles"

State = Literal["replayed", "dropped"]


class Settlement(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The end of a dead letter."""

    letter: str
    """The id of the dead letter."""

    state: State
    """What was done: its record was sent again, or it was given up."""

    why: str = ""
    """The reason that was given."""

    topic: str = ""
    """Where its record was sent to; empty unless it was replayed."""

    partition: int = -1
    """The partition that it was appended to."""

    offset: int = -1
    """The offset that it was appended at."""


_encoder = msgspec.json.Encoder(order="deterministic")
_decoder = msgspec.json.Decoder(Settlement)


def encode_settlement(settlement: Settlement) -> DeadLetter:
    """The record of a settlement, under the id of its letter."""
    headers = (
        (_SETTLES, settlement.letter.encode()),
        (f"{PREFIX}reason", settlement.state.encode()),
        (f"{PREFIX}stage", STAGE.encode()),
    )
    return DeadLetter(settlement.letter.encode(), _encoder.encode(settlement), headers)


def is_settlement(record: Record) -> bool:
    """Whether a record of `dead-letters` is no letter but the end of one."""
    return any(name == _SETTLES for name, _ in record.headers)


def decode_settlement(record: Record) -> Settlement | None:
    """What a settlement says; None when it cannot be read."""
    try:
        return _decoder.decode(record.value or b"")
    except (ValueError, RecursionError):
        return None
