"""The bytes of our own records: JSON with the fields of a record in their order and the keys of data sorted, so that
the same record always gives the same bytes (law identical-replay).

One encoder and one decoder per kind of record, made once.
"""

from __future__ import annotations

from typing import Any

import msgspec

from streamflow.engine.commands import Command
from streamflow.engine.depth import COMMAND_DEPTH, deeper, may_be_deeper
from streamflow.errors import OperationError

_encoder = msgspec.json.Encoder(order="deterministic")
_command_decoder: msgspec.json.Decoder[Command] = msgspec.json.Decoder(Command)


class DecodeError(OperationError):
    """Bytes from outside that are not what they should be. Never worth a second try; the record becomes a dead
    letter."""

    def __init__(self, code: str, message: str, **facts: Any) -> None:
        super().__init__(code, message, retryable=False, **facts)


def encode_command(command: Command) -> bytes:
    """The value of `command`'s record in `commands`. Raises DecodeError: `event_unusable` when the event in it holds
    what JSON cannot carry, `too_deep`."""
    try:
        encoded = _encoder.encode(command)
    except (OverflowError, RecursionError, ValueError, TypeError) as error:
        name = type(error).__name__
        raise DecodeError(
            "event_unusable", f"expected an event that can be written as JSON but {name} was raised. Send plain data."
        ) from error
    _require_flat(encoded)
    return encoded


def decode_command(data: bytes) -> Command:
    """The command in the value of a record of `commands`. Raises DecodeError (`bad_command`, `too_deep`); its text
    names the place, never the content."""
    try:
        command = _command_decoder.decode(data)
    except RecursionError as error:  # how deep that is, is the stack's; but it is far deeper than what is refused below
        raise _too_deep() from error
    except ValueError as error:  # of msgspec, and of a text that is no UTF-8
        place = str(error).rsplit(" - at ", 1)[1] if " - at " in str(error) else "the top"
        message = (
            f"expected the JSON of a command but {type(error).__name__} was raised at {place}. Only "
            "Streamflow's own processes write this topic."
        )
        raise DecodeError("bad_command", message) from error
    _require_flat(data)
    return command


def _require_flat(encoded: bytes) -> None:
    if may_be_deeper(encoded, COMMAND_DEPTH) and deeper(msgspec.json.decode(encoded), COMMAND_DEPTH):
        raise _too_deep()


def _too_deep() -> DecodeError:
    return DecodeError(
        "too_deep",
        f"expected arrays and objects at most {COMMAND_DEPTH} deep in a command but found more. Send flatter data.",
    )
