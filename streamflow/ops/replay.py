"""Sending dead letters again: where the record of each belongs, what it is there, and what keeps it from being sent.

An event goes to its source topic, with the bytes, key and headers that it had; so its identity is the one that it had,
and what took it before finds a duplicate. Other records go back to where they were refused, under the identity that is
in them: a command to `commands`, a task to its lane, an emitted event to its topic.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from typing import Any, NamedTuple

from streamflow.core.reading import source_of
from streamflow.definition.catalog import EventSpec
from streamflow.definition.duration import format_ms
from streamflow.definition.expression import compile_expression
from streamflow.errors import OperationError
from streamflow.kafka.admin import Admin
from streamflow.kafka.definitions import Snapshot
from streamflow.kafka.topic_findings import ActualTopic
from streamflow.kafka.topics import COMMANDS, DEAD_LETTERS, is_own, topic_name
from streamflow.ops.dead_letters import OPEN, Letter, records_at
from streamflow.ops.event_memory import EventMemory
from streamflow.ops.produce import with_schema
from streamflow.ops.record_sender import RecordSender
from streamflow.ops.settlements import SETTLED_AT_ONCE, settle
from streamflow.registry.event_writers import EventWriters
from streamflow.registry.readers import SchemaReaders, schema_readers
from streamflow.settings import Settings
from streamflow.wire.dead_letter import ENGINE, Outgoing, original_of
from streamflow.wire.decoding import Record
from streamflow.wire.extraction import TopicReader
from streamflow.wire.forwarding import FORWARDED
from streamflow.wire.settlement import Settlement

_HOUR_MS = 3_600_000


class Prepared(NamedTuple):
    """A letter and what sending it again means. `problem` is a code and a text when it cannot be sent; `record` then is
    None."""

    letter: Letter
    topic: str = ""
    partition: int = -1
    record: Outgoing | None = None
    problem: tuple[str, str] | None = None


class _Obstacle(Exception):
    """Why a letter cannot be sent again."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(code)
        self.problem = (code, message)


class Replay:
    """Prepares letters, looking each topic up once. `read_definitions` gives the published definitions; `as_new` sends
    also events that count as new ones, `again` also letters that are settled; `now_ms` is the time, in epoch
    milliseconds."""

    def __init__(
        self,
        settings: Settings,
        read_definitions: Callable[[], Snapshot],
        *,
        now_ms: int,
        as_new: bool = False,
        again: bool = False,
    ) -> None:
        self._settings = settings
        self._read_definitions = read_definitions
        self._now_ms = now_ms
        self._as_new = as_new
        self._again = again
        self._admin = Admin(settings)
        self._topics: dict[str, ActualTopic | None] = {}
        self._readers: dict[str, TopicReader] = {}
        self._writers = EventWriters()

    def prepare_all(self, letters: Iterable[Letter]) -> Iterator[Prepared]:
        """As `prepare`, for each of the letters, oldest first; their records are read in one pass."""
        left = {letter.number: letter for letter in letters}
        for record in records_at(self._settings, topic_name(self._settings, DEAD_LETTERS), 0, list(left)):
            yield self.prepare(left.pop(record.offset), record)
        for letter in left.values():
            yield Prepared(letter, problem=("letter_gone", "The letter is no longer kept."))

    def prepare(self, letter: Letter, record: Record) -> Prepared:
        """What sending `letter` again means, or what keeps it from being sent; `record` is its own in `dead-letters`.
        Raises OperationError."""
        try:
            if letter.state != OPEN and not self._again:
                raise _Obstacle("letter_settled", f"It was {letter.state} already. Name it with --again to send it.")
            return self._target(letter, original_of(record))
        except _Obstacle as obstacle:
            return Prepared(letter, problem=obstacle.problem)
        except (KeyError, ValueError):
            text = "Its place cannot be read, so Streamflow did not write it. Send the event itself."
            return Prepared(letter, problem=("source_unknown", text))

    def _target(self, letter: Letter, kept: Outgoing | None) -> Prepared:
        facts, stage = letter.facts, letter.facts.get("stage")
        if letter.reason == "rejected":
            raise _Obstacle(
                "letter_answers",
                "It answers a request that the engine refused. Repeat the request, if it is still needed.",
            )
        if stage == "emit":
            return self._emitted(letter, kept)
        if stage == "ingress":
            return self._event(letter, kept, "")
        if stage == ENGINE and "source_offset" in facts:
            return self._event(letter, None, "source_")
        if stage == ENGINE and letter.reason != "misrouted":
            return self._own(letter, kept, topic_name(self._settings, COMMANDS))
        if stage == "tasks" and facts.get("topic", "").startswith(topic_name(self._settings, "tasks.")):
            return self._own(letter, kept, facts["topic"])
        raise _Obstacle("source_unknown", f"Its stage is {stage} and its place {letter.place}. Send the event itself.")

    # -- events

    def _event(self, letter: Letter, record: Outgoing | None, prefix: str) -> Prepared:
        """An event, to the topic that ingress read it from. A letter of ingress holds the record; one of the engine
        holds a command that was made of it, so its record is read where it was."""
        facts = letter.facts
        topic, partition = facts.get(f"{prefix}topic", ""), int(facts[f"{prefix}partition"])
        if not topic:
            raise _Obstacle("source_unknown", "It does not name the topic of its event. Send the event itself.")
        if is_own(self._settings, topic):
            raise _Obstacle("topic_reserved", f"The topic {topic} is one of Streamflow's own. Send the event itself.")
        seen = self._topic(topic)
        if record is None:
            record = self._read_again(
                letter, seen, facts.get(f"{prefix}topic_id", ""), partition, int(facts[f"{prefix}offset"])
            )
        if facts.get("event") and not self._as_new:
            self._require_known(letter, topic, record)
        return Prepared(letter, topic, partition if partition < seen.partitions else -1, record)

    def _require_known(self, letter: Letter, topic: str, record: Outgoing) -> None:
        """Raises _Obstacle when a definition that took the event would take its copy for another event."""
        place = "-"  # stands for the id of the topic in the id that an event gets from its place
        read = Record(topic, 0, 0, self._now_ms, record.key, record.value, record.headers)
        if self._schemas is not None:
            self._schemas.ask_for(read)
        occurrences = self._reader(topic).read(read, place)[0]
        names = {letter.facts["event"], *(found.event.name for found in occurrences)}
        memory = self._memory.shortest(names, letter.at_ms)
        if self._now_ms - letter.at_ms > memory.window_ms:
            whose, length = memory.definition or "a definition", format_ms(memory.window_ms)
            raise _Obstacle(
                "memory_over",
                f"It is older than the {length} for which {whose} remembers events, so a copy would be consumed again. "
                "Send it with --as-new, if that is right.",
            )
        for found in occurrences:
            if found.event.id == f"{place}/0/0":
                raise _Obstacle(
                    "event_without_id",
                    f"The event {found.event.name} has no id, so a copy would be consumed again. Send it with "
                    "--as-new, if that is right.",
                )

    def _reader(self, topic: str) -> TopicReader:
        if topic not in self._readers:
            specs = [spec for spec in self._specs if topic in spec.topics]
            self._readers[topic] = TopicReader(enumerate(specs), compile_expression, unframe=self._schemas)
        return self._readers[topic]

    @cached_property
    def _schemas(self) -> SchemaReaders | None:
        return schema_readers(self._settings)

    @cached_property
    def _definitions(self) -> Snapshot:
        return self._read_definitions()

    @cached_property
    def _memory(self) -> EventMemory:
        fixed = self._definitions.engine.get("limits", {})  # with the topics; the settings here may say something else
        return EventMemory(self._definitions, fixed.get("window_hours", self._settings.limits.window_hours) * _HOUR_MS)

    @cached_property
    def _specs(self) -> Sequence[EventSpec]:
        return self._definitions.catalog().events

    # -- what is Streamflow's own

    def _own(self, letter: Letter, record: Outgoing | None, topic: str) -> Prepared:
        """A command or a task, to the partition that it was in: its number is in run ids. A command that was forwarded
        is sent to the partition that it came in by, where it is no copy of what was forwarded."""
        partition, offset = int(letter.facts["partition"]), int(letter.facts["offset"])
        seen = self._topic(topic)
        if record is None:
            record = self._read_again(letter, seen, letter.facts.get("topic_id", ""), partition, offset)
        source = source_of(record.headers) if topic == topic_name(self._settings, COMMANDS) else None
        if source is not None:
            partition = source.sent_partition
            record = record._replace(headers=tuple(one for one in record.headers if one[0] != FORWARDED))
        return Prepared(letter, topic, partition, record)

    def _emitted(self, letter: Letter, record: Outgoing | None) -> Prepared:
        """An event of a run, to the topic that it is bound to now."""
        spec = self._definitions.catalog().event(letter.facts.get("event", ""))
        topic = spec.topics[0] if spec is not None and spec.topics else letter.topic
        if not topic:
            raise _Obstacle(
                "event_unbound", f"The event {letter.facts.get('event')} is bound to no topic. Publish a catalog."
            )
        if is_own(self._settings, topic):
            raise _Obstacle("topic_reserved", f"The topic {topic} is one of Streamflow's own. Publish a catalog.")
        self._topic(topic)
        if record is None:
            raise _Obstacle("record_cut", "The record was too large to be stored completely. There is no other copy.")
        return Prepared(letter, topic, -1, self._written(letter.facts.get("event", ""), record))

    def _written(self, event: str, record: Outgoing) -> Outgoing:
        """An emitted event in its current format; a letter holds it as JSON."""
        try:
            written = self._writers.of(event, self._definitions.bindings.get(event))
            return record if written is None else with_schema(record, written)
        except OperationError as error:
            raise _Obstacle(error.code, error.message) from error

    # -- where records are

    def _read_again(self, letter: Letter, topic: ActualTopic, topic_id: str, partition: int, offset: int) -> Outgoing:
        """The record at its place. Raises _Obstacle when it no longer exists."""
        place = f"{topic.name}/{partition}/{offset}"
        gone = _Obstacle("source_gone", f"The record at {place} is no longer kept. Send the event itself again.")
        if topic_id not in ("", topic.id):
            raise gone
        if partition >= topic.partitions:
            raise gone
        record = next(records_at(self._settings, topic.name, partition, [offset]), None)
        if record is None:
            raise gone
        digest = letter.facts.get("sha256")
        cut = digest is not None and topic.name == letter.facts["topic"]
        if cut and hashlib.sha256(record.value or b"").hexdigest() != digest:
            raise gone
        return Outgoing(record.key, record.value, record.headers)

    def _topic(self, name: str) -> ActualTopic:
        if name not in self._topics:
            self._topics[name] = self._admin.describe([name], with_config=False).get(name)
        found = self._topics[name]
        if found is None:
            raise _Obstacle("topic_missing", f"The topic {name} does not exist. Create it.")
        return found


def send_again(settings: Settings, prepared: Iterable[Prepared], why: str = "") -> Iterator[Settlement]:
    """Sends what is prepared, in order, and notes each letter as replayed once the broker has its record. A letter that
    was sent and not noted, because this process ended, is open: sent again, it is a duplicate.

    Raises OperationError when a topic does not take a record; what it took before is noted."""
    sender = RecordSender(settings)
    batch: list[Prepared] = []
    for one in prepared:
        if one.record is not None:
            batch.append(one)
        if len(batch) >= SETTLED_AT_ONCE:
            yield from _send_batch(settings, sender, batch, why)
            batch = []
    yield from _send_batch(settings, sender, batch, why)


def _send_batch(settings: Settings, sender: RecordSender, batch: list[Prepared], why: str) -> Iterator[Settlement]:
    places = sender.send([(one.topic, one.partition, one.record) for one in batch if one.record is not None])
    settled = [
        Settlement(
            letter=one.letter.id, state="replayed", why=why, topic=one.topic, partition=place[0], offset=place[1]
        )
        for one, place in zip(batch, places, strict=True)
        if place is not None
    ]
    yield from settle(settings, settled, sender)
    if sender.error is not None:
        raise sender.error


def replay_result(
    ready: Sequence[Prepared], problems: Sequence[Prepared], settled: Sequence[Settlement], *, dry_run: bool
) -> dict[str, Any]:
    """The result of the letters of one replay, as JSON data. `status` of each is `replayed`, `would_be_sent`
    (`dry_run`), `not_sent` (it ended before) or `refused`."""
    sent = {one.letter: one for one in settled}
    letters: list[dict[str, Any]] = []
    for one in ready:
        place = sent.get(one.letter.id)
        to = one.topic if place is None else f"{place.topic}/{place.partition}/{place.offset}"
        state = "would_be_sent" if dry_run else "replayed" if place is not None else "not_sent"
        letters.append({"letter": one.letter.number, "status": state, "to": to})
    for one in problems:
        code, text = one.problem or ("", "")
        letters.append({"letter": one.letter.number, "status": "refused", "code": code, "message": text})
    return {"letters": letters, "sent": len(settled), "refused": len(problems), "dry_run": dry_run}


def replay_letters(
    settings: Settings, replay: Replay, letters: Sequence[Letter], *, why: str = "", dry_run: bool = False
) -> dict[str, Any]:
    """Sends the records of `letters` again, or only reports what that would do; the answer is a
    `replay_result`. When the broker takes no more,
    the letters that are left are `not_sent`, and `error` has its code and message."""
    ready: list[Prepared] = []
    problems: list[Prepared] = []
    settled: list[Settlement] = []

    def prepared() -> Iterator[Prepared]:
        for one in replay.prepare_all(letters):
            (ready if one.problem is None else problems).append(one._replace(record=None))
            yield one

    error: OperationError | None = None
    if dry_run:
        for _ in prepared():
            pass
    else:
        try:
            settled.extend(send_again(settings, prepared(), why))
        except OperationError as caught:
            error = caught
    answer = replay_result(ready, problems, settled, dry_run=dry_run)
    return answer | {"error": {"code": error.code, "message": error.message} if error is not None else None}
