"""A record of `commands` as a command of this partition, or the reason why it is none."""

from __future__ import annotations

from typing import NamedTuple

from streamflow.core.place import Place
from streamflow.engine.commands import AdvanceWatermark, Command
from streamflow.ids import partition_of, partition_of_run
from streamflow.wire.codec import DecodeError, decode_command


class Unreadable(NamedTuple):
    """Why nothing can be decided on a record; `command` is what was in it, if it could be read that far."""

    reason: str
    message: str
    command: Command | None = None


def read(value: bytes | None, place: Place) -> Command | Unreadable:
    """The command in a record's `value`."""
    value = value or b""
    if len(value) > place.limits.record_bytes:
        return Unreadable(
            "too_large",
            f"The command has {len(value)} bytes and the limit is {place.limits.record_bytes}. Store the data "
            "elsewhere and send a reference.",
        )
    try:
        command = decode_command(value)
    except DecodeError as error:
        return Unreadable(error.code, error.message)
    if not belongs(command, place):
        return Unreadable(
            "misrouted",
            "The command is in a partition that its key does not belong to. Send it with Kafka's default partitioner "
            "(murmur2).",
            command,
        )
    return command


def belongs(command: Command, place: Place) -> bool:
    """Whether `command` is in the partition that its key, or its run, belongs to."""
    if isinstance(command, AdvanceWatermark):
        return True
    key = getattr(command, "key", None)
    if key is not None:
        return partition_of(key, place.partitions) == place.number
    try:
        return partition_of_run(command.run, place.partitions) == place.number  # type: ignore[union-attr]
    except ValueError:
        return False
