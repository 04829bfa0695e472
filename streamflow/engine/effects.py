"""Effects: what a decision asks of the host, as data. The list is closed; the host performs each at least once, with
the same content."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from streamflow.engine.commands import Command
from streamflow.engine.tasks import CancelTask, Task


class AppendCommand(Struct, frozen=True, gc=False):
    """Append `command` to `commands` under the business key `key`."""

    key: str
    command: Command


class PublishEvent(Struct, frozen=True, gc=False):
    """Publish an event to the users' topic that the host has bound its name to."""

    key: str
    id: str  # `<run>/<seq>`, so that a copy is known as one
    type: str  # the name of the event
    at_ms: int
    data: dict[str, Any]
    definition: str
    run: str
    trace: str | None


class SendTask(Struct, frozen=True, gc=False):
    """Append `task` to `tasks.<lane>` under its business key."""

    lane: str
    task: Task | CancelTask


class PrintLine(Struct, frozen=True, gc=False):
    run: str
    step: str
    text: str


class RecordRejection(Struct, frozen=True, gc=False):
    """Tell whoever sent the command that it was refused: a record in `dead-letters` with the command's id and the
    current state."""

    command_id: str
    code: str
    message: str
    run: str | None
    state: dict[str, Any]


class DeadLetter(Struct, frozen=True, gc=False):
    """Keep the command's record, as it came, in `dead-letters`."""

    reason: str
    message: str


class Unclaimed(Struct, frozen=True, gc=False):
    """Record in the topic `unclaimed` that no run took an event. Without its payload."""

    definition: str
    key: str
    event: str  # its name
    source: str
    id: str
    outcome: str  # expired | unclaimed | refused | erased
    reason: str  # why, as the nearest miss says
    run: str | None  # the run that came nearest to taking it, and its step
    step: str | None
    offset: int  # of its delivery in `commands`
    arrived_ms: int  # partition time of its delivery, and of its end
    ended_ms: int


class RecordErasure(Struct, frozen=True, gc=False, kw_only=True):
    """Account in the topic `audit` for an erasure. It holds nothing of what was erased, and no business key."""

    command_id: str
    definitions: tuple[str, ...]
    reason: str
    records: int  # of the state that were deleted or renamed
    events: int  # that were kept for waits
    at_ms: int  # partition time


Effect = AppendCommand | PublishEvent | SendTask | PrintLine | RecordRejection | DeadLetter | Unclaimed | RecordErasure
