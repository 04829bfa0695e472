"""From a source record to commands: decode, match, encode, and a dead letter for everything on the way that cannot be
done.

Made new for every change of the published versions, and never changed: a batch is taken in by one intake as a whole.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

import structlog

from streamflow.definition.catalog import EventSpec
from streamflow.definition.expression import compile_expression
from streamflow.engine.match import Matcher, Published, Source
from streamflow.runtime.sources import FirstPosition
from streamflow.settings import Limits
from streamflow.wire.codec import DecodeError, encode_command
from streamflow.wire.dead_letter import DeadLetter, dead_letter
from streamflow.wire.decoding import Record
from streamflow.wire.extraction import Occurrence, Refusal, TopicReader

log = structlog.get_logger(__name__)

STAGE = "ingress"

# a publication makes everything new, and most of it is as it was
_compile = lru_cache(maxsize=4096)(compile_expression)


def readable(specs: Iterable[EventSpec]) -> None:
    """Raises ValueError or DefinitionError if a schema or expression of `specs` cannot be compiled."""
    TopicReader(enumerate(specs), _compile)


class Taken(NamedTuple):
    """What one record gives: (business key, encoded command) in order, and dead letters."""

    commands: list[tuple[str, bytes]]
    dead_letters: list[DeadLetter]


NOTHING = Taken([], [])


class Intake:
    """Takes in records for the versions in `published`, whose catalogs `readable` has found usable."""

    def __init__(self, published: Iterable[Published], limits: Limits) -> None:
        self.matcher = Matcher(published)
        self._limits = limits
        by_topic: dict[str, list[tuple[int, EventSpec]]] = {}
        for index, spec in enumerate(self.matcher.specs):
            for topic in spec.topics:
                by_topic.setdefault(topic, []).append((index, spec))
        self._readers = {topic: TopicReader(specs, _compile) for topic, specs in by_topic.items()}
        self.topics = frozenset(self._readers)
        self.limited_topics = self.matcher.limited_topics()
        self.first = {
            topic: FirstPosition(
                any(spec.start == "earliest" for _, spec in specs), self.matcher.published_ms(topic) or 0
            )
            for topic, specs in by_topic.items()
        }
        self._told: set[tuple[str, Refusal]] = set()

    def take(self, record: Record, topic_id: str, committed: int) -> Taken:
        """What `record` gives. Never raises for what a record holds: at worst it becomes a dead letter."""
        reader = self._readers.get(record.topic)
        if reader is None:
            return NOTHING
        if record.value is not None and len(record.value) > self._limits.event_bytes:
            message = (
                f"expected at most {self._limits.event_bytes} bytes but found {len(record.value)}; send less, "
                "or raise limits.event_bytes"
            )
            return Taken([], [self._dead(record, topic_id, Refusal("event_too_large", message), limit_bytes=0)])
        commands: list[tuple[str, bytes]] = []
        try:
            occurrences, refusals = reader.read(record, topic_id)
            if not occurrences and not refusals:
                return NOTHING
            commands, failures = self._commands(record, topic_id, committed, occurrences)
            refusals += failures
        except Exception as error:  # a fault of ours that one record brings out must not stop all that come after it
            log.exception("matching_failed", topic=record.topic, partition=record.partition, offset=record.offset)
            name = type(error).__name__
            refusals = [
                Refusal(
                    "matching_failed",
                    f"expected to match the record but {name} was raised; this is a fault of Streamflow's",
                )
            ]
        return Taken(commands, [self._dead(record, topic_id, refusal) for refusal in refusals])

    def _commands(
        self, record: Record, topic_id: str, committed: int, occurrences: list[Occurrence]
    ) -> tuple[list[tuple[str, bytes]], list[Refusal]]:
        source = Source(
            topic_id,
            record.partition,
            record.offset,
            committed,
            next((found.trace for found in occurrences if found.trace), None),
        )
        matched = self.matcher.match([(found.spec, found.event, found.key) for found in occurrences], source)
        refusals = [Refusal(*failure) for failure in matched.failures]
        commands: list[tuple[str, bytes]] = []
        for command in matched.commands:
            try:
                value = encode_command(command)
            except DecodeError as error:
                refusals.append(Refusal(error.code, error.message, command.event.name, command.definition))
                continue
            if len(value) > self._limits.record_bytes:
                limit = self._limits.record_bytes
                message = (
                    f"expected a command of at most {limit} bytes but found {len(value)}; send less, or raise "
                    "limits.record_bytes"
                )
                refusals.append(Refusal("event_too_large", message, command.event.name, command.definition))
            else:
                commands.append((command.key, value))
        return commands, refusals

    def _dead(self, record: Record, topic_id: str, refusal: Refusal, limit_bytes: int | None = None) -> DeadLetter:
        facts = {
            "event": refusal.event,
            "definition": refusal.definition,
            "version": refusal.version,
            "trigger": refusal.trigger,
        }
        limit = self._limits.record_bytes if limit_bytes is None else limit_bytes
        # The first of a kind is told, the others are counted: a source that turns bad would fill the log.
        tell = log.debug if (record.topic, refusal) in self._told else log.warning
        self._told.add((record.topic, refusal))
        place = {"topic": record.topic, "partition": record.partition, "offset": record.offset}
        tell(
            "dead_letter",
            reason=refusal.reason,
            message=refusal.message,
            definition=refusal.definition or None,
            name=refusal.event or None,
            **place,
        )
        return dead_letter(
            record, refusal.reason, refusal.message, STAGE, topic_id=topic_id, limit_bytes=limit, **facts
        )
