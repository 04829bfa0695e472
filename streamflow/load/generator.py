"""Sends what a plan says, each event at its time or as soon after it as it can, and never waits for an answer."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

import msgspec
from confluent_kafka import KafkaError, KafkaException, Message, Producer

from streamflow.definition.catalog import Catalog
from streamflow.engine.commands import StartRun
from streamflow.errors import OperationError
from streamflow.ids import partition_of
from streamflow.kafka.connection import confluent_producer_config
from streamflow.kafka.refusals import missing_right
from streamflow.kafka.topics import COMMANDS, topic_name
from streamflow.load.plan import Due, Moment, Plan, Script, schedule
from streamflow.load.record import load_event
from streamflow.load.tally import Tally
from streamflow.ops.sending import bound_topic, event_spec
from streamflow.settings import Settings
from streamflow.simulation.scenarios import Sent, Started
from streamflow.wire.codec import encode_command

_POLL_S = 0.02
_FLUSH_S = 30.0
_QUEUE = 100_000  # records that wait for the broker in this process
_LATE_S = 1.0  # behind its plan, from which on this generator does not keep up


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What a load run is about."""

    settings: Settings
    definition: str  # its name
    plan: Plan
    catalog: Catalog  # events with the topics that they are bound to
    start: StartRun | None  # what a request for a run looks like; None if no scenario makes one


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """A record of a load run."""

    topic: str
    partition: int  # -1: that of the key
    key: bytes | None
    value: bytes
    headers: tuple[tuple[str, bytes], ...]
    id: str  # by which the run that it starts names it


class Generator:
    """One load run. `run` sends everything; what was sent is in the tally at any time. Used by one thread."""

    def __init__(self, load: Load, tally: Tally) -> None:
        self._load = load
        self._plan = load.plan
        self._tally = tally
        self._source = f"/streamflow/{load.settings.environment}/load"
        self._producer = Producer(
            confluent_producer_config(load.settings, "load")
            | {"linger.ms": 1, "message.timeout.ms": 60_000, "queue.buffering.max.messages": _QUEUE}
        )
        self._error: OperationError | None = None
        self.began_s = time.monotonic()  # monotonic, of the first event
        self.last_begun_s = 0.0  # after that, of the last instance
        self.missed = 0  # instances that were to begin and did not, because it was behind its plan

    def run(self) -> Iterator[None]:
        """Sends, and yields often. Raises OperationError when a record cannot be handed over at all (a missing right, a
        broker that does not answer); what the broker refuses later is counted."""
        self.began_s = time.monotonic()
        left: dict[int, int] = {}  # actions that are left of an instance
        for due in schedule(self._plan):
            while (ahead_s := self.began_s + due.at_s - time.monotonic()) > 0:
                self._producer.poll(min(ahead_s, _POLL_S))
                yield
            script = self._plan.scripts[due.number % len(self._plan.scripts)]
            if due.first:
                if -ahead_s > _LATE_S and self.began_s + self._plan.asked.seconds < time.monotonic():
                    self.missed += 1
                    continue
                left[due.number] = len(script.moments)
                self.last_begun_s = time.monotonic() - self.began_s
            elif due.number not in left:
                continue  # of an instance that did not begin
            self._send(due, script)
            left[due.number] -= 1
            if not left[due.number]:
                del left[due.number]
                self._tally.close(due.number)
            if self._error is not None:
                raise self._error
            yield

    def flush(self, timeout_s: float = _FLUSH_S) -> Iterator[None]:
        """Waits until the broker has answered for everything that was sent, and yields often."""
        deadline = time.monotonic() + timeout_s
        while self._producer.flush(0.1) and time.monotonic() < deadline:
            yield

    def _send(self, due: Due, script: Script) -> None:
        intended_s = self.began_s + due.at_s
        record = outgoing(self._load, script, due, source=self._source, now_ms=time.time_ns() // 1_000_000)
        self._tally.intend(due.number, record.id, intended_s)

        def delivered(error: KafkaError | None, message: Message) -> None:
            if error is None:
                self._tally.accept(intended_s, time.monotonic())
            else:
                self._tally.refuse(error.name())
                self._error = self._error or missing_right(error, topic=("WRITE", record.topic))

        while True:
            try:
                self._producer.produce(
                    record.topic,
                    record.value,
                    record.key,
                    record.partition,
                    headers=list(record.headers) or None,
                    on_delivery=delivered,
                )
                break
            except BufferError:
                self._producer.poll(0.1)
            except KafkaException as error:
                text = f"The topic {record.topic} does not take an event: {error.args[0].str()}."
                raise OperationError("broker_refused", f"{text} Check the topic and the broker.") from error
        self._tally.send(intended_s, time.monotonic())
        self._producer.poll(0)


def outgoing(load: Load, script: Script, due: Due, *, source: str, now_ms: int) -> Outgoing:
    """The record of one action, sent at `now_ms` (epoch milliseconds)."""
    moment = script.moments[due.place]
    action = script.instances.action(due.number, moment.place)
    if action.send is not None:
        return _event(load, action.send, moment, source=source, now_ms=now_ms)
    assert action.start is not None  # moments are actions that send something
    return _request(load, action.start, due, now_ms)


def _event(load: Load, sent: Sent, moment: Moment, *, source: str, now_ms: int) -> Outgoing:
    spec = event_spec(load.catalog, sent.event)
    record = load_event(spec, sent, sent_ms=now_ms, clock_ms=moment.clock_ms, source=source)
    return Outgoing(
        topic=bound_topic(spec),
        partition=-1,
        key=record.key,
        value=record.value,
        headers=record.headers,
        id=sent.id or "",
    )


def _request(load: Load, started: Started, due: Due, now_ms: int) -> Outgoing:
    assert load.start is not None
    partitions = load.settings.topics.partitions
    id_ = f"request/{started.key}/{due.number}-{due.place}"
    event = msgspec.structs.replace(load.start.event, id=id_, time_ms=now_ms, data=started.input)
    command = msgspec.structs.replace(load.start, id=id_, key=started.key, event=event)
    return Outgoing(
        topic=topic_name(load.settings, COMMANDS),
        partition=partition_of(started.key, partitions),
        key=started.key.encode(),
        value=encode_command(command),
        headers=(),
        id=id_,
    )
