"""Topics on a real broker, read by Kafka's own client: no group is joined, nothing is committed or written."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from streamflow_check import offsets
from streamflow_check.records import Record

_SILENCE_S = 60.0
_ANSWER_S = 10.0
_OPEN_S = 40.0  # for transactions that have no end yet; the broker ends one of a worker that died after 30 s
_AGAIN_S = 0.05
_BATCH = 5000

T = TypeVar("T")
Progress = Callable[[str], None]


class Broker:
    """`connection` is what Kafka's client needs besides `bootstrap` (security, for example). A context manager."""

    def __init__(
        self,
        bootstrap: str,
        prefix: str,
        connection: Mapping[str, Any] | None = None,
        progress: Progress = lambda text: None,
    ) -> None:
        self.prefix = prefix
        self._progress = progress
        self._config: dict[str, Any] = {"bootstrap.servers": bootstrap, "log_level": 0, **(connection or {})}
        self._admin = AdminClient(self._config)
        self._consumers: dict[bool, Consumer] = {}
        self._offsets: dict[int, offsets.Commits] = {}
        self._partitions: dict[str, int] = {}

    def __enter__(self) -> Broker:
        return self

    def __exit__(self, *_: object) -> None:
        for consumer in self._consumers.values():
            consumer.close()

    def names(self) -> list[str]:
        found = self._answered(lambda: self._admin.list_topics(timeout=_ANSWER_S))
        self._partitions = {name: len(topic.partitions) for name, topic in found.topics.items() if topic.error is None}
        return sorted(self._partitions)

    def partitions(self, topic: str) -> int:
        if not self._partitions:
            self.names()
        return self._partitions.get(topic, 0)

    def bounds(self, topic: str, partition: int) -> tuple[int, int]:
        return self._answered(lambda: self._bounds(TopicPartition(topic, partition)))

    def _bounds(self, tp: TopicPartition) -> tuple[int, int]:
        low, high = (
            self._admin.list_offsets({tp: spec}, request_timeout=_ANSWER_S)[tp].result().offset
            for spec in (OffsetSpec.earliest(), OffsetSpec.latest())  # type: ignore[no-untyped-call]
        )
        return low, high

    def topic_id(self, topic: str) -> str:
        return str(
            self._answered(lambda: self._admin.describe_topics(TopicCollection([topic]))[topic].result()).topic_id
        )

    def records(self, topic: str, partition: int, *, committed: bool = False) -> Iterator[Record]:
        low, high = self.bounds(topic, partition)
        if high <= low:
            return
        consumer = self._consumer(committed=committed)
        consumer.assign([TopicPartition(topic, partition, low)])
        heard, count = time.monotonic(), 0
        open_until = heard + _OPEN_S
        while True:
            first: Any = consumer.poll(0.1)
            # with a timeout, it would wait for all of it
            batch: list[Any] = [] if first is None else [first, *consumer.consume(_BATCH, 0)]
            if batch:
                heard = time.monotonic()
                count += len(batch)
                self._progress(f"{topic}/{partition}: {count:,} of {high - low:,}")
            elif time.monotonic() - heard > _SILENCE_S:
                raise TimeoutError(
                    f"expected the rest of {topic}/{partition} but nothing came for {_SILENCE_S:.0f} s. Look at the "
                    "broker."
                )
            for message in batch:
                error = message.error()
                if error is None:
                    if message.offset() >= high:
                        return
                    headers = tuple((name, bytes(value or b"")) for name, value in message.headers() or ())
                    yield Record(
                        topic,
                        partition,
                        message.offset(),
                        message.timestamp()[1],
                        message.key(),
                        message.value(),
                        headers,
                    )
                elif error.code() == KafkaError._PARTITION_EOF:
                    if message.offset() >= high or time.monotonic() > open_until:
                        return
                    time.sleep(_AGAIN_S)  # a transaction is about to end
                    consumer.assign([TopicPartition(topic, partition, message.offset())])
                    break
                else:
                    raise KafkaException(error)

    def committed(self, group: str, topic: str) -> dict[int, tuple[int, str]]:
        return self._commits(group).last.get((group, topic), {})

    def bare(self, group: str, topic: str) -> set[int]:
        return self._commits(group).bare.get((group, topic), set())

    def _commits(self, group: str) -> offsets.Commits:
        self.names()
        if not self.partitions(offsets.TOPIC):
            return offsets.Commits()  # nobody has committed anything yet
        number = offsets.partition_of(group, self.partitions(offsets.TOPIC))
        if number not in self._offsets:
            self._offsets[number] = offsets.committed(
                (r.key, r.value) for r in self.records(offsets.TOPIC, number, committed=True)
            )
        return self._offsets[number]

    def _consumer(self, *, committed: bool) -> Consumer:
        if committed not in self._consumers:
            self._consumers[committed] = Consumer(
                {
                    **self._config,
                    "group.id": "streamflow-check",  # never joined
                    "enable.auto.commit": False,
                    "auto.offset.reset": "error",
                    "isolation.level": "read_committed" if committed else "read_uncommitted",
                    "enable.partition.eof": True,
                    "fetch.wait.max.ms": 20,
                    "queued.max.messages.kbytes": 32_768,
                }
            )
            self._consumers[committed].list_topics(timeout=_ANSWER_S)  # otherwise it takes a second to find each topic
            # or it would ask for each topic, a second each
            self._answered(lambda: self._consumers[committed].list_topics(timeout=_ANSWER_S))
        return self._consumers[committed]

    def _answered(self, ask: Callable[[], T]) -> T:
        """What the broker answers, asked again while it is away or has just come back."""
        deadline = time.monotonic() + _SILENCE_S
        while True:
            try:
                return ask()
            except KafkaException:
                if time.monotonic() > deadline:
                    raise
                with contextlib.suppress(KafkaException):
                    self._admin.list_topics(timeout=1)  # brings the client's picture of the broker up to date
