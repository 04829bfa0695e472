"""Erasing a business key: what the state holds of it goes, and what protects against repeated events stays under a name
that does not reveal the key (docs/design.md#erasure)."""

from __future__ import annotations

from msgspec.structs import replace

from streamflow.engine import commands as c
from streamflow.engine.builder import DecisionBuilder
from streamflow.engine.effects import AppendCommand, RecordErasure
from streamflow.engine.generations import forward_erasure
from streamflow.engine.mailbox import memory
from streamflow.engine.outcome import Contents, Refused
from streamflow.engine.state import PartitionState

RECORDS_PER_COMMAND = 500


def erase_key(builder: DecisionBuilder, contents: Contents, own: PartitionState, command: c.EraseKey) -> None:
    """Erase a key from the mailboxes of the definitions, some records at a time; the last command accounts for all.
    Raises Refused while a run of the key is open."""
    boxes = [builder.mailbox(definition, command.key) for definition in command.definitions]
    if runs := [run for box in boxes for run in box.runs]:
        text = f"{len(runs)} runs of the key are open. End them first, or erase with --force, which cancels them."
        raise Refused("rejected", "runs_open", text, {"runs": runs})
    left, events = RECORDS_PER_COMMAND, 0
    for box in boxes:
        events += box.erase()
    for box in boxes:
        left -= memory.hide(builder, box.name, left)
    records = command.records + RECORDS_PER_COMMAND - left + events
    events += command.events
    further = replace(
        command, id=f"{request_of(command)}/{command.part + 1}", part=command.part + 1, records=records, events=events
    )
    if left <= 0:
        builder.effects.append(AppendCommand(command.key, further))
        return
    if forward_erasure(builder, further):
        return
    builder.effects.append(
        RecordErasure(
            command_id=request_of(command),
            definitions=command.definitions,
            reason=command.reason,
            records=records,
            events=events,
            at_ms=builder.now_ms,
        )
    )


def request_of(command: c.EraseKey) -> str:
    """The id of the command that asked for the erasure."""
    return command.id.removesuffix(f"/{command.part}") if command.part else command.id
