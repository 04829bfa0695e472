"""From a source record to commands: decode, match, encode, and a dead letter for everything on the way that cannot be
done.

One router for each state of the published versions, and it never changes: a batch is routed as a whole by one of them.
Ingress and simulations route by it alone, so sizes and outcomes are the same in both.

**Who can still want a record.** The newest version of a definition starts runs and waits. Older ones have open runs
perhaps, which ingress cannot know: they get what they can read, and what they cannot is `ignored`, for a producer that
has moved on owes nothing to them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import groupby
from operator import attrgetter
from typing import Any, NamedTuple

import msgspec

from streamflow.definition.catalog import EventSpec
from streamflow.definition.expression import compile_expression
from streamflow.engine.builder import NAME_BYTES
from streamflow.engine.match import Matcher, Published, Source
from streamflow.engine.name_limits import long_name
from streamflow.engine.trace import Sampling, Trace
from streamflow.ids import command_place
from streamflow.wire import cloudevents
from streamflow.wire.codec import DecodeError, encode_command
from streamflow.wire.dead_letter import DeadLetter, dead_letter
from streamflow.wire.decoding import Record
from streamflow.wire.extraction import Occurrence, Refusal, TopicReader
from streamflow.wire.frame import Unframe

STAGE = "ingress"

# a publication makes a router of its own, and most of it is as it was
_compile = lru_cache(maxsize=4096)(compile_expression)


def readable(specs: Iterable[EventSpec]) -> None:
    """Raises ValueError or DefinitionError if a schema or expression of `specs` cannot be compiled."""
    TopicReader(enumerate(specs), _compile)


def too_large(size: int, limit: int) -> Refusal:
    """Why a record whose value has `size` bytes is not read."""
    text = f"The event has {size} bytes and the limit is {limit}. Send less, or raise limits.event_bytes."
    return Refusal("event_too_large", text)


class Entered(NamedTuple):
    """A record, or an event of a batch in it, that enters a trace that is recorded here."""

    trace: Trace  # the span in which its commands were made
    parent: Trace | None  # that of its sender; None: the trace begins here
    event: str  # its name
    id: str  # its own id
    correlation_id: str  # empty: it has none


class Routed(NamedTuple):
    """What one record gives."""

    commands: list[tuple[str, bytes]]  # (business key, encoded command), in order
    refusals: list[Refusal]  # why it is a dead letter, once for each reason
    dead_letters: list[DeadLetter]  # in the order of `refusals`
    outdated: int = 0  # older versions that could not read it
    fault: Exception | None = None  # what a defect of ours raised; the record is a dead letter
    entered: tuple[Entered, ...] = ()  # the spans in which commands were made


NOTHING = Routed([], [], [])


class EventRouter:
    """Routes records for the versions in `published`, whose catalogs `readable` has found usable. `event_bytes` bounds
    a record's value, `record_bytes` an encoded command and a dead letter. `sampling` says which traces are recorded;
    None: none of those that enter here, their context is passed on as it came. `unframe` reads values in the frame of a
    schema registry; None: they are not read."""

    def __init__(
        self,
        published: Iterable[Published],
        *,
        event_bytes: int,
        record_bytes: int,
        sampling: Sampling | None = None,
        unframe: Unframe | None = None,
    ) -> None:
        self._sampling = sampling
        self.published = tuple(published)
        self._matcher = Matcher(self.published)
        self._event_bytes = event_bytes
        self._record_bytes = record_bytes
        by_topic: dict[str, list[tuple[int, EventSpec]]] = {}
        for index, spec in enumerate(self._matcher.specs):
            for topic in spec.topics:
                by_topic.setdefault(topic, []).append((index, spec))
        attributed = self._matcher.attributed
        self._readers = {topic: TopicReader(specs, _compile, attributed, unframe) for topic, specs in by_topic.items()}
        current = _current(self.published)
        self._current = frozenset(i for i, spec in enumerate(self._matcher.specs) if _identity(spec) in current)
        self.topics = frozenset(self._readers)

    def route(self, record: Record, topic_id: str, committed: int) -> Routed:
        """What `record` gives, when `committed` is the offset that the group has committed in its partition. Never
        raises for what a record holds: at worst it becomes a dead letter."""
        reader = self._readers.get(record.topic)
        if reader is None:
            return NOTHING
        if record.value is not None and len(record.value) > self._event_bytes:
            return self._too_large(reader, record, topic_id)
        commands: list[tuple[str, bytes]] = []
        entered: list[Entered] = []
        outdated, fault = 0, None
        try:
            occurrences, found = reader.read(record, topic_id)
            if not occurrences and not found:
                return NOTHING
            refusals = [refusal for refusal in found if self._is_wanted(reader, refusal)]
            outdated = len(found) - len(refusals)
            if occurrences:
                for _, events in groupby(occurrences, key=attrgetter("part")):  # those of a batch one by one
                    given, failures = self._commands(record, topic_id, committed, tuple(events), entered)
                    commands += given
                    refusals += failures
        # a fault of ours that one record brings out must not stop all that come after it
        except Exception as error:  # noqa: BLE001
            fault = error
            text = f"Matching raised {type(error).__name__}. This is a defect of Streamflow. Report it."
            refusals = [Refusal("matching_failed", text)]
        if not commands and not refusals:
            return NOTHING if not outdated else Routed([], [], [], outdated)
        letters = [self._dead(record, topic_id, refusal, self._record_bytes) for refusal in refusals]
        return Routed(commands, refusals, letters, outdated, fault, tuple(entered))

    def refuse(self, record: Record, topic_id: str, reason: str, message: str, **facts: int) -> Routed:
        """What a record gives that cannot be looked into: a dead letter, whichever definition wants it."""
        letter = dead_letter(record, reason, message, STAGE, topic_id=topic_id, limit_bytes=self._record_bytes, **facts)
        return Routed([], [Refusal(reason, message)], [letter])

    def _is_wanted(self, reader: TopicReader, refusal: Refusal) -> bool:
        """Whether a version that is in use would have wanted what could not be read."""
        return bool(self._current & reader.indexes) if refusal.spec is None else refusal.spec in self._current

    def _too_large(self, reader: TopicReader, record: Record, topic_id: str) -> Routed:
        wanted = reader.specs(record)
        if not wanted & self._current:
            return Routed([], [], [], len(wanted)) if wanted else NOTHING
        refusal = too_large(len(record.value or b""), self._event_bytes)
        return Routed([], [refusal], [self._dead(record, topic_id, refusal, 0)])

    def _commands(
        self,
        record: Record,
        topic_id: str,
        committed: int,
        occurrences: Sequence[Occurrence],
        entered: list[Entered],
    ) -> tuple[list[tuple[str, bytes]], list[Refusal]]:
        first = occurrences[0]
        trace = came = first.trace
        if self._sampling is not None:
            place = command_place(topic_id, record.partition, record.offset)
            trace = self._sampling.enter(came, place if first.part is None else f"{place}/{first.part}")
        source = Source(
            topic_id,
            record.partition,
            record.offset,
            committed,
            trace,
            first.part,
            record.topic,
            first.correlation_id,
        )
        matched = self._matcher.match([(found.spec, found.event, found.key) for found in occurrences], source)
        refusals = [Refusal(*failure) for failure in matched.failures]
        commands: list[tuple[str, bytes]] = []
        for command in matched.commands:
            if (long := long_name(command.key, command.event, NAME_BYTES)) is not None:
                text = f"The {long[0]} has {long[1]} bytes and the limit is {NAME_BYTES}. Send a shorter one."
                refusals.append(Refusal("name_too_long", text, command.event.name, command.definition))
                continue
            try:
                value = encode_command(command)
            except DecodeError as error:
                refusals.append(Refusal(error.code, error.message, command.event.name, command.definition))
                continue
            if len(value) > self._record_bytes:
                text = (
                    f"The command has {len(value)} bytes and the limit is {self._record_bytes}. Send less, or raise "
                    "limits.record_bytes."
                )
                refusals.append(Refusal("event_too_large", text, command.event.name, command.definition))
            else:
                commands.append((command.key, value))
        if commands and trace is not None and trace.recorded:
            entered.append(Entered(trace, came, first.event.name, first.event.id, first.correlation_id))
        part, envelope = first.part, first.envelope
        return commands, [refusal._replace(part=part, envelope=envelope) for refusal in refusals]

    def _dead(self, record: Record, topic_id: str, refusal: Refusal, limit_bytes: int) -> DeadLetter:
        if refusal.part is not None:
            record = _single(record, refusal.envelope)
        return dead_letter(
            record,
            refusal.reason,
            refusal.message,
            STAGE,
            topic_id=topic_id,
            limit_bytes=limit_bytes,
            event=refusal.event,
            definition=refusal.definition,
            version=refusal.version,
            trigger=refusal.trigger,
            part=refusal.part,
        )


def _single(record: Record, envelope: Any) -> Record:
    """One event of a batch as a record of its own, so that it can be sent again without the others."""
    headers = tuple((name, value) for name, value in record.headers if name.lower() != "content-type")
    return record._replace(
        value=msgspec.json.encode(envelope), headers=(("content-type", cloudevents.STRUCTURED.encode()), *headers)
    )


def _current(published: Iterable[Published]) -> frozenset[str]:
    """The events, by identity, that newest versions name."""
    return frozenset(
        _identity(live.specs[name])
        for live in published
        if live.newest
        for name in {*(trigger.event for trigger in live.plan.triggers), *live.plan.waits}
    )


def _identity(spec: EventSpec) -> str:
    return spec.model_dump_json(by_alias=True)
