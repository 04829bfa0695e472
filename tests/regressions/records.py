"""Topics as any client reads them, and the public contract of `runs`."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import Any

from confluent_kafka import Consumer, KafkaException, TopicPartition

_PATIENCE_S = 20.0
_LETTER = "streamflow.dlq."


@dataclass(frozen=True)
class Record:
    """One record of a topic."""

    partition: int
    offset: int
    key: bytes
    value: bytes | None
    headers: dict[str, str]

    def json(self) -> Any:
        return json.loads(self.value or b"null")

    @property
    def reason(self) -> str:
        """Why a dead letter is one."""
        return self.headers.get(f"{_LETTER}reason", "")

    @property
    def size(self) -> int:
        return len(self.key) + len(self.value or b"")


@dataclass(frozen=True, kw_only=True)
class Fact:
    """A transition of a run, as `runs` has it."""

    run: str
    definition: str
    version: str
    key: str
    seq: int
    kind: str
    step: str
    cause: str  # the id of the command that made it happen
    size: int  # bytes of the record's value
    data: dict[str, Any]


class Reader:
    """Reads topics of one prefix; what it has read of `runs` it keeps."""

    def __init__(self, servers: dict[str, Any], prefix: str) -> None:
        self._servers = servers
        self._runs = f"{prefix}runs"
        self._tail: Consumer | None = None
        self._facts: dict[tuple[str, int], Fact] = {}

    def close(self) -> None:
        if self._tail is not None:
            self._tail.close()

    def facts(self) -> list[Fact]:
        """The first of each (run, seq), in the order of the partitions."""
        if self._tail is None:
            self._tail = self._consumer("read_uncommitted")
            self._tail.assign([TopicPartition(self._runs, p, 0) for p in self._partitions(self._tail, self._runs)])
        while batch := self._tail.consume(1000, 0.05):
            for message in batch:
                if message.error() is None:
                    self._take(message)
        return list(self._facts.values())

    def read(self, topic: str) -> list[Record]:
        """Everything that a topic holds now, read committed."""
        consumer = self._consumer("read_committed")
        try:
            places = self._partitions(consumer, topic)
            left = {p for p in places if _span(consumer, topic, p)}
            consumer.assign([TopicPartition(topic, p, 0) for p in sorted(left)])
            found: list[Record] = []
            deadline = time.monotonic() + _PATIENCE_S
            while left and time.monotonic() < deadline:
                for message in consumer.consume(1000, 0.2):
                    if message.error() is None:
                        found.append(_record(message))
                    else:  # the end of a partition, or a topic that went
                        left.discard(message.partition() or 0)
            return found
        finally:
            consumer.close()

    def end(self, topic: str) -> int:
        """The sum of the partitions' ends."""
        consumer = self._consumer("read_uncommitted")
        try:
            return sum(
                consumer.get_watermark_offsets(TopicPartition(topic, p), _PATIENCE_S)[1]
                for p in self._partitions(consumer, topic)
            )
        finally:
            consumer.close()

    def _consumer(self, isolation: str) -> Consumer:
        return Consumer(
            self._servers
            | {
                "group.id": "a-reader",
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
                "isolation.level": isolation,
                "enable.partition.eof": isolation == "read_committed",
                "fetch.wait.max.ms": 20,
                "fetch.message.max.bytes": 8 << 20,
            }
        )

    @staticmethod
    def _partitions(consumer: Consumer, topic: str) -> list[int]:
        described = consumer.list_topics(topic, timeout=_PATIENCE_S).topics[topic]
        return [] if described.error is not None else sorted(described.partitions)

    def _take(self, message: Any) -> None:
        record = _record(message)
        fields = record.json()
        self._facts.setdefault(
            (fields["run"], fields["seq"]),
            Fact(
                run=fields["run"],
                definition=fields["definition"],
                version=fields["version"],
                key=fields["key"],
                seq=fields["seq"],
                kind=record.headers["ce_type"].removeprefix("streamflow."),
                step=fields.get("step") or "",
                cause=fields["cause"],
                size=len(record.value or b""),
                data=fields["data"],
            ),
        )


def _span(consumer: Consumer, topic: str, partition: int) -> int:
    try:
        low, high = consumer.get_watermark_offsets(TopicPartition(topic, partition), _PATIENCE_S)
    except KafkaException:
        return 0
    return int(high - low)


def _record(message: Any) -> Record:
    headers = {name: (content or b"").decode(errors="replace") for name, content in message.headers() or []}
    return Record(message.partition(), message.offset(), message.key() or b"", message.value(), headers)
