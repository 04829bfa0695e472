"""Records of the topic: what is deleted stays deleted, and what cannot be read is noticed."""

from __future__ import annotations

import pytest

from streamflow.conversations import decisions
from streamflow.conversations.entries import key_of
from streamflow.conversations.library import Library, added, begun, deleted
from streamflow.errors import Rejected
from tests.conversations import MemoryConversations

ID = "conversation1"


def code_of(caught: pytest.ExceptionInfo[Rejected]) -> str:
    return caught.value.code


@pytest.fixture
def log() -> MemoryConversations:
    made = MemoryConversations()
    start = decisions.start("A talk", None, None)
    made.write(lambda library, now_ms: begun(library, ID, start, by="ada", now_ms=now_ms))
    for title in ("second", "third"):
        made.write(
            lambda library, now_ms, title=title: added(  # type: ignore[misc]
                library, ID, decisions.rename(library.known(ID), title), by="bob", now_ms=now_ms
            )
        )
    return made


def test_each_entry_has_a_key_of_its_own(log: MemoryConversations) -> None:
    assert list(log.shelf.records) == [key_of(ID, seq) for seq in (1, 2, 3)]
    entries = log.read(lambda library: library.entries(ID, 1, 10))
    assert [(one.seq, one.by) for one in entries] == [(2, "bob"), (3, "bob")]
    assert log.read(lambda library: library.entries(ID, 3, 10)) == []
    assert log.read(lambda library: [one.seq for one in library.entries(ID, 0, 2)]) == [1, 2]


def test_a_deleted_conversation_stays_deleted(log: MemoryConversations) -> None:
    late = {key_of(ID, 4): log.shelf.records[key_of(ID, 3)]}
    log.write(lambda library, _now_ms: deleted(library, ID))
    log.write(lambda _library, _now_ms: late)

    assert {log.shelf.records[key_of(ID, seq)] for seq in (1, 2, 3)} == {None}
    with pytest.raises(Rejected) as caught:
        log.read(lambda library: library.known(ID))
    assert code_of(caught) == "conversation_unknown"
    assert log.read(lambda library: library.conversations()) == []


@pytest.mark.parametrize("lost", [1, 2])
@pytest.mark.parametrize("found", [None, b"{", b"\xff", b'{"seq": 2}', b'{"seq":9,"at_ms":1,"by":"x","event":{}}'])
def test_what_is_missing_or_unreadable_makes_it_read_only(
    log: MemoryConversations, lost: int, found: bytes | None
) -> None:
    library = Library()
    for seq in (1, 2, 3):
        value = found if seq == lost else log.shelf.records[key_of(ID, seq)]
        if value is not None:
            assert (library.take(key_of(ID, seq), value) is None) == (seq == lost)

    if lost == 1:
        assert library.conversations() == []
        return
    state = library.known(ID)
    assert state.title == "third"
    with pytest.raises(Rejected) as caught:
        decisions.rename(state, "another")
    assert code_of(caught) == "conversation_damaged"
    assert len(deleted(library, ID)) == 3


@pytest.mark.parametrize("key", ["", "conversation1", "conversation1/0", "conversation1/01", "../x/1", "c/1", "A" * 40])
def test_a_key_that_names_nothing_is_told(key: str) -> None:
    assert Library().take(key, b"{}") is None


def test_the_same_records_again_change_nothing_and_others_are_noticed(log: MemoryConversations) -> None:
    library = Library()
    for _ in range(2):
        for key, value in log.shelf.records.items():
            assert library.take(key, value) == ID
    assert not library.known(ID).damaged
    assert [one.seq for one in library.entries(ID, 0, 10)] == [1, 2, 3]
    assert library.take(key_of(ID, 2), log.shelf.records[key_of(ID, 2)].replace(b"second", b"forged")) is None  # type: ignore[union-attr]
    assert library.known(ID).damaged
