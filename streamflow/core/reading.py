"""A record of `commands` as a command of this partition, or the reason why it is none."""

from __future__ import annotations

from typing import NamedTuple

from streamflow.core.place import Place
from streamflow.engine.commands import (
    AdvanceWatermark,
    CancelRun,
    Command,
    Decide,
    Deliver,
    FailRun,
    ForwardSource,
    OpenGeneration,
    RetryStep,
    SkipStep,
    StartRun,
)
from streamflow.ids import partition_of, partition_of_run
from streamflow.wire.codec import DecodeError, decode_command
from streamflow.wire.decoding import Headers
from streamflow.wire.forwarding import forward_source

# what enters by the first generation, and is forwarded from there. A lane answers to the partition that asked, in any
_ENTERING = (Deliver, StartRun, Decide, CancelRun, RetryStep, SkipStep, FailRun)


class Unreadable(NamedTuple):
    """Why nothing can be decided on a record; `command` is what was in it, if it could be read that far."""

    reason: str
    message: str
    command: Command | None = None


def source_of(headers: Headers) -> ForwardSource | None:
    """Where a record was forwarded from; None when its sender wrote it, and for a header that nobody can read, which
    `read` refuses."""
    if not headers:
        return None
    try:
        return forward_source(headers)
    except DecodeError:
        return None


def read(
    value: bytes | None, place: Place, headers: Headers = (), source: ForwardSource | None = None
) -> Command | Unreadable:
    """The command in a record's `value`; `source` is what `source_of` finds in its headers."""
    value = value or b""
    if len(value) > place.limits.record_bytes:
        return Unreadable(
            "too_large",
            f"The command has {len(value)} bytes and the limit is {place.limits.record_bytes}. Store the data "
            "elsewhere and send a reference.",
        )
    try:
        if headers and source is None:
            forward_source(headers)  # refuses one that nobody can read
        command = decode_command(value)
    except DecodeError as error:
        return Unreadable(error.code, error.message)
    if not belongs(command, place, forwarded=source is not None):
        return Unreadable(
            "misrouted",
            "The command is in a partition that its key does not belong to. Send it with Kafka's default partitioner "
            "(murmur2), and with the engine's setting topics.partitions, which stays that of the first generation.",
            command,
        )
    return command


def belongs(command: Command, place: Place, *, forwarded: bool = False) -> bool:
    """Whether `command` is in a partition that its key, or its run, may be in: one of each generation. Its sender knows
    only the first; in a later one it is there because it was `forwarded`, or because it continues something."""
    if place.number >= place.partitions and isinstance(command, _ENTERING) and not forwarded:
        return False
    if isinstance(command, AdvanceWatermark | OpenGeneration):
        return True
    # every later generation begins at, and has, a multiple of the partitions of the first
    number = place.number % place.partitions
    key = getattr(command, "key", None)
    if key is not None:
        return partition_of(key, place.partitions) == number
    try:
        return partition_of_run(command.run, place.partitions) == number  # type: ignore[union-attr]
    except ValueError:
        return False
