"""The topic `dead-letters`, read: what could not be read, placed or done, where it came from and why, and what people
did with it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from streamflow.errors import Rejected
from streamflow.kafka.topics import DEAD_LETTERS, topic_name
from streamflow.kafka.unknown_names import remedy
from streamflow.ops.topic_reader import Progress, Reading
from streamflow.settings import Settings
from streamflow.wire.dead_letter import OWN_PREFIXES, facts_of
from streamflow.wire.decoding import Record
from streamflow.wire.settlement import Settlement, decode_settlement, is_settlement
from streamflow.wire.unreadable import Unreadable

OPEN = "open"
_NEAR = 5000  # records that are read over more quickly than a reader is opened


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """A dead letter without its bytes."""

    number: int  # its offset in `dead-letters`
    id: str  # the same for copies of one letter
    at_ms: int  # when the broker took it, in epoch milliseconds
    key: bytes | None  # of the record that could not be used
    facts: dict[str, str]  # what Streamflow says of it, by name
    settlement: Settlement | None = None  # None: it is open

    @property
    def state(self) -> str:
        """`open`, `replayed` or `dropped`."""
        return OPEN if self.settlement is None else self.settlement.state

    @property
    def reason(self) -> str:
        """The stable code of why it is a dead letter."""
        return self.facts.get("reason", "")

    @property
    def topic(self) -> str:
        """The topic that its data came from, or was to go to: of an event the source topic, also when the engine
        refused it."""
        return self.facts.get("source_topic") or self.facts.get("topic", "")

    @property
    def place(self) -> str:
        """`topic/partition/offset` of the source record; of an event that could not be published, its topic."""
        name = "source_" if self.facts.get("source_topic") else ""
        partition, offset = self.facts.get(f"{name}partition", "-1"), self.facts.get(f"{name}offset", "-1")
        return self.topic if offset == "-1" else f"{self.topic}/{partition}/{offset}"

    def described(self) -> dict[str, Any]:
        """As JSON would have it."""
        settled = {} if self.settlement is None else {"why": self.settlement.why}
        return {"letter": self.number, "at_ms": self.at_ms, "status": self.state, **settled, **self.facts}


def unmatched(letters: Sequence[Letter], *, reason: str | None, topic: str | None) -> Iterator[str]:
    """A sentence for each filter that fits none of `letters`, with the names that it is likely to mean."""
    filters = (
        ("has the reason", "reasons", reason, {letter.reason for letter in letters}),
        ("is of the topic", "topics", topic, {letter.topic for letter in letters if letter.topic}),
    )
    for verb, kind, asked, names in filters:
        if asked is not None and names and asked not in names:
            yield f"No dead letter {verb} {asked}. {remedy(asked, names, kind)}"


def original_headers(letter: Record) -> dict[str, str]:
    """The headers of the record that became this dead letter."""
    return {
        name: (value or b"").decode("utf-8", "replace")
        for name, value in letter.headers
        if not name.startswith(OWN_PREFIXES)
    }


def read_dead_letters(
    settings: Settings, progress: Progress | None = None, unreadable: Unreadable | None = None
) -> list[Letter]:
    """All dead letters that are kept, oldest first, each with its state and without its bytes. Copies of one (the same
    `id` in its facts) are given once. A record that does not say why it is there is skipped, and counted in
    `unreadable`: Streamflow did not write it.

    Raises OperationError."""
    with Reading(settings, topic_name(settings, DEAD_LETTERS)) as reading:
        return letters_of(reading.to_end(progress), unreadable)


def letters_of(records: Iterable[Record], unreadable: Unreadable | None = None) -> list[Letter]:
    """The dead letters among `records` of the topic; see `read_dead_letters`."""
    letters: dict[str, Letter] = {}
    skipped = unreadable or Unreadable(DEAD_LETTERS)
    for record in records:
        if is_settlement(record):
            settlement = decode_settlement(record)
            if settlement is None:
                skipped.skip(record.partition, record.offset, ValueError("the settlement cannot be read"))
            elif settlement.letter in letters:
                letters[settlement.letter] = replace(letters[settlement.letter], settlement=settlement)
            continue
        facts = facts_of(record)
        name = facts.get("id")
        if name is None or "reason" not in facts:
            skipped.skip(record.partition, record.offset, ValueError("it does not say why it is a dead letter"))
            continue
        if name not in letters:
            letters[name] = Letter(
                number=record.offset, id=name, at_ms=record.timestamp_ms, key=record.key, facts=facts
            )
    return list(letters.values())


def record_of(settings: Settings, number: int) -> Record | None:
    """The record in `dead-letters` at an offset, None when there is none or it is no letter. Raises OperationError."""
    found = next(records_at(settings, topic_name(settings, DEAD_LETTERS), 0, [number]), None)
    return None if found is None or is_settlement(found) else found


def records_at(settings: Settings, topic: str, partition: int, offsets: list[int]) -> Iterator[Record]:
    """Those records of a partition at the `offsets` that are still there, in order; what lies between is read over.

    Raises OperationError."""
    wanted = set(offsets)
    for first, last in _spans(sorted(wanted)):
        with Reading(settings, topic, [partition], {partition: first}) as reading:
            for record in reading.to_end():
                if record.offset in wanted:
                    yield record
                if record.offset >= last:
                    break


def _spans(offsets: list[int]) -> Iterator[tuple[int, int]]:
    """The first and last of groups of offsets that are near enough to be read in one go."""
    first = last = None
    for offset in offsets:
        if first is None or last is None:
            first = offset
        elif offset - last > _NEAR:
            yield first, last
            first = offset
        last = offset
    if first is not None and last is not None:
        yield first, last


def select(
    letters: Sequence[Letter],
    numbers: Sequence[int] = (),
    *,
    reason: str | None = None,
    topic: str | None = None,
    definition: str | None = None,
    since_ms: int | None = None,
    limit: int | None = None,
) -> list[Letter]:
    """The letters of these numbers; without numbers the open ones that the filters fit, oldest first, `limit` at most.

    Raises Rejected: `letter_unknown`, or `selection_missing` when nothing is asked for."""
    if numbers:
        known = {letter.number: letter for letter in letters}
        if missing := [str(number) for number in numbers if number not in known]:
            text = f"There is no dead letter {', '.join(missing)}. `streamflow dead-letters list` shows all."
            raise Rejected("letter_unknown", text)
        return [known[number] for number in dict.fromkeys(numbers)]
    if (reason, topic, definition, since_ms) == (None,) * 4:
        text = "Neither letters nor a filter are named. Give numbers, or --reason, --topic, --definition or --since."
        raise Rejected("selection_missing", text)
    found = [
        letter
        for letter in letters
        if letter.state == OPEN
        and reason in (None, letter.reason)
        and topic in (None, letter.topic)
        and definition in (None, letter.facts.get("definition"))
        and (since_ms is None or letter.at_ms >= since_ms)
    ]
    return found[:limit]
