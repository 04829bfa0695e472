"""Effects: what a decision asks of the host, as data. The list is closed; the host performs each at least once, with
the same content."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from streamflow.engine.commands import Command
from streamflow.engine.tasks import CancelTask, Task
from streamflow.engine.trace import Trace


class AppendCommand(Struct, frozen=True, gc=False):
    """Append `command` to `commands` under the business key `key`."""

    key: str
    command: Command


class Forward(Struct, frozen=True, gc=False):
    """Append the record of this command, as it is, to another partition of `commands`, with where it comes from."""

    partition: int
    """The number of the partition, in the next generation."""

    command: Command | None = None
    """What to append instead of the record; None: the record."""


class PublishEvent(Struct, frozen=True, gc=False):
    """Publish an event to the users' topic that the host has bound its name to."""

    key: str  # business key of its record
    id: str  # `<run>/<seq>`, so that a copy is known as one
    type: str  # the name of the event
    at_ms: int  # partition time of its step, epoch milliseconds
    data: dict[str, Any]  # its payload, plain JSON
    definition: str  # of the run that emits it
    run: str  # run id
    trace: Trace | None  # the span in which it is made; None: there is none
    correlation_id: str = ""  # of the run; empty: it has none


class SendTask(Struct, frozen=True, gc=False):
    """Append `task` to `tasks.<lane>` under its business key."""

    lane: str
    task: Task | CancelTask


class PrintLine(Struct, frozen=True, gc=False):
    """Write a line that a step prints to the worker's log."""

    run: str  # run id
    scope: str  # of the step; empty: the run itself
    step: str
    text: str  # the line
    trace: Trace | None = None  # the span in which it is printed
    correlation_id: str = ""  # of the run; empty: it has none


class RecordRejection(Struct, frozen=True, gc=False):
    """Report to the sender of the command that it was refused: a record in `dead-letters` with the command's id and the
    current state."""

    command_id: str  # of the command that was refused
    code: str  # why it was
    message: str  # the same for people, with what to do
    run: str | None  # run id that the command named, or that an earlier copy of it has started; None: it names none
    state: dict[str, Any]  # what the refusal depends on, such as the open run; plain JSON


class DeadLetter(Struct, frozen=True, gc=False):
    """Keep the command's record, as it came, in `dead-letters`."""

    reason: str
    message: str


class Unclaimed(Struct, frozen=True, gc=False):
    """Record in the topic `unclaimed` that no run took an event. Without its payload."""

    definition: str  # whose mailbox it was in
    key: str  # business key
    event: str  # its name
    source: str  # who made it; empty: nobody is named
    id: str  # its own, or the place of its record
    outcome: str  # expired | unclaimed | refused | erased
    reason: str  # why, as the nearest miss says
    run: str | None  # run id of the run that came nearest to taking it; None: there was none
    step: str | None  # the step of that run
    offset: int  # of its delivery in `commands`
    arrived_ms: int  # partition time of its delivery, epoch milliseconds
    ended_ms: int  # the same of its end


class RecordErasure(Struct, frozen=True, gc=False, kw_only=True):
    """Account in the topic `audit` for an erasure. It holds nothing of what was erased, and no business key."""

    command_id: str
    definitions: tuple[str, ...]
    reason: str
    records: int  # of the state that were deleted or renamed
    events: int  # that were kept for waits
    at_ms: int  # partition time


Effect = (
    AppendCommand
    | Forward
    | PublishEvent
    | SendTask
    | PrintLine
    | RecordRejection
    | DeadLetter
    | Unclaimed
    | RecordErasure
)
