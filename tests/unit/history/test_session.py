"""What a session does with batches, without a broker: records that nobody can read or keep are left out one by one, and
what is written is never ahead of its position."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import TopicPartition
from structlog.testing import capture_logs

from streamflow.core.metrics import NoMetrics
from streamflow.errors import OperationError
from streamflow.history.rows import Progress
from streamflow.history.session import Session
from streamflow.history.sqlite import Sqlite
from streamflow.history.writer import begin, positions
from streamflow.metrics.collector import ProcessMetrics
from streamflow.metrics.metric import Process
from streamflow.settings import Settings
from streamflow.wire.transitions import encode_transition
from tests.hostile_records import HEADERS, KEYS, VALUES
from tests.unit.history.bench import a_history, a_store, started
from tests.unit.metrics.test_collector import exposed

ROLES = ("runs", "unclaimed", "dead-letters", "logs")


class FakeConsumer:
    """A consumer that has nothing to tell but where partitions end."""

    def __init__(self) -> None:
        self.assigned: list[TopicPartition] = []

    def assign(self, places: list[TopicPartition]) -> None:
        self.assigned += places

    def get_watermark_offsets(self, place: Any, timeout: float = 0, cached: bool = False) -> tuple[int, int]:
        return 0, 1000

    def commit(self, offsets: Any, asynchronous: bool) -> None:
        return None


class FakeMessage:
    """A record as the client gives it."""

    def __init__(
        self, role: str, offset: int, value: bytes | None, headers: Any = (), key: bytes | None = b"k"
    ) -> None:
        self._topic, self._offset, self._value, self._headers, self._key = role, offset, value, headers, key

    def topic(self) -> str:
        return f"streamflow.{self._topic}"

    def partition(self) -> int:
        return 0

    def offset(self) -> int:
        return self._offset

    def timestamp(self) -> tuple[int, int]:
        return 1, 5

    def key(self) -> bytes | None:
        return self._key

    def value(self) -> bytes | None:
        return self._value

    def headers(self) -> Any:
        return list(self._headers)

    def error(self) -> None:
        return None


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Sqlite]:
    database = a_store(tmp_path)
    for role in ROLES[1:]:
        begin(database, role, "T", 0, 0)
    yield database
    database.close()


@pytest.fixture
def session(store: Sqlite) -> Session:
    made = Session(Settings(), store, FakeConsumer(), NoMetrics())  # type: ignore[arg-type]
    made._searches._known["sha"] = {}
    made._at = {(at.topic, at.partition): at for _, at in positions(store).values()}
    return made


def good(run: str, offset: int, **changes: Any) -> FakeMessage:
    (transition,) = a_history(run, started())
    key, value, headers = encode_transition(transition, None)
    fields = json.loads(value) | changes
    return FakeMessage("runs", offset, json.dumps(fields).encode(), headers, key)


def at(store: Sqlite) -> dict[str, int]:
    return {role: progress.offset for (role, _), (_, progress) in positions(store).items()}


def test_records_of_strangers_are_left_out_and_nothing_else(session: Session, store: Sqlite) -> None:
    batch: list[Any] = []
    for role in ROLES:
        offset = 1
        strange = [(value, ()) for value in VALUES.values()] + [(b"", headers) for headers in HEADERS.values()]
        for value, headers in strange:
            batch.append(FakeMessage(role, offset, value, headers, KEYS["a key that is no text"]))
            offset += 1
        if role == "runs":
            batch += [good("r1", offset), good("huge", offset + 1, at_ms=10**30), good("r2", offset + 2)]
            batch += [good("many", offset + 3, seq=10**30), good("r3", offset + 4, key="a\x00b")]

    with capture_logs() as lines:
        session._batch(batch)

    assert {run for (run,) in store.rows("SELECT run FROM run")} == {"r1", "r2", "r3"}
    assert at(store)["runs"] == len(VALUES) + len(HEADERS) + 6
    assert all(offset > len(VALUES) for offset in at(store).values())
    assert [line["event"] for line in lines].count("history_batch_split") == 1


def test_after_a_bad_record_the_session_goes_on(session: Session, store: Sqlite) -> None:
    session._batch([good("r1", 0), good("huge", 1, at_ms=10**30)])  # type: ignore[list-item]
    session._batch([good("r2", 2)])  # type: ignore[list-item]

    assert {run for (run,) in store.rows("SELECT run FROM run")} == {"r1", "r2"}
    assert store.rows("SELECT sum(n) FROM hour WHERE status = 'started'") == [(2,)]


def test_a_store_that_moved_ends_the_session_before_anything_is_written(session: Session, store: Sqlite) -> None:
    store.run("UPDATE progress SET next_offset = 7")

    with pytest.raises(OperationError) as caught:
        session._batch([good("r1", 0)])  # type: ignore[list-item]

    assert (caught.value.code, caught.value.retryable) == ("history_moved", True)
    assert store.rows("SELECT count(*) FROM run") == [(0,)]


def test_lag_is_zero_when_nothing_waits(session: Session, store: Sqlite) -> None:
    session._batch([good("r1", 998)])  # type: ignore[list-item]
    assert positions(store)["runs", 0][1].lag_ms > 0
    session._batch([good("r2", 999)])  # type: ignore[list-item]
    found = positions(store)["runs", 0][1]
    assert (found.lag_ms, found.end, found.offset) == (0, 1000, 1000)

    session._note_seen()
    assert positions(store)["dead-letters", 0][1].seen_ms > 0
    assert isinstance(session._at["runs", 0], Progress)


def test_what_the_group_assigns_is_counted(store: Sqlite) -> None:
    metrics, consumer = ProcessMetrics(Process.HISTORY), FakeConsumer()
    made: Any = Session(Settings(), store, consumer, metrics)  # type: ignore[arg-type]
    made._topic_ids = {f"streamflow.{role}": "T" for role in ROLES}
    places = [TopicPartition("streamflow.runs", 0), TopicPartition("streamflow.logs", 0)]
    for _ in range(2):
        made._assigned(consumer, places)
        made._revoked(consumer, places)
    assert [one.topic for one in consumer.assigned] == ["streamflow.runs", "streamflow.logs"] * 2
    assert exposed(metrics)["streamflow_rebalances_total"] == {(): 2}
