"""Asking the engine for something, and hearing its answer: a command is appended, its outcome is read from `runs` or
`dead-letters`.

A command is answered by the transitions that name it as their cause, or by a dead letter that names it or its record.
"""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass
from typing import Any

import msgspec
from confluent_kafka import OFFSET_END, KafkaError, KafkaException, Message, Producer

from streamflow.core.reading import source_of
from streamflow.engine.commands import Command
from streamflow.engine.transitions import Transition
from streamflow.errors import OperationError, Rejected
from streamflow.kafka.connection import confluent_producer_config
from streamflow.kafka.refusals import missing_right
from streamflow.kafka.topics import COMMANDS, DEAD_LETTERS, RUNS, topic_name
from streamflow.ops.history import explain_refusal, transitions
from streamflow.ops.topic_reader import Reading
from streamflow.settings import Settings
from streamflow.wire.codec import encode_command
from streamflow.wire.dead_letter import ENGINE, facts_of
from streamflow.wire.decoding import Record
from streamflow.wire.unreadable import UNREADABLE, Unreadable

ANSWER_S = 10.0
_DELIVERY_S = 20.0
_SETTLE_S = 0.05  # transitions of one command arrive together; those of the next fetch belong to it too


@dataclass(frozen=True, slots=True)
class Answer:
    """The result of a command: its transitions, in order."""

    command: str
    transitions: tuple[Transition, ...]


def new_id() -> str:
    """An id for a command. Drawn, not derived: two requests of a person are two requests."""
    return f"request/{uuid.uuid4()}"


def ask(settings: Settings, command: Command, *, key: str, partition: int, timeout_s: float = ANSWER_S) -> Answer:
    """Appends `command` to `partition` under the business key `key` (empty if it is not known) and waits for its
    result.

    Raises Rejected with the engine's own code when the command was refused, or `run_ended` when its run has ended;
    OperationError `unanswered` when nothing was heard in time (the command stays, and may still be done), or when the
    broker does not take it."""
    with (
        Reading(settings, topic_name(settings, RUNS), start=OFFSET_END, entry=partition) as runs,
        Reading(settings, topic_name(settings, DEAD_LETTERS), [0], OFFSET_END) as dead,
    ):
        offset = append(settings, producer(settings), command, key, partition)
        deadline = time.monotonic() + timeout_s
        found: list[Transition] = []
        unreadable = Unreadable(RUNS)
        while True:
            for letter in dead.follow(0.0):
                named, place, rejected = refusal(settings, letter)
                if named == command.id or place == (str(partition), str(offset)):
                    raise explain_refusal(settings, getattr(command, "run", ""), rejected)
            told = transitions(runs.follow(_SETTLE_S), unreadable)
            heard = [transition for transition in told if transition.cause == command.id]
            found += heard
            if found and not heard:
                return Answer(command.id, tuple({t.seq: t for t in found}.values()))
            if not found and time.monotonic() > deadline:
                text = (
                    f"expected an answer within {timeout_s:g} s but there is none; the command stays in commands "
                    "(is an engine worker running?)"
                )
                raise OperationError("unanswered", text, command=command.id, partition=partition, offset=offset)


def producer(settings: Settings) -> Producer:
    """A producer of commands. Raises OperationError (`broker_unset`)."""
    return Producer(confluent_producer_config(settings, "requests") | {"message.timeout.ms": 15_000})


def append(settings: Settings, made: Producer, command: Command, key: str, partition: int) -> int:
    """The offset of the command's record, once the broker has it. Raises OperationError (`broker_refused`)."""
    answers: list[tuple[KafkaError | None, Message]] = []
    topic = topic_name(settings, COMMANDS)
    try:
        made.produce(
            topic,
            encode_command(command),
            key.encode(),
            partition,
            on_delivery=lambda error, message: answers.append((error, message)),
        )
        deadline = time.monotonic() + _DELIVERY_S
        while not answers and time.monotonic() < deadline:
            made.poll(0.005)  # another thread may be served our answer
    except (KafkaException, BufferError) as error:
        raise OperationError(
            "broker_refused",
            f"expected {topic} to accept the command but {error}. Check the broker and its permissions.",
        ) from error
    if answers and (denied := missing_right(answers[0][0], topic=("WRITE", topic))) is not None:
        raise denied
    if not answers or answers[0][0] is not None:
        said = answers[0][0].str() if answers and answers[0][0] is not None else "it did not answer"
        raise OperationError(
            "broker_refused",
            f"expected {topic} to accept the command but {said}. Check the broker and its permissions.",
        )
    return int(answers[0][1].offset() or 0)


_OWN = frozenset({"self", "code", "message"})


def _state_of(text: str) -> dict[str, Any]:
    """The state in a letter's header; nothing when it cannot be read."""
    try:
        found = msgspec.json.decode(text) if text else {}
    except UNREADABLE:
        found = {}
    # they become facts of an error, beside its own
    return {name: value for name, value in found.items() if name not in _OWN} if isinstance(found, dict) else {}


def refusal(settings: Settings, letter: Record) -> tuple[str | None, tuple[str, str] | None, Rejected]:
    """What a dead letter answers: the id of the command, or the (partition, offset) in `commands` of the record that
    its sender wrote, and the refusal. Only letters of the engine answer anything."""
    facts = facts_of(letter)
    if facts.get("stage") != ENGINE:
        return None, None, Rejected("rejected", "no letter of the engine")
    state = _state_of(facts.get("state", ""))
    code = facts.get("code") or facts.get("reason") or "rejected"
    place = (
        (facts.get("partition", ""), facts.get("offset", ""))
        if facts.get("topic") == topic_name(settings, COMMANDS)
        else None
    )
    if place is not None and (source := source_of(letter.headers)) is not None:  # refused where it was forwarded to
        place = (str(source.sent_partition), str(source.sent_offset))
    return facts.get("command"), place, Rejected(code, facts.get("message", "the engine refused the command"), **state)
