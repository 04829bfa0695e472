"""Growing: a new generation of partitions takes over what is at rest in the one before it
(docs/design.md#generations-of-partitions).

All that comes from outside still enters by the first generation. A partition that has a successor decides what it holds
(open runs, mailboxes with open runs or kept events, events that it remembers) and forwards everything else, in order.
So a key's runs and events are never split, and an event is consumed at most once, by whichever generation.
"""

from __future__ import annotations

from msgspec.structs import replace

from streamflow.engine import commands as c
from streamflow.engine.builder import DecisionBuilder
from streamflow.engine.effects import Forward
from streamflow.engine.mailbox.mailbox import Mailbox
from streamflow.engine.outcome import Contents, Refused
from streamflow.engine.record_keys import run_key
from streamflow.engine.state import NextGeneration, PartitionState
from streamflow.ids import slot, slot_of_run

_ABOUT_RUNS = (
    c.CompleteAttempt,
    c.FailAttempt,
    c.SuspendAttempt,
    c.Decide,
    c.CancelRun,
    c.RetryStep,
    c.SkipStep,
    c.FailRun,
)
"""Commands that senders address by the id of a run, which does not say the generation."""


class Forwarded(Exception):
    """What the command is for is not in this partition: nothing of its draft is kept, and it is forwarded."""


def open_generation(
    builder: DecisionBuilder, contents: Contents, own: PartitionState, command: c.OpenGeneration
) -> None:
    """Forward to a further generation from now on. Raises Refused."""
    index = own.partition - command.before_first
    is_multiple = command.partitions >= command.before >= 1 and command.partitions % command.before == 0
    if command.first <= own.partition or not is_multiple or not 0 <= index < command.before:
        text = (
            f"expected a generation of a multiple of {command.before} partitions behind those of this one. Use "
            "`streamflow topics grow`."
        )
        raise Refused("dead", "bad_generation", text)
    known = own.successor
    if known is None:
        builder.successor = NextGeneration(
            first=command.first, partitions=command.partitions, index=index, before=command.before
        )
    elif (known.first, known.partitions) == (command.first, command.partitions):
        raise Refused("duplicate", "generation_open")
    else:
        text = (
            f"This partition forwards to the {known.partitions} partitions from {known.first} on. Grow from the newest "
            "generation."
        )
        raise Refused("rejected", "generation_differs", text, {"first": known.first, "partitions": known.partitions})


def refuse_copy(own: PartitionState, source: c.ForwardSource | None) -> None:
    """Raises Refused for a command that was forwarded before: its partition decides again after a crash, and forwards
    again, identically and in order."""
    if source is not None and source.offset <= own.forwarded:
        raise Refused("duplicate", "forwarded")


def require_run_here(builder: DecisionBuilder, own: PartitionState, command: c.Command) -> None:
    """Raises Forwarded when `command` is about a run that is not open here and may be in a later generation."""
    if own.successor is None or not isinstance(command, _ABOUT_RUNS):
        return
    if builder.get(run_key(command.run)) is None:
        raise Forwarded


def require_mailbox_here(builder: DecisionBuilder, box: Mailbox) -> None:
    """Raises Forwarded when nothing of `box` is here and a later generation has it, or will."""
    if builder.successor is not None and not (box.runs or box.entries or box.continue_due):
        raise Forwarded


def forward(builder: DecisionBuilder, command: c.Command) -> None:
    """Forward the record of `command` to the partition of the next generation that it belongs to."""
    after = builder.successor
    if after is None:
        raise RuntimeError("there is no generation to forward to")
    key: str | None = getattr(command, "key", None)
    place = slot(key) if key is not None else slot_of_run(command.run)  # type: ignore[union-attr]
    builder.effects.append(Forward(after.first + place % after.partitions))
    _count(builder, after)


def forward_erasure(builder: DecisionBuilder, command: c.EraseKey) -> bool:
    """Have the next generation continue an erasure; False when there is none."""
    after = builder.successor
    if after is None:
        return False
    builder.effects.append(Forward(after.first + slot(command.key) % after.partitions, command))
    _count(builder, after)
    return True


def pass_on(builder: DecisionBuilder, own: PartitionState, command: c.AdvanceWatermark) -> None:
    """Pass a watermark on, behind the events that were forwarded before: it says that no more come. To the partition of
    the next generation that it is for; for one of a later generation to all that are fed from here, because one of them
    is on the way there, and which one only the generations in between know."""
    after = own.successor
    if after is None or command.to is None or command.to <= own.partition:
        return
    number = command.to - after.first
    if number < after.partitions:  # it is for the next generation, or for one that is none of ours
        if number >= 0 and number % after.before == after.index:
            builder.effects.append(Forward(command.to))
        return
    for number in range(after.index, after.partitions, after.before):
        builder.effects.append(Forward(after.first + number))


def _count(builder: DecisionBuilder, after: NextGeneration) -> None:
    builder.successor = replace(after, forwarded=after.forwarded + 1)
