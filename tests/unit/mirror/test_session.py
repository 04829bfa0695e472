"""A session of the mirror beside a client that a test leads: what one transaction holds, and what an assignment amid a
reading leaves out."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from streamflow.errors import OperationError
from streamflow.mirror import session
from streamflow.mirror.formats import Format, avro_writer
from streamflow.mirror.session import Session
from streamflow.settings import Kafka, Mirror, Settings
from streamflow.wire.dead_letter import Outgoing
from streamflow.wire.decoding import Record

SETTINGS = Settings(kafka=Kafka(bootstrap_servers="a:9092"), mirror=Mirror(topics=["runs"]))


class FakeMessage:
    """A record of `streamflow.runs`; its value is its offset."""

    def __init__(self, partition: int, offset: int, value: bytes | None = None) -> None:
        self._partition, self._offset = partition, offset
        self._value = str(offset).encode() if value is None else value

    def topic(self) -> str:
        return "streamflow.runs"

    def partition(self) -> int:
        return self._partition

    def offset(self) -> int:
        return self._offset

    def error(self) -> None:
        return None

    def headers(self) -> None:
        return None

    def key(self) -> bytes:
        return b"k"

    def value(self) -> bytes:
        return self._value

    def timestamp(self) -> tuple[int, int]:
        return 1, 5


class FakeConsumer:
    """Its group committed `positions`; partitions begin at 5 and end at 100."""

    def __init__(self, config: dict[str, Any]) -> None:
        self.positions: dict[int, int] = {}
        self.found: list[FakeMessage] = []
        self.assigned: list[tuple[int, int]] = []
        self.closed = False

    def committed(self, places: list[TopicPartition], timeout: float) -> list[TopicPartition]:
        return [TopicPartition(one.topic, one.partition, self.positions.get(one.partition, -1001)) for one in places]

    def get_watermark_offsets(self, place: TopicPartition, timeout: float) -> tuple[int, int]:
        return 5, 100

    def assign(self, places: list[TopicPartition]) -> None:
        self.assigned = [(one.partition, one.offset) for one in places]

    def consume(self, most: int, timeout: float) -> list[FakeMessage]:
        return self.found

    def offsets_for_times(self, places: Any, timeout: float) -> list[Any]:
        return []

    def consumer_group_metadata(self) -> str:
        return "generation 3"

    def close(self) -> None:
        self.closed = True


class FakeProducer:
    """Notes what it is asked."""

    def __init__(self, config: dict[str, Any]) -> None:
        self.id = config["transactional.id"]
        self.calls: list[Any] = []
        self.refuses: KafkaError | None = None

    def begin_transaction(self) -> None:
        self.calls.append("begin")

    def produce(self, topic: str, value: bytes, key: bytes, partition: int, headers: Any) -> None:
        if value == b"large":
            raise KafkaException(KafkaError(KafkaError.MSG_SIZE_TOO_LARGE))
        self.calls.append((topic, partition, value))

    def send_offsets_to_transaction(self, offsets: list[TopicPartition], metadata: str, timeout: float) -> None:
        self.calls.append((sorted((one.partition, one.offset) for one in offsets), metadata))

    def commit_transaction(self, timeout: float) -> None:
        if self.refuses is not None:
            raise KafkaException(self.refuses)
        self.calls.append("commit")

    def init_transactions(self, timeout: float) -> None:
        if self.refuses is not None:
            raise KafkaException(self.refuses)

    def abort_transaction(self, timeout: float) -> None:
        self.calls.append("abort")


class Counted:
    """Metrics that count."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    def count(self, name: str, value: float = 1, **labels: str) -> None:
        self.counts[" ".join((name, *labels.values()))] += int(value)


def write(record: Record) -> Outgoing:
    if record.value == b"junk":
        raise ValueError("none of ours")
    return Outgoing(record.key, record.value, ())


@pytest.fixture
def running(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(session, "Consumer", FakeConsumer)
    monkeypatch.setattr(session, "Producer", FakeProducer)
    made: Any = Session(SETTINGS, {"runs": Format("streamflow.runs.avro", write)}, Counted())  # type: ignore[arg-type]
    return made


def assign(running: Any, *numbers: int) -> None:
    running._assigned(running._consumer, [TopicPartition("streamflow.runs", number) for number in numbers])


def test_a_batch_and_the_offsets_behind_it_are_one_transaction(running: Any) -> None:
    running._consumer.positions = {0: 7}
    assign(running, 0, 1)
    assert running._consumer.assigned == [(0, 7), (1, 5)]
    running._consumer.found = [FakeMessage(0, 7), FakeMessage(1, 5), FakeMessage(0, 9)]

    running._transact(running._read())

    written = [("streamflow.runs.avro", 0, b"7"), ("streamflow.runs.avro", 1, b"5"), ("streamflow.runs.avro", 0, b"9")]
    assert running._producer.calls == ["begin", *written, ([(0, 10), (1, 6)], "generation 3"), "commit"]
    assert running._metrics.counts == {"rebalances": 1, "mirror_records runs written": 3}


def test_an_assignment_amid_a_reading_repeats_nothing(running: Any) -> None:
    running._consumer.positions = {0: 7}
    assign(running, 0)
    running._consumer.found = [
        FakeMessage(0, 7),
        FakeMessage(0, 8),
        FakeMessage(2, 50),  # of a partition that another worker has now
        FakeMessage(0, 7),
        FakeMessage(0, 8),
        FakeMessage(0, 9),
    ]

    assert [(one.partition(), one.offset()) for one in running._read()] == [(0, 7), (0, 8), (0, 9)]
    running._revoked(running._consumer, [])
    assert running._read() == []


@pytest.mark.parametrize(("committed", "start"), [(3, 5), (101, 5), (5, 5), (100, 100)])
def test_reading_begins_at_what_is_there(running: Any, committed: int, start: int) -> None:
    running._consumer.positions = {0: committed}
    assign(running, 0)
    assert running._consumer.assigned == [(0, start)]


def test_what_cannot_be_written_is_counted_and_left_behind(running: Any) -> None:
    assign(running, 0)
    running._consumer.found = [FakeMessage(0, 5, b"junk"), FakeMessage(0, 6, b"large"), FakeMessage(0, 7)]

    running._transact(running._read())

    assert running._producer.calls[1:3] == [("streamflow.runs.avro", 0, b"7"), ([(0, 8)], "generation 3")]
    written = {"mirror_records runs unreadable": 2, "mirror_records runs written": 1}
    assert running._metrics.counts == {"rebalances": 1, **written}


def test_a_failure_ends_the_session_and_aborts(running: Any) -> None:
    running._producer.refuses = KafkaError(KafkaError.INVALID_PRODUCER_EPOCH)
    with pytest.raises(OperationError) as failed:
        running.run(None)
    assert (failed.value.code, failed.value.retryable) == ("mirror_failed", True)
    running.close()
    assert running._producer.calls == ["abort"]
    assert running._consumer.closed


def test_a_missing_right_is_named(running: Any) -> None:
    running._producer.refuses = KafkaError(KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED)
    with pytest.raises(OperationError) as failed:
        running.run(None)
    assert failed.value.code == "right_missing"
    assert running._producer.id in failed.value.message


def test_a_dead_letter_says_its_content_type_and_no_more() -> None:
    letter = avro_writer("dead-letters", 3, "http://registry/schemas/ids/3")
    settled = Record(
        "streamflow.dead-letters",
        0,
        1,
        5,
        b"T/0/1/a",
        b'{"letter":"T/0/1/a","state":"dropped"}',
        (("streamflow.dlq.settles", b"T/0/1/a"),),
    )
    written = letter(settled)
    assert written.headers == (("content-type", b"application/avro"),)
    assert written.key == b"T/0/1/a"
    assert (written.value or b"")[:5] == b"\0\0\0\0\3"
