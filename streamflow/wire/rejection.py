"""The record that answers a refused command: its original bytes, why it was refused, and the state that it met
(docs/design.md#topics)."""

from __future__ import annotations

import msgspec

from streamflow.engine.effects import RecordRejection
from streamflow.wire.dead_letter import ENGINE, DeadLetter, dead_letter
from streamflow.wire.decoding import Record

_encoder = msgspec.json.Encoder(order="deterministic")


def rejection(record: Record, effect: RecordRejection) -> DeadLetter:
    """The dead letter with reason `rejected`. Its headers name the command, the code and the state as JSON."""
    state = _encoder.encode(effect.state).decode()
    return dead_letter(
        record,
        "rejected",
        effect.message,
        ENGINE,
        command=effect.command_id,
        code=effect.code,
        run=effect.run,
        state=state,
    )
