"""Which partitions count as stalled, and how their consumer goes on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from confluent_kafka import KafkaError, KafkaException, TopicPartition

from streamflow.kafka.stalls import CHECK_S, AssignedConsumer, StallDetector

TOPIC = "orders"


@dataclass
class Clock:
    now: float = 0.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Delivered:
    number: int
    at: int
    end: bool = False

    def error(self) -> KafkaError | None:
        return KafkaError(KafkaError._PARTITION_EOF) if self.end else None

    def topic(self) -> str:
        return TOPIC

    def partition(self) -> int:
        return self.number

    def offset(self) -> int:
        return self.at


@dataclass
class Client:
    """Stands in for a librdkafka consumer: `ends` is None where the broker does not answer."""

    ends: dict[int, int] | None = field(default_factory=dict)
    delivers: list[Delivered] = field(default_factory=list)
    assigned: list[tuple[int, int]] = field(default_factory=list)
    asked: int = 0
    closed: bool = False

    def assign(self, places: Sequence[TopicPartition]) -> None:
        self.assigned = [(place.partition, place.offset) for place in places]

    def consume(self, most: int, timeout: float) -> list[Delivered]:
        found, self.delivers = self.delivers, []
        return found

    def offsets_for_times(self, places: Sequence[TopicPartition], timeout: float) -> list[TopicPartition]:
        self.asked += 1
        if self.ends is None:
            raise KafkaException(KafkaError(KafkaError._TRANSPORT))
        return [TopicPartition(place.topic, place.partition, self.ends[place.partition]) for place in places]

    def close(self) -> None:
        self.closed = True


def places(offsets: dict[int, int]) -> list[TopicPartition]:
    return [TopicPartition(TOPIC, number, offset) for number, offset in offsets.items()]


def checked(detector: StallDetector, client: Any, clock: Clock, after_s: float = CHECK_S) -> list[tuple[str, int]]:
    clock.now += after_s
    return detector.stalled(client)


def test_a_partition_that_has_more_and_delivers_nothing_between_two_checks_is_stalled() -> None:
    clock = Clock()
    detector, client = StallDetector(clock), Client(ends={0: 5, 1: 9})
    detector.begin(places({0: 5, 1: 3}))
    assert checked(detector, client, clock) == []
    assert checked(detector, client, clock) == [(TOPIC, 1)]


def test_one_that_moves_or_is_at_its_end_is_not_stalled() -> None:
    clock = Clock()
    detector, client = StallDetector(clock), Client(ends={0: 5, 1: 9})
    detector.begin(places({0: 3, 1: 3}))
    for at in range(3, 6):
        moved: Any = [Delivered(0, 5, end=True), Delivered(1, at)]
        detector.saw(moved)
        assert checked(detector, client, clock) == []


def test_the_broker_is_asked_every_few_seconds_and_no_verdict_comes_from_its_silence() -> None:
    clock = Clock()
    detector, client = StallDetector(clock), Client(ends={0: 9})
    detector.begin(places({0: 3}))
    assert checked(detector, client, clock) == []
    for _ in range(9):
        assert checked(detector, client, clock, CHECK_S / 10) == []
    assert client.asked == 1
    client.ends = None
    assert checked(detector, client, clock) == []
    client.ends = {0: 9}
    assert checked(detector, client, clock) == []  # the first of two again


def test_without_partitions_nobody_is_asked() -> None:
    clock, client = Clock(), Client(ends=None)
    assert checked(StallDetector(clock), client, clock) == []
    assert client.asked == 0


def test_the_consumer_is_made_again_at_its_offsets_and_less_often_when_that_changes_nothing() -> None:
    clock, made = Clock(), []

    def open_client() -> Any:
        made.append(Client(ends={0: 9, 1: 1}))
        return made[-1]

    consumer = AssignedConsumer(open_client, clock)
    consumer.assign(places({0: 3, 1: 1}))
    made[0].delivers = [Delivered(0, 3), Delivered(0, 4)]
    assert [message.offset() for message in consumer.consume(10, 0)] == [3, 4]
    for expected in (1, 2):
        clock.now += CHECK_S
        assert consumer.consume(10, 0) == []
        assert len(made) == expected
    assert made[0].closed
    assert made[1].assigned == [(0, 5), (1, 1)]
    clock.now += CHECK_S
    consumer.consume(10, 0)
    assert len(made) == 2
    clock.now += CHECK_S
    consumer.consume(10, 0)
    assert len(made) == 3
