"""The ingress of a simulation: source records through the real decoding and matching into `commands`, with offsets that
can go back."""

from __future__ import annotations

from collections.abc import Iterable

from streamflow.definition.catalog import EventSpec
from streamflow.definition.expression import compile_expression
from streamflow.engine.commands import AdvanceWatermark
from streamflow.engine.match import Matcher, Published, Source
from streamflow.ids import partition_of
from streamflow.simulation.log import COMMANDS, DEAD_LETTERS, Log, Outgoing, Stored
from streamflow.wire.codec import DecodeError, encode_command
from streamflow.wire.dead_letter import dead_letter
from streamflow.wire.decoding import Record
from streamflow.wire.extraction import Refusal, TopicReader

Place = tuple[str, int]  # topic and partition


class Ingress:
    """Reads what the published versions name. `read` and `commit` apart, so that a restart in between reads again."""

    def __init__(self, log: Log, *, event_bytes: int, record_bytes: int) -> None:
        self._log = log
        self._event_bytes = event_bytes
        self._record_bytes = record_bytes
        self._matcher = Matcher(())
        self._readers: dict[str, TopicReader] = {}
        self._first: dict[str, int] = {}
        self._told: dict[str, int] = {}  # watermarks by topic id
        self.next: dict[Place, int] = {}
        self.committed: dict[Place, int] = {}

    def serve(self, published: Iterable[Published]) -> None:
        """Match by these versions from now on. A topic that no version named before is read from its end, or from its
        beginning if its event says so."""
        self._matcher = Matcher(published)
        by_topic: dict[str, list[tuple[int, EventSpec]]] = {}
        for index, spec in enumerate(self._matcher.specs):
            for topic in spec.topics:
                by_topic.setdefault(topic, []).append((index, spec))
        for topic, specs in by_topic.items():
            if topic not in self._readers and not any(spec.start == "earliest" for _, spec in specs):
                for number, records in enumerate(self._log.topic(topic).partitions):
                    self.committed[topic, number] = self.next[topic, number] = len(records)
        self._readers = {topic: TopicReader(specs, compile_expression) for topic, specs in by_topic.items()}

    def read(self, count: int | None = None) -> int:
        """Take in up to `count` records of each source partition; how many there were."""
        total = 0
        for topic in sorted(self._readers):
            for number, records in enumerate(self._log.topic(topic).partitions):
                first = self.next.get((topic, number), 0)
                batch = records[first:] if count is None else records[first : first + count]
                for record in batch:
                    self._take(record)
                self.next[topic, number] = first + len(batch)
                total += len(batch)
        return total

    def _take(self, stored: Stored) -> None:
        record, topic_id = Record(*stored), self._log.topic(stored.topic).id
        if len(record.value or b"") > self._event_bytes:
            self._refuse(record, topic_id, [_too_large("an event", self._event_bytes, len(record.value or b""))], 0)
            return
        occurrences, refusals = self._readers[stored.topic].read(record, topic_id)
        trace = next((found.trace for found in occurrences if found.trace), None)
        source = Source(
            topic_id, record.partition, record.offset, self.committed.get((stored.topic, stored.partition), 0), trace
        )
        matched = self._matcher.match([(found.spec, found.event, found.key) for found in occurrences], source)
        refused = [*refusals, *(Refusal(*failure) for failure in matched.failures)]
        for command in matched.commands:
            try:
                value = encode_command(command)
            except DecodeError as error:
                refused.append(Refusal(error.code, error.message, command.event.name, command.definition))
                continue
            if len(value) > self._record_bytes:
                refusal = _too_large("a command", self._record_bytes, len(value))
                refused.append(refusal._replace(event=command.event.name, definition=command.definition))
            else:
                self._log.append(
                    Outgoing(COMMANDS, partition_of(command.key, self._log.partitions), command.key.encode(), value)
                )
        self._refuse(record, topic_id, refused, self._record_bytes)

    def _refuse(self, record: Record, topic_id: str, refused: Iterable[Refusal], limit_bytes: int) -> None:
        for refusal in refused:
            letter = dead_letter(
                record,
                refusal.reason,
                refusal.message,
                "ingress",
                topic_id=topic_id,
                limit_bytes=limit_bytes,
                event=refusal.event,
                definition=refusal.definition,
                version=refusal.version,
                trigger=refusal.trigger,
            )
            self._log.append(Outgoing(DEAD_LETTERS, 0, letter.key, letter.value, letter.headers))

    def commit(self) -> None:
        """Commit what has been read."""
        self.committed = dict(self.next)

    def restart(self) -> None:
        """Go on from the committed offsets, as a new process does."""
        self.next = dict(self.committed)
        self._told = {}

    def advance_watermarks(self) -> int:
        """Tell every partition how far the topics of waits with a limit are read; how many topics moved. Only what is
        read to its end moves."""
        moved = 0
        for name in sorted(self._matcher.limited_topics()):
            topic, now = self._log.topic(name), self._log.clock.now_ms
            at_end = all(
                self.next.get((name, number), 0) == len(records) for number, records in enumerate(topic.partitions)
            )
            if not at_end or self._told.get(topic.id, 0) >= now:
                continue
            self._told[topic.id] = now
            times = {str(number): now for number in range(len(topic.partitions))}
            value = encode_command(
                AdvanceWatermark(
                    id=f"watermark/{name}/0/{now}", topic=name, partitions=len(topic.partitions), at_ms=times
                )
            )
            for number in range(self._log.partitions):
                self._log.append(Outgoing(COMMANDS, number, b"", value))
            moved += 1
        return moved


def _too_large(what: str, limit: int, found: int) -> Refusal:
    return Refusal("event_too_large", f"expected {what} of at most {limit} bytes but found {found}; send less")
