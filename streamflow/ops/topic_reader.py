"""Reads topics without a consumer group, from an offset to the current end or continuously."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from confluent_kafka import OFFSET_BEGINNING, OFFSET_END, Consumer, KafkaError, KafkaException, Message, TopicPartition

from streamflow.errors import OperationError
from streamflow.kafka.connection import confluent_config
from streamflow.kafka.groups import reader_group
from streamflow.kafka.message import as_record
from streamflow.kafka.refusals import client_refusal, missing_right
from streamflow.kafka.stalls import AssignedConsumer
from streamflow.settings import Settings
from streamflow.wire.decoding import Record

Progress = Callable[[int, int], None]  # records read, records to read

_ANSWER_S = 10.0
_MISSING = (
    KafkaError._UNKNOWN_PARTITION,  # noqa: SLF001
    KafkaError._UNKNOWN_TOPIC,
    KafkaError.UNKNOWN_TOPIC_OR_PART,
)
_BATCH = 1000


class Reading:
    """Some partitions of one topic. A context manager; used by one thread.

    `partitions` are the ones to read; None: all, also those that are added while it follows, from their beginning. With
    `entry`, a partition of the first generation, those of all generations that may hold the same keys. `start` is where
    each partition begins: `OFFSET_BEGINNING`, `OFFSET_END`, or an offset by partition; with `since_ms` (epoch
    milliseconds) at the first record that is not older.
    Raises OperationError (`topic_missing`, `broker_unreachable`) when it is made."""

    def __init__(
        self,
        settings: Settings,
        topic: str,
        partitions: Sequence[int] | None = None,
        start: int | Mapping[int, int] = OFFSET_BEGINNING,
        since_ms: int | None = None,
        entry: int | None = None,
    ) -> None:
        self.topic = topic
        self._entry, self._first = entry, settings.topics.partitions
        self._follows_growth = partitions is None
        self._group = reader_group(settings)
        self.at_end: set[int] = set()  # partitions whose end was reached at least once
        self.at: dict[int, int] = {}  # the offset that `follow` goes on with, by partition
        self._last_error: KafkaError | None = None
        config = confluent_config(settings, "reader", on_error=self._remember) | {
            "group.id": reader_group(settings),
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "auto.offset.reset": "error",
            "enable.partition.eof": True,
            "fetch.wait.max.ms": 100,
            "queued.max.messages.kbytes": 16_384,
        }
        self._consumer = AssignedConsumer(lambda: Consumer(config))
        try:
            self.partitions = tuple(partitions) if partitions is not None else self._all_partitions()
            if since_ms is not None:
                start = self._offsets_at(since_ms)
            self._begin = {
                number: start if isinstance(start, int) else start.get(number, OFFSET_END) for number in self.partitions
            }
            self.bounds = {number: self._bounds(number) for number in self.partitions}
            for number, at in self._begin.items():
                low, high = self.bounds[number]
                self._begin[number] = (
                    low if at == OFFSET_BEGINNING else high if at == OFFSET_END else min(max(at, low), high)
                )
            self.at = dict(self._begin)
            self._consumer.assign([TopicPartition(topic, number, at) for number, at in self._begin.items()])
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Reading:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._consumer.close()

    def to_end(self, progress: Progress | None = None) -> Iterator[Record]:
        """Every record up to the end as it was when the reading was made, in order within a partition. May be followed
        by `follow`."""
        left = {number for number in self.partitions if self._begin[number] < self.bounds[number][1]}
        total = sum(self.bounds[number][1] - self._begin[number] for number in left)
        at = dict(self._begin)
        while left:
            messages = self._next(1.0)
            if not messages:
                self._require_answer()
            for message in messages:
                number, offset = message.partition() or 0, message.offset() or 0
                ended = self._ended(message)
                at[number] = offset if ended else offset + 1
                if ended or at[number] >= self.bounds[number][1]:
                    left.discard(number)
                if not ended:
                    yield as_record(message)
            if progress is not None:
                progress(min(total, sum(at.values()) - sum(self._begin.values())), total)

    def follow(self, timeout_s: float = 0.2) -> list[Record]:
        """The records that come next; none when none came within `timeout_s`. Waits on while the broker is away."""
        if self._follows_growth:
            self.partitions = (*self.partitions, *self._consumer.look(self.topic, self._may_hold))
        found = []
        for message in self._next(timeout_s):
            number, offset = message.partition() or 0, message.offset() or 0
            ended = self._ended(message)
            self.at[number] = offset if ended else offset + 1
            if not ended:
                found.append(as_record(message))
        return found

    def _may_hold(self, number: int) -> bool:
        """Whether a partition is one of those that were asked for."""
        return self._entry is None or number % self._first == self._entry

    def _next(self, timeout_s: float) -> list[Message]:
        return self._consumer.consume(_BATCH, timeout_s)

    def _ended(self, message: Message) -> bool:
        """Whether this is no record but the end of a partition. Raises OperationError for an error of the broker's."""
        error = message.error()
        if error is None:
            return False
        if error.code() == KafkaError._PARTITION_EOF:
            self.at_end.add(message.partition() or 0)
            return True
        if (denied := missing_right(error, topic=("READ", self.topic), group=("DESCRIBE", self._group))) is not None:
            raise denied
        raise OperationError(
            "topic_unreadable",
            f"expected to read {self.topic} but {error.name()}: {error.str()}. Check the broker and its permissions.",
        )

    def _all_partitions(self) -> tuple[int, ...]:
        try:
            found = self._consumer.client.list_topics(self.topic, timeout=_ANSWER_S).topics[self.topic]
        except KafkaException as error:
            raise self._unreachable(error) from error
        if (denied := missing_right(found.error, topic=("READ", self.topic))) is not None:
            raise denied
        if found.error is not None or not found.partitions:
            raise OperationError(
                "topic_missing",
                f"expected the topic {self.topic} but it does not exist. Run `streamflow topics apply`, or check "
                "its name.",
                retryable=False,
            )
        if self._entry is not None and self._entry not in found.partitions:
            raise self._partition_missing(self._entry)
        return tuple(number for number in sorted(found.partitions) if self._may_hold(number))

    def _bounds(self, number: int) -> tuple[int, int]:
        try:
            low, high = self._consumer.client.get_watermark_offsets(
                TopicPartition(self.topic, number), timeout=_ANSWER_S
            )
        except KafkaException as error:
            if error.args[0].code() in _MISSING:
                raise self._partition_missing(number) from error
            raise self._unreachable(error) from error
        return low, high

    def _partition_missing(self, number: int) -> OperationError:
        return OperationError(
            "topic_missing",
            f"expected the topic as the settings say but {self.topic} has no partition {number}. Check `streamflow "
            "topics plan`.",
        )

    def _offsets_at(self, ms: int) -> dict[int, int]:
        try:
            wanted = [TopicPartition(self.topic, number, ms) for number in self.partitions]
            found = self._consumer.client.offsets_for_times(wanted, timeout=_ANSWER_S)
        except KafkaException as error:
            raise self._unreachable(error) from error
        return {place.partition: place.offset for place in found}

    def _require_answer(self) -> None:
        try:
            self._consumer.client.list_topics(self.topic, timeout=_ANSWER_S)
        except KafkaException as error:
            raise self._unreachable(error) from error

    def _remember(self, error: KafkaError) -> None:
        self._last_error = error

    def _unreachable(self, error: KafkaException) -> OperationError:
        if (denied := missing_right(error, topic=("READ", self.topic))) is not None:
            return denied
        said = self._last_error or error.args[0]
        text = (
            f"expected the broker to answer but {said.name()}: {said.str()}. Check the broker and the kafka settings."
        )
        return OperationError(client_refusal(said) or "broker_unreachable", text)
