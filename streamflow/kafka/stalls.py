"""Consumers of librdkafka that stop fetching after their broker came back (confluentinc/librdkafka#5153): found by
asking the broker where the partitions end, and created again at the offsets where they were."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

import structlog
from confluent_kafka import OFFSET_END, Consumer, KafkaError, KafkaException, Message, TopicPartition

from streamflow.errors import OperationError
from streamflow.ids import PartitionId

log = structlog.get_logger(__name__)

CHECK_S = 10.0  # between two questions to the broker
_LONGEST_S = 160.0  # between two of them when making the consumer again changed nothing
LOOK_S = 5.0  # between looks for partitions that were added
_ANSWER_S = 2.0


class StallDetector:
    """Which partitions have more and deliver nothing. Records, and the ends that a consumer with `enable.partition.eof`
    reports, go through `saw`."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._next: dict[PartitionId, int] = {}  # the offset to read next
        self._behind: dict[PartitionId, int] = {}  # the offset of those that had more at the last check
        self._pause_s = CHECK_S
        self._due = clock() + CHECK_S

    def begin(self, places: Iterable[TopicPartition]) -> None:
        """The partitions from here on, each with the offset that is read next."""
        self._next = {(place.topic, place.partition): place.offset for place in places}
        self._behind = {}

    def saw(self, messages: Iterable[Message]) -> None:
        """What the consumer delivered."""
        for message in messages:
            error, place = message.error(), (message.topic() or "", message.partition() or 0)
            if error is None:
                self._next[place] = (message.offset() or 0) + 1
            elif error.code() == KafkaError._PARTITION_EOF:
                self._next[place] = max(self._next.get(place, 0), message.offset() or 0)

    def positions(self) -> list[TopicPartition]:
        """Every partition at the offset that is read next."""
        return [TopicPartition(topic, number, offset) for (topic, number), offset in self._next.items()]

    def stalled(self, consumer: Consumer) -> list[PartitionId]:
        """The partitions that had more at the last check, have more now, and delivered nothing in between; mostly
        returns at once, every `CHECK_S` it asks the broker. Nothing while the broker does not answer.

        Where a transaction stays open a consumer of committed records waits rightly, so only what it may read counts:
        the broker answers by the consumer's own isolation level."""
        if not self._next or self._clock() < self._due:
            return []
        asked = [TopicPartition(topic, number, OFFSET_END) for topic, number in self._next]
        try:
            ends = consumer.offsets_for_times(asked, timeout=_ANSWER_S)
        except KafkaException:
            ends = []
        behind = {
            place: self._next[place]
            for end in ends
            if end.error is None and end.offset > self._next[place := (end.topic, end.partition)]
        }
        found = sorted(place for place, offset in behind.items() if self._behind.get(place) == offset)
        self._behind = behind
        self._pause_s = min(_LONGEST_S, 2 * self._pause_s) if found else CHECK_S
        self._due = self._clock() + self._pause_s
        return found

    def require_none(self, consumer: Consumer) -> None:
        """For a worker whose session ends with its consumer. Raises OperationError (`topic_unreadable`)."""
        if stalled := self.stalled(consumer):
            topic, number = stalled[0]
            raise OperationError(
                "topic_unreadable",
                f"expected the records of partition {number} of {topic} but the client stopped fetching them. "
                "The worker opens its consumer again.",
            )


class AssignedConsumer:
    """A consumer of partitions that are assigned by hand, without a group. Used by one thread.

    `open_client` makes the librdkafka consumer, and makes it again when it stalls; `client` is the present one."""

    def __init__(self, open_client: Callable[[], Consumer], clock: Callable[[], float] = time.monotonic) -> None:
        self._open_client = open_client
        self._stalls = StallDetector(clock)
        self._clock, self._look_due = clock, clock() + LOOK_S
        self.client = open_client()

    def assign(self, places: Iterable[TopicPartition]) -> None:
        """Read these partitions, each from its offset, which is a real one and not OFFSET_BEGINNING or OFFSET_END."""
        self._stalls.begin(places)
        self.client.assign(self._stalls.positions())

    def add(self, places: Iterable[TopicPartition]) -> None:
        """Read these partitions too."""
        self.assign([*self._stalls.positions(), *places])

    def look(self, topic: str, wanted: Callable[[int], bool] = lambda number: True) -> list[int]:
        """Read the `wanted` partitions of `topic` that were added, from their beginning; which ones. Mostly returns at
        once: it asks the broker every `LOOK_S`, and does nothing while it does not answer."""
        if self._clock() < self._look_due:
            return []
        self._look_due = self._clock() + LOOK_S
        try:
            there = self.client.list_topics(topic, timeout=_ANSWER_S).topics[topic].partitions
        except KafkaException:
            return []
        known = {place.partition for place in self._stalls.positions() if place.topic == topic}
        added = [number for number in sorted(there.keys() - known) if wanted(number)]
        if added:
            self.add(TopicPartition(topic, number, 0) for number in added)
        return added

    def consume(self, most: int, timeout_s: float) -> list[Message]:
        """What is there, at most so many; if nothing is, waits for one message (librdkafka itself would wait for a full
        batch)."""
        found = self.client.consume(most, timeout=0) or self.client.consume(1, timeout=timeout_s)
        self._stalls.saw(found)
        if stalled := self._stalls.stalled(self.client):
            log.warning("consumer_reopened", partitions=stalled, meaning="it had stopped fetching")
            self.client.close()
            self.client = self._open_client()
            self.client.assign(self._stalls.positions())
        return found

    def close(self) -> None:
        """Ends it."""
        self.client.close()
