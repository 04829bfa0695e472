"""What a decision sends, as records: transitions, commands, tasks, rejections and dead letters, each with its topic,
partition, key, value and headers. The same decision on the same command gives the same bytes (law identical-replay).

Emitted events are not among them: they go to the users' topics through the outbox.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from msgspec import Struct

from streamflow.core.place import Place
from streamflow.engine.commands import (
    Command,
    Continue,
    ContinueDelivery,
    Deliver,
    EraseKey,
    FailAttempt,
    ForwardSource,
)
from streamflow.engine.effects import (
    AppendCommand,
    DeadLetter,
    Forward,
    RecordErasure,
    RecordRejection,
    SendTask,
    Unclaimed,
)
from streamflow.engine.outcome import Decision
from streamflow.engine.tasks import Task
from streamflow.ids import partition_of
from streamflow.wire import dead_letter as letters
from streamflow.wire.codec import encode_command
from streamflow.wire.decoding import Headers, Record
from streamflow.wire.erasure import encode_erasure
from streamflow.wire.forwarding import forwarded_header
from streamflow.wire.rejection import rejection
from streamflow.wire.tasks import Source, encode_task, source_header
from streamflow.wire.transitions import encode_transition
from streamflow.wire.unclaimed import encode_unclaimed

COMMANDS, RUNS, DEAD_LETTERS, UNCLAIMED, AUDIT = "commands", "runs", "dead-letters", "unclaimed", "audit"
TASKS = "tasks."  # and the lane
_GOES_ON = (Continue, ContinueDelivery, EraseKey)


class Output(Struct, frozen=True, gc=False):
    """A record on its way to one of Streamflow's own topics."""

    topic: str
    """The topic's role (`runs`, `tasks.default`); its host knows the full name."""

    partition: int
    """The partition of the topic."""

    key: bytes | None
    """The record's key."""

    value: bytes | None
    """The record's value."""

    headers: Headers = ()
    """The record's headers."""


def outputs_of(
    decision: Decision,
    record: Record,
    command: Command | None,
    place: Place,
    source: ForwardSource | None = None,
) -> list[Output]:
    """The records that `decision` on `record` sends, in order. `command` is what the record holds, None if it could not
    be read; `source` is where it was forwarded from."""
    outputs, tasks = [], 0
    traces = decision.traces
    for transition in decision.transitions:
        place_in_trace = traces.get(transition.run) if traces else None
        key, value, headers = encode_transition(transition, None if place_in_trace is None else place_in_trace.trace)
        outputs.append(Output(RUNS, place.number, key, value, headers))
    for effect in decision.effects:
        if isinstance(effect, AppendCommand):
            outputs.append(command_output(effect.command, effect.key, place))
        elif isinstance(effect, Forward):
            outputs.append(_forwarded(effect, record, place, source))
        elif isinstance(effect, SendTask):
            outputs.extend(_task(effect, Source(place.topic_id, record.offset, tasks), place))
            tasks += 1
        elif isinstance(effect, Unclaimed):
            encoded = encode_unclaimed(effect, place.limits.environment, place.topic_id, place.number)
            outputs.append(Output(UNCLAIMED, place.number, *encoded))
        elif isinstance(effect, RecordErasure):
            outputs.append(
                Output(AUDIT, 0, *encode_erasure(effect, f"{place.topic_id}/{place.number}/{record.offset}"))
            )
        elif isinstance(effect, RecordRejection):
            outputs.append(letter_output(rejection(record, effect)))
        elif isinstance(effect, DeadLetter):
            letter = letters.dead_letter(
                record,
                effect.reason,
                effect.message,
                letters.ENGINE,
                limit_bytes=place.limits.record_bytes,
                **_about(command),
            )
            outputs.append(letter_output(letter))
    return outputs


def _about(command: Command | None) -> dict[str, Any]:
    """What a dead letter says of its command: the kind, the definition or run, and the source record of an event."""
    if command is None:
        return {}
    known: dict[str, Any] = {"kind": type(command).__name__}
    for name in ("definition", "run"):
        if (value := getattr(command, name, "")) != "":
            known[name] = value
    if isinstance(command, Deliver):
        origin = command.origin
        known |= {
            "event": command.event.name,
            "source_topic": origin.topic,
            "source_topic_id": origin.topic_id,
            "source_partition": origin.partition,
            "source_offset": origin.offset,
        }
    return known


def command_output(command: Command, key: str, place: Place) -> Output:
    """A command under the business key `key`: for this partition if it continues what another one began here, else
    for the one of the first generation that `key` belongs to."""
    number = place.number if isinstance(command, _GOES_ON) else partition_of(key, place.partitions)
    return Output(COMMANDS, number, key.encode(), encode_command(command))


def _forwarded(effect: Forward, record: Record, place: Place, source: ForwardSource | None) -> Output:
    sent = (place.number, record.offset) if source is None else (source.sent_partition, source.sent_offset)
    header = forwarded_header(ForwardSource(place.number, record.offset, *sent))
    value = record.value if effect.command is None else encode_command(effect.command)
    return Output(COMMANDS, effect.partition, record.key, value, (header,))


def own_command_output(command: Command, place: Place) -> Output:
    """A command for the partition itself."""
    return Output(COMMANDS, place.number, b"", encode_command(command))


def letter_output(letter: letters.DeadLetter) -> Output:
    """A dead letter or a rejection."""
    return Output(DEAD_LETTERS, 0, letter.key, letter.value, letter.headers)


def _task(effect: SendTask, source: Source, place: Place) -> Iterator[Output]:
    """A task for its lane, in the partition with our number: lanes have as many as `commands`."""
    task = effect.task
    if place.lanes is None or effect.lane in place.lanes:
        yield Output(TASKS + effect.lane, place.number, task.key.encode(), encode_task(task), (source_header(source),))
    elif isinstance(task, Task):
        message = (
            f"The step's lane {effect.lane} is not in the settings, which have {', '.join(sorted(place.lanes))}. Add "
            "it under tasks.lanes, or correct the step."
        )
        failed = FailAttempt(
            id=f"{task.id}/failed",
            run=task.run,
            address=task.address,
            attempt=task.attempt,
            code="lane_unknown",
            message=message,
            item=task.item,
            trace=task.attempt_trace,
        )
        yield own_command_output(failed, place)
