"""What conversations rely on in their log, in memory and in Kafka: the fake that they are tested on does what the real
one does."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from streamflow.conversations import decisions
from streamflow.conversations.entries import Entry
from streamflow.conversations.library import added, begun, deleted
from streamflow.conversations.topic import ConversationLog, ConversationTopic
from streamflow.errors import Rejected
from streamflow.kafka import admin
from tests.conftest import eventually, make_settings
from tests.conversations import MemoryConversations, Shelf

Open = Callable[[], ConversationLog]


@pytest.fixture(scope="module", params=["memory", pytest.param("kafka", marks=pytest.mark.broker)])
def open_log(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Open]:
    """Opens the log as another process would."""
    if request.param == "memory":
        shelf = Shelf()
        yield lambda: MemoryConversations(shelf)
        return
    settings = make_settings(request.getfixturevalue("bootstrap"), tmp_path_factory.mktemp("conversations"))
    admin.apply(settings)
    yield lambda: ConversationTopic(settings)


@pytest.fixture
def logs(open_log: Open) -> Iterator[tuple[ConversationLog, ConversationLog]]:
    found = open_log(), open_log()
    yield found
    for one in found:
        one.close()


def start(log: ConversationLog) -> str:
    id = uuid.uuid4().hex[:16]
    events = decisions.start("A talk", None, None)
    log.write(lambda library, now_ms: begun(library, id, events, by="ada", now_ms=now_ms))
    return id


def rename(log: ConversationLog, id: str, title: str) -> None:
    log.write(
        lambda library, now_ms: added(library, id, decisions.rename(library.known(id), title), by="ada", now_ms=now_ms)
    )


def entries(log: ConversationLog, id: str) -> list[Entry]:
    return log.read(lambda library: library.entries(id, 0, 1000))


def test_what_one_writes_the_other_reads_at_once(logs: tuple[ConversationLog, ConversationLog]) -> None:
    one, other = logs
    id = start(one)
    assert other.read(lambda library: library.known(id).title) == "A talk"
    rename(other, id, "Another")
    assert one.read(lambda library: library.known(id).title) == "Another"
    assert entries(one, id) == entries(other, id)


def test_writers_at_the_same_time_lose_nothing(logs: tuple[ConversationLog, ConversationLog], open_log: Open) -> None:
    id = start(logs[0])
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda number: rename(logs[number % 2], id, f"title {number}"), range(12)))
    found = [entries(log, id) for log in logs]
    third = open_log()
    found.append(entries(third, id))
    third.close()
    assert found[0] == found[1] == found[2]
    assert [one.seq for one in found[0]] == list(range(1, 14))
    assert sorted(one.event.title for one in found[0][1:]) == sorted(f"title {number}" for number in range(12))  # type: ignore[union-attr]


def test_what_is_refused_writes_nothing(logs: tuple[ConversationLog, ConversationLog]) -> None:
    one, other = logs
    id = start(one)
    for wrong in ("", "x" * 201):
        with pytest.raises(Rejected):
            rename(one, id, wrong)
    assert one.write(lambda _library, _now_ms: {}) == {}
    assert [entry.seq for entry in entries(other, id)] == [1]


def test_whoever_listens_hears_of_both_until_it_stops(logs: tuple[ConversationLog, ConversationLog]) -> None:
    one, other = logs
    id = start(one)
    heard, came = list[frozenset[str]](), threading.Event()

    def listen(ids: frozenset[str]) -> None:
        heard.append(ids)
        came.set()

    stop = one.listen(listen)
    for log in logs:
        came.clear()
        rename(log, id, "Another")
        assert came.wait(20)
        assert frozenset([id]) in heard
    eventually(lambda: one.peek(lambda library: [entry.seq for entry in library.entries(id, 0, 10)]) == [1, 2, 3])
    stop()
    heard.clear()
    rename(other, id, "More")
    one.read(lambda library: library.known(id))
    assert heard == []


def test_a_deleted_conversation_is_gone_for_all(logs: tuple[ConversationLog, ConversationLog], open_log: Open) -> None:
    id = start(logs[0])
    rename(logs[0], id, "Another")
    records = logs[1].write(lambda library, _now_ms: deleted(library, id))
    assert set(records.values()) == {None}
    third = open_log()
    for log in (*logs, third):
        with pytest.raises(Rejected):
            entries(log, id)
    third.close()
