"""Events that runs emitted and that a user's topic has not acknowledged yet.

A checkpoint does not wait for users' topics. What they have not acknowledged when a cut is taken goes into the cut, one
record for each event under `!outbox/<command offset>/<place in its decision>`, and the next owner sends it from there
before anything that it decides. A record is deleted by the first cut after its acknowledgement. So an event is in a
cut or in its topic, or its command is decided again; it is never lost, and its copies have the same id and bytes.

These records are the host's, not decided state. Which events are unacknowledged depends on the broker's timing, and a
decision that could read it would not be replayed identically (law identical-replay). The alternative, a record decided
together with the event and removed by a command of the host, would write two records and a command for every event;
here an event that is acknowledged before the next cut costs nothing. The key is made of the command's offset, so a
replay gives the same event the same key, and the order of the keys is the order in which the events were emitted.

A topic is *stalled* when it has acknowledged nothing for `STALLED_S` although events wait for it. A stalled topic
holds up nobody: above its bound the oldest events become dead letters. A topic that is merely slow is waited for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec

from streamflow.engine.effects import PublishEvent
from streamflow.engine.overlay import META, Store
from streamflow.errors import OperationError, Rejected
from streamflow.ids import slot
from streamflow.wire.cloudevents import PREFIX as CE_PREFIX
from streamflow.wire.cloudevents import Texts, enveloped
from streamflow.wire.decoding import Headers
from streamflow.wire.transitions import encode_event

PREFIX = f"{META}outbox/"
STALLED_S = 10.0  # without an acknowledgement: a topic that takes nothing
GIVE_UP_S = 3600.0  # that a topic may refuse an event before it becomes a dead letter
TOPIC_EVENTS, TOPIC_BYTES = 5_000, 8 << 20  # of one topic in one partition
BATCH_EVENTS, BATCH_BYTES = 500, 256 << 10  # sent at once to one partition of a topic

WriterOf = Callable[
    [str], "Written | None"
]  # how an event is written, by its name; None: as JSON. Raises OperationError
TopicOf = Callable[[str], str]  # the topic for an event's name; raises Rejected when there is none that may be used


def usable_topic(event: str, topic: str | None, *, own: bool) -> str:
    """`topic`, to which `event` is bound in this environment. `own`: whether it is one of Streamflow's own topics.

    Raises Rejected when the event is bound to no topic, or to one of those."""
    if topic is None:
        raise Rejected(
            "event_unbound",
            f"The event {event} is bound to no topic here. Publish a catalog that says which, and replay this record.",
        )
    if own:
        raise Rejected(
            "topic_reserved",
            f"The event {event} is bound to {topic}, which is a topic of Streamflow's own. Publish a catalog with "
            "another one, and replay this record.",
        )
    return topic


class Written(NamedTuple):
    """How an event is written that its binding gives a schema."""

    write: Callable[[bytes], bytes]  # its payload in JSON, as the value of a record; raises DecodeError
    headers: Texts  # in the place of those of the same names
    is_structured: bool = False  # a CloudEvent in an envelope

    def record(self, payload: bytes, headers: Texts) -> tuple[bytes, Texts]:
        """(value, headers) of the event that has these as JSON. Raises DecodeError."""
        other = dict(self.headers)
        value, found = self.write(payload), (*(one for one in headers if one[0] not in other), *self.headers)
        is_event = any(name == f"{CE_PREFIX}specversion" for name, _ in found)
        return enveloped(value, found) if self.is_structured and is_event else (value, found)


class Unsent(msgspec.Struct, frozen=True):
    """The stored form of an event. It keeps the encoded record, so that a copy has the same bytes whatever encodes
    it; with a schema they are made of it by the present binding."""

    event: str  # name of the event, which its binding gives a topic
    id: str  # `<run>/<seq>`
    run: str
    at_ms: int  # partition time of the emission
    key: str  # business key, which selects the partition
    value: msgspec.Raw  # JSON, as it is sent without a schema
    headers: tuple[tuple[str, str], ...]


_encoder = msgspec.json.Encoder(order="deterministic")
_decoder = msgspec.json.Decoder(Unsent)


def unsent_of(event: PublishEvent) -> Unsent:
    """The stored form of an event that a decision publishes."""
    _, value, headers = encode_event(event)
    return Unsent(
        event=event.type,
        id=event.id,
        run=event.run,
        at_ms=event.at_ms,
        key=event.key,
        value=msgspec.Raw(value),
        headers=tuple((name, text.decode()) for name, text in headers),
    )


@dataclass(slots=True, eq=False)
class Entry:
    """An event in the outbox."""

    place: str  # key of its record
    unsent: Unsent
    topic: str  # that it is sent to, empty when there is none
    since_s: float  # when this owner took it
    size: int  # bytes of its key and value
    problem: str = ""  # why there is no topic for it, or it cannot be written
    sending: bool = False  # it is with the producer
    value: bytes | None = None  # as it is written with a schema; None: as JSON
    headers: Texts = ()  # that go with `value`

    def record(self) -> tuple[bytes, bytes, Headers]:
        """(key, value, headers) as they are sent."""
        if self.value is None:
            return self.plain()
        return self.unsent.key.encode(), self.value, tuple((name, text.encode()) for name, text in self.headers)

    def plain(self) -> tuple[bytes, bytes, Headers]:
        """(key, value, headers) without a schema: what a dead letter holds, and a replay writes again."""
        unsent = self.unsent
        return unsent.key.encode(), bytes(unsent.value), tuple((name, text.encode()) for name, text in unsent.headers)


class Batch(NamedTuple):
    """Events for one partition of a topic, in their order."""

    partition: int
    entries: list[Entry]


@dataclass(slots=True)
class _Topic:
    entries: dict[str, Entry] = field(default_factory=dict)  # in the order of their places
    size: int = 0
    progress_s: float = 0.0  # of the last acknowledgement, or when the first event began to wait
    stalled: bool = False


class Outbox:
    """The outbox of one partition. Times are in seconds, by a clock that never goes back."""

    def __init__(self, store: Store, topic_of: TopicOf, now_s: float, writer_of: WriterOf = lambda event: None) -> None:
        """Reads what the last owner left."""
        self._topic_of = topic_of
        self._writer_of = writer_of
        self._topics: dict[str, _Topic] = {}
        self._written: set[str] = set()
        self._gone: list[str] = []
        for place, value in store.scan(PREFIX):
            self._written.add(place)
            self._put(place, _decoder.decode(value), now_s)

    def add(self, offset: int, nth: int, unsent: Unsent, now_s: float) -> None:
        """Take in the `nth` event that the command at `offset` emitted."""
        self._put(f"{PREFIX}{offset:015d}/{nth:05d}", unsent, now_s)

    def _put(self, place: str, unsent: Unsent, now_s: float) -> None:
        size = len(unsent.key) + len(bytes(unsent.value))
        entry = Entry(place=place, unsent=unsent, topic="", since_s=now_s, size=size)
        try:
            topic_name = self._topic_of(unsent.event)
            if (written := self._writer_of(unsent.event)) is not None:
                entry.value, entry.headers = written.record(bytes(unsent.value), unsent.headers)
                entry.size = size = len(unsent.key) + len(entry.value)
            entry.topic = topic_name
        except (Rejected, OperationError) as refused:
            entry.problem = refused.message
        topic = self._topics.setdefault(entry.topic, _Topic())
        if not topic.entries:
            topic.progress_s = now_s
        topic.entries[place] = entry
        topic.size += size

    def unbound(self) -> list[Entry]:
        """Events for which there is no topic, or that cannot be written."""
        return list(self._entries(""))

    def __len__(self) -> int:
        return sum(len(topic.entries) for topic in self._topics.values())

    def known(self) -> dict[str, int]:
        """How many events wait for each topic that had any, 0 included."""
        return {name: len(topic.entries) for name, topic in self._topics.items()}

    def depths(self) -> dict[str, int]:
        """How many events wait for each topic that has any."""
        return {name: len(topic.entries) for name, topic in self._topics.items() if topic.entries}

    def oldest_s(self) -> float | None:
        """When the event that waits longest was taken in; None if none waits."""
        firsts = [next(iter(topic.entries.values())).since_s for topic in self._topics.values() if topic.entries]
        return min(firsts, default=None)

    # -- sending

    def next(self, topic: str, partitions: int, busy: Iterable[int] = ()) -> Batch | None:
        """The next events of `topic`, which has that many partitions, for one that is not `busy`; None if there are
        none. They are on their way until `sent`, `put_back` or `drop`. The order of a partition is kept if it is busy
        for as long as a batch of it is on its way."""
        taken: list[Entry] = []
        target, size, skip = -1, 0, set(busy)
        for entry in self._entries(topic):
            partition = slot(entry.unsent.key) % partitions
            if entry.sending or partition in skip or target not in (-1, partition):
                continue
            if taken and (size + entry.size > BATCH_BYTES or len(taken) == BATCH_EVENTS):
                break
            target, size = partition, size + entry.size
            entry.sending = True
            taken.append(entry)
        return Batch(target, taken) if taken else None

    def _entries(self, topic: str) -> Iterator[Entry]:
        known = self._topics.get(topic)
        return iter(known.entries.values() if known else ())

    def waiting(self, topic: str) -> list[Entry]:
        """Events of `topic` that are not on their way."""
        return [entry for entry in self._entries(topic) if not entry.sending]

    def sent(self, entries: Iterable[Entry], now_s: float) -> None:
        """Their topic has acknowledged these events."""
        for entry in entries:
            self.drop(entry)
            self._topics[entry.topic].progress_s = now_s

    def put_back(self, entries: Iterable[Entry]) -> None:
        """These are no longer in flight, and wait again."""
        for entry in entries:
            entry.sending = False

    def late(self, entries: Iterable[Entry], now_s: float) -> list[Entry]:
        """Those of `entries` that have waited too long."""
        return [entry for entry in entries if now_s - entry.since_s > GIVE_UP_S]

    def drop(self, entry: Entry) -> None:
        """The event is no longer in the outbox: acknowledged, or kept elsewhere."""
        topic = self._topics[entry.topic]
        entry.sending = False
        if topic.entries.pop(entry.place, None) is None:
            return
        topic.size -= entry.size
        if entry.place in self._written:
            self._written.discard(entry.place)
            self._gone.append(entry.place)

    # -- bounds

    def look(self, now_s: float) -> dict[str, bool]:
        """Topics that have stalled since the last look (True), or that have taken events again (False)."""
        changed = {}
        for name, topic in self._topics.items():
            stalled = bool(topic.entries) and now_s - topic.progress_s > STALLED_S
            if stalled != topic.stalled:
                topic.stalled = changed[name] = stalled
        return changed

    def congested(self) -> bool:
        """Whether deciding should pause: a topic that takes events is slower than they are emitted."""
        return any(
            not topic.stalled and (len(topic.entries) > TOPIC_EVENTS // 2 or topic.size > TOPIC_BYTES // 2)
            for topic in self._topics.values()
        )

    def overflow(self) -> list[Entry]:
        """The oldest events of stalled topics that are over their bound, without those on their way."""
        over: list[Entry] = []
        for topic in self._topics.values():
            events, size = len(topic.entries) - TOPIC_EVENTS, topic.size - TOPIC_BYTES
            if not topic.stalled or (events <= 0 and size <= 0):
                continue
            for entry in topic.entries.values():
                if events <= 0 and size <= 0:
                    break
                if not entry.sending:
                    over.append(entry)
                    events, size = events - 1, size - entry.size
        return over

    # -- checkpoints

    @property
    def dirty(self) -> bool:
        """Whether a cut would delete records."""
        return bool(self._gone)

    def capture(self) -> dict[str, bytes | None]:
        """The records of a cut: events that are unacknowledged now and in no cut before, and deletions."""
        records: dict[str, bytes | None] = dict.fromkeys(self._gone)
        self._gone = []
        for topic in self._topics.values():
            for place, entry in topic.entries.items():
                if place not in self._written:
                    self._written.add(place)
                    records[place] = _encoder.encode(entry.unsent)
        return records
