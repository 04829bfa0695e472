"""Spans as data, and who takes them: what a decision, a source record and an attempt are in a trace.

One span for each hop. Names and attributes follow the semantic conventions of OpenTelemetry for messaging and Kafka
(version 1.43); what is our own begins with `streamflow.`. No payload and no business key is in them. Hosts make spans
of what the core tells them and pass them to a `Tracer`; without one they make none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Literal, NamedTuple, Protocol

from streamflow.core.event_router import Entered
from streamflow.engine.commands import Command
from streamflow.engine.effects import PublishEvent
from streamflow.engine.outcome import Decision
from streamflow.engine.tasks import Task
from streamflow.engine.trace import RunTrace, Trace
from streamflow.engine.transitions import RunFailed, StepParked, Transition
from streamflow.ids import command_place
from streamflow.wire.decoding import Record

Kind = Literal["server", "client", "producer", "consumer"]
Value = str | int | bool | tuple[str, ...]
Traced = Callable[
    [Record, Command | None, Decision, float], None
]  # a record, what was decided, and the seconds it took
TYPES = 20  # of transitions that a span names

_SENDS = {"kafka.emit": ("kafka", "topic"), "nats.publish": ("nats", "subject")}
"""Operations that send a message: the system, and the field of their input that names where."""


class Span(NamedTuple):
    """One span that has ended. Times are epoch nanoseconds, by the clock of the process."""

    trace: Trace  # its own ids, and whether it is sampled
    parent: Trace | None  # None: the trace begins with it
    name: str
    kind: Kind
    began_ns: int
    ended_ns: int
    attributes: Mapping[str, Value]
    links: tuple[Trace, ...] = ()  # spans of other traces that meet in it
    error: str = ""  # what failed, as a stable code; empty: nothing did


class Tracer(Protocol):
    """Takes spans. Nothing of it raises or blocks: it is called for every hop of a trace that is recorded."""

    def take(self, spans: Iterable[Span]) -> None:
        """Export the spans of one hop some time, or count them as dropped. `spans` may be a generator, which another
        thread runs later: to make many in a row takes less than one between other work."""


def is_traced(command: Command | None, decision: Decision) -> bool:
    """Whether `decision_spans` gives any."""
    came: Trace | None = getattr(command, "trace", None)
    if came is not None and came.recorded:
        return True
    return bool(decision.traces) and any(place.trace.recorded for place in decision.traces.values())


def decision_spans(
    record: Record,
    command: Command | None,
    decision: Decision,
    *,
    topic_id: str,
    group: str,
    topics: Mapping[str, str],
    began_ns: int,
    ended_ns: int,
) -> Iterator[Span]:
    """The spans of a decision on `record` of `commands`: one for each run in which it did something, or one for the
    command if there is none, and one for each event that is emitted. `topics` has the topics of emitted events, by
    their id."""
    shared = _processed(record, group) | {
        "streamflow.command": type(command).__name__ if command is not None else "unreadable",
        "streamflow.outcome": decision.outcome,
    }
    if command is not None:
        shared["messaging.message.id"] = command.id
    if decision.reason:
        shared["streamflow.reason"] = decision.reason
    failed = decision.reason if decision.outcome == "dead" else ""
    name = f"process {record.topic}"
    came: Trace | None = getattr(command, "trace", None)
    if not decision.traces and came is not None and came.recorded:
        own = came.at(command_place(topic_id, record.partition, record.offset))
        yield Span(own, came, name, "consumer", began_ns, ended_ns, shared, (), failed)
    for run, place in decision.traces.items():
        if not place.trace.recorded:
            continue
        told = [one for one in decision.transitions if one.run == run]
        facts = shared | _of_run(run, told)
        yield Span(place.trace, place.parent, name, "consumer", began_ns, ended_ns, facts, place.links, _error_of(told))
    for effect in decision.effects:
        if isinstance(effect, PublishEvent) and effect.trace is not None and effect.trace.recorded:
            yield _created(effect, decision.traces[effect.run], topics.get(effect.id, ""), ended_ns)


def source_span(record: Record, entered: Entered, group: str, began_ns: int, ended_ns: int) -> Span:
    """The span of a source record, or of an event of a batch in it, that ingress made commands of."""
    facts = _processed(record, group) | {"messaging.message.id": entered.id, "streamflow.event": entered.event}
    if entered.correlation_id:
        facts["streamflow.correlation_id"] = entered.correlation_id
    return Span(entered.trace, entered.parent, f"process {record.topic}", "consumer", began_ns, ended_ns, facts)


def attempt_span(
    task: Task,
    *,
    topic: str,
    partition: int,
    offset: int,
    group: str,
    outcome: str,
    error: str,
    began_ns: int,
    ended_ns: int,
) -> Span:
    """The span of an attempt, from its start to its answer. The task is in a trace that is recorded."""
    assert task.trace is not None
    facts = _processed(Record(topic, partition, offset, 0, None, None), group) | _of_task(task)
    facts["messaging.message.id"] = task.id
    facts["streamflow.outcome"] = outcome
    own = task.attempt_trace or task.trace
    return Span(own, task.trace, f"process {topic}", "consumer", began_ns, ended_ns, facts, (), error)


def effect_span(task: Task, error: str, began_ns: int, ended_ns: int) -> Span:
    """The span of what an attempt did outside. The task is in a trace that is recorded."""
    assert task.trace is not None
    own, parent = task.effect_trace or task.trace, task.attempt_trace
    facts, name = _of_task(task), task.operation
    kind: Kind = "client"
    if (sends := _SENDS.get(task.operation)) is not None and isinstance(task.input, dict):
        system, field = sends
        destination = str(task.input.get(field, ""))
        kind, name = "producer", f"send {destination}"
        facts |= {
            "messaging.system": system,
            "messaging.operation.name": "send",
            "messaging.operation.type": "send",
            "messaging.destination.name": destination,
            "messaging.message.id": task.idempotency_key,
        }
    return Span(own, parent, name, kind, began_ns, ended_ns, facts, (), error)


def _processed(record: Record, group: str) -> dict[str, Value]:
    return {
        "messaging.system": "kafka",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.destination.name": record.topic,
        "messaging.destination.partition.id": str(record.partition),
        "messaging.kafka.offset": record.offset,
        "messaging.consumer.group.name": group,
    }


def _of_run(run: str, told: list[Transition]) -> dict[str, Value]:
    facts: dict[str, Value] = {"streamflow.run": run}
    if told:
        first = told[0]
        facts |= {
            "streamflow.definition": first.definition,
            "streamflow.version": first.version,
            "streamflow.seq": first.seq,
            "streamflow.transitions": tuple(one.type for one in told[:TYPES]),
        }
        if steps := tuple(dict.fromkeys(one.address for one in told if one.step))[:TYPES]:
            facts["streamflow.steps"] = steps
        if correlation := getattr(first.data, "correlation_id", ""):
            facts["streamflow.correlation_id"] = correlation
    return facts


def _of_task(task: Task) -> dict[str, Value]:
    facts: dict[str, Value] = {
        "streamflow.run": task.run,
        "streamflow.definition": task.definition,
        "streamflow.version": task.version,
        "streamflow.step": task.step,
        "streamflow.attempt": task.attempt,
        "streamflow.operation": task.operation,
    }
    if task.scope:
        facts["streamflow.scope"] = task.scope
    if task.item is not None:
        facts["streamflow.item"] = task.item
    if task.correlation_id:
        facts["streamflow.correlation_id"] = task.correlation_id
    return facts


def _error_of(told: list[Transition]) -> str:
    for one in told:
        if isinstance(one.data, StepParked):
            return one.data.code
        if isinstance(one.data, RunFailed):
            return "run_failed"
    return ""


def _created(effect: PublishEvent, place: RunTrace, topic: str, at_ns: int) -> Span:
    """An event that a run emits: made now, and sent once its topic takes it."""
    assert effect.trace is not None
    facts: dict[str, Value] = {
        "messaging.system": "kafka",
        "messaging.operation.name": "create",
        "messaging.operation.type": "create",
        "messaging.destination.name": topic,
        "messaging.message.id": effect.id,
        "streamflow.run": effect.run,
        "streamflow.definition": effect.definition,
        "streamflow.event": effect.type,
    }
    if effect.correlation_id:
        facts["streamflow.correlation_id"] = effect.correlation_id
    return Span(effect.trace, place.trace, f"create {topic or effect.type}", "producer", at_ns, at_ns, facts)
