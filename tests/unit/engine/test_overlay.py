"""Changes in memory over the store, and what of them is written."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamflow.definition.plan import START
from streamflow.engine.decoded_records import DecodedRecords
from streamflow.engine.mailbox.records import Box, Entry, OpenRun, Remembered, due_key
from streamflow.engine.overlay import Overlay, decode_record, encode_record
from streamflow.engine.record_keys import out_key, timer_key
from streamflow.engine.state import OWN, PartitionState, Timer
from streamflow.simulation.store import MemoryStore

KEY = "box/order/2:k1"
ONE, TWO = Box((OpenRun("a", 1),)), Box((OpenRun("b", 2),))


def apply(overlay: Overlay, **changes: Any) -> None:
    overlay.apply({**{key.replace("__", "/"): record for key, record in changes.items()}, OWN: PartitionState()})


def a_cut(overlay: Overlay, store: MemoryStore) -> dict[str, bytes | None]:
    cut = overlay.capture()
    store.write(cut)
    overlay.saved()
    return cut


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore({KEY: encode_record(ONE)})


def change(overlay: Overlay, key: str, record: Any) -> None:
    overlay.apply({key: record, OWN: PartitionState()})


def test_a_record_is_read_from_memory_then_from_the_cut_then_from_the_store(store: MemoryStore) -> None:
    overlay = Overlay(store)
    assert overlay.get(KEY) == ONE
    change(overlay, KEY, TWO)
    assert overlay.get(KEY) == TWO
    overlay.capture()
    assert (overlay.get(KEY), overlay.dirty) == (TWO, {})
    change(overlay, KEY, None)
    assert overlay.get(KEY) is None
    overlay.saved()
    assert overlay.get(KEY) is None
    assert store.get(KEY) == encode_record(ONE)


def decodings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The keys of the records that are decoded from now on."""
    decoded: list[str] = []

    def counted(key: str, value: bytes) -> Any:
        decoded.append(key)
        return decode_record(key, value)

    monkeypatch.setattr("streamflow.engine.overlay.decode_record", counted)
    return decoded


def test_what_started_a_run_is_decoded_once_for_all_commands(monkeypatch: pytest.MonkeyPatch) -> None:
    key = out_key("run", START)
    overlay = Overlay(MemoryStore({key: b'{"amount":5}', KEY: encode_record(ONE)}))
    decoded = decodings(monkeypatch)
    for _ in range(3):
        assert overlay.get(key) == {"amount": 5}
        assert overlay.get(KEY) == ONE
        change(overlay, "tally/order", {})
    assert decoded == [key, KEY, KEY, KEY]


def test_a_decoded_record_is_not_there_after_its_deletion() -> None:
    key = out_key("run", START)
    store = MemoryStore({key: b"1"})
    overlay = Overlay(store)
    assert overlay.get(key) == 1
    change(overlay, key, None)
    assert overlay.get(key) is None
    a_cut(overlay, store)
    assert overlay.get(key) is None


def test_decoded_records_are_held_up_to_a_size_and_the_one_asked_for_longest_ago_goes_first() -> None:
    held = DecodedRecords(limit=10)
    held.hold("a", "A", 4)
    held.hold("b", "B", 4)
    assert held.get("a") == "A"
    held.hold("c", "C", 4)
    assert [key in held for key in "abc"] == [True, False, True]
    held.hold("d", "D", 11)
    assert [key in held for key in "acd"] == [True, True, False]
    held.hold("a", "AA", 6)
    assert (held.get("a"), "c" in held) == ("AA", True)
    held.forget("a")
    held.hold("e", "E", 6)
    assert [key in held for key in "ace"] == [False, True, True]


def test_a_second_capture_waits_for_the_first(store: MemoryStore) -> None:
    overlay = Overlay(store)
    change(overlay, KEY, TWO)
    overlay.capture()
    with pytest.raises(RuntimeError):
        overlay.capture()


def test_a_stored_record_that_is_deleted_leaves_a_tombstone(store: MemoryStore) -> None:
    overlay = Overlay(store)
    change(overlay, KEY, None)
    assert overlay.capture()[KEY] is None


@pytest.mark.parametrize("key", ["key/order/new", timer_key(5, "run", "s"), "out/run/s"])
def test_a_record_that_came_and_went_leaves_nothing(store: MemoryStore, key: str) -> None:
    overlay = Overlay(store)
    assert overlay.get(key) is None
    change(overlay, key, Timer(run="run", address="s", due_ms=5))
    change(overlay, key, None)
    change(overlay, key, Timer(run="run", address="s", due_ms=5))
    change(overlay, key, None)
    assert set(overlay.capture()) == {OWN}


def test_a_record_that_was_looked_for_and_is_deleted_leaves_nothing(store: MemoryStore) -> None:
    overlay = Overlay(store)
    assert overlay.get("run/new") is None
    change(overlay, "run/new", None)
    assert set(overlay.capture()) == {OWN}


@pytest.mark.parametrize("key", ["key/order/new", timer_key(5, "run", "s"), "out/run/s"])
def test_what_is_in_a_cut_on_its_way_leaves_a_tombstone(store: MemoryStore, key: str) -> None:
    overlay = Overlay(store)
    assert overlay.get(key) is None
    change(overlay, key, Timer(run="run", address="s", due_ms=5))
    cut = overlay.capture()
    change(overlay, key, Timer(run="run", address="s", due_ms=6))
    change(overlay, key, None)
    store.write(cut)
    overlay.saved()
    assert a_cut(overlay, store)[key] is None
    assert store.get(key) is None


def test_a_stored_record_that_is_deleted_made_again_and_deleted_leaves_a_tombstone(store: MemoryStore) -> None:
    overlay = Overlay(store)
    for record in (None, TWO, None):
        change(overlay, KEY, record)
    assert overlay.capture()[KEY] is None


def test_keys_come_in_order_from_all_layers(store: MemoryStore) -> None:
    overlay = Overlay(
        MemoryStore({f"timer/{n}": encode_record(Timer(run="r", address="s", due_ms=n)) for n in (1, 3, 5)})
    )
    change(overlay, "timer/2", Timer(run="r", address="s", due_ms=2))
    change(overlay, "timer/3", None)
    overlay.capture()
    change(overlay, "timer/4", Timer(run="r", address="s", due_ms=4))
    change(overlay, "timer/2", None)
    change(overlay, "timer/6", Timer(run="r", address="s", due_ms=6))
    assert list(overlay.keys("timer/")) == ["timer/1", "timer/4", "timer/5", "timer/6"]
    assert list(overlay.keys("timer/", "timer/5")) == ["timer/5", "timer/6"]


def test_every_kind_of_record_survives_its_encoding() -> None:
    for key, record in {
        KEY: ONE,
        "own": PartitionState(topic_id="t"),
        "out/r/s": {"a": [1, 1.5, "é", None]},
        "box/order/1:a": Box(
            (OpenRun("r", 3, (4,)),),
            (Entry(offset=4, name="paid", at_ms=1, size=2, until_ms=None, copies_until_ms=9),),
            True,
        ),
        "seen/000000000000000/order/1:a/x": Remembered(outcome="kept", offset=4, last=4, at_ms=1, position=("t", 0, 7)),
        due_key(9, "order/1:a", 4): 1,
        "tally/order": {"paid/claimed": 2},
        "mark/t/0": 7,
    }.items():
        assert decode_record(key, encode_record(record)) == record
    assert encode_record({"b": 1, "a": {"d": 1, "c": 2}}) == b'{"a":{"c":2,"d":1},"b":1}'


# -- what is due


def test_a_due_key_is_found_in_its_time_unless_deleted_by_the_decision() -> None:
    overlay = Overlay(MemoryStore({due_key(at, "order/1:a", 0): encode_record(1) for at in (10, 20)}))
    assert overlay.due(9, {}) is None
    assert overlay.due(10, {}) == due_key(10, "order/1:a", 0)
    assert overlay.due(15, {due_key(10, "order/1:a", 0): None}) is None
    assert overlay.due(20, {due_key(10, "order/1:a", 0): None}) == due_key(20, "order/1:a", 0)
    assert overlay.due(10, {}) == due_key(10, "order/1:a", 0)  # asking changed nothing


MOVES = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.integers(0, 40)),
        st.tuples(st.just("forget"), st.integers(0, 40)),
        st.tuples(st.sampled_from(("capture", "save", "reopen")), st.just(0)),
    ),
    max_size=60,
)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(stored=st.sets(st.integers(0, 40)), moves=MOVES, near=st.integers(1, 5))
def test_due_keys_are_those_of_a_plain_scan(stored: set[int], moves: list[tuple[str, int]], near: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("streamflow.engine.overlay._NEAR", near)
        store = MemoryStore({due_key(at, "order/1:a", 0): encode_record(1) for at in stored})
        overlay, live = Overlay(store), set(stored)
        for move, at in moves:
            if move == "put":
                live.add(at)
                change(overlay, due_key(at, "order/1:a", 0), 1)
            elif move == "forget":
                first = overlay.due(at, {})
                due = sorted(one for one in live if one <= at)
                assert first == (due_key(due[0], "order/1:a", 0) if due else None)
                if first is not None:
                    second = overlay.due(at, {first: None})
                    assert second == (due_key(due[1], "order/1:a", 0) if len(due) > 1 else None)
                    live.discard(due[0])
                    change(overlay, first, None)
            elif move == "capture" and not overlay.saving:
                overlay.capture()
            elif move == "save" and overlay.saving:
                store.write(
                    {key: None if record is None else encode_record(record) for key, record in overlay.saving.items()}
                )
                overlay.saved()
            elif move == "reopen" and not overlay.saving:
                a_cut(overlay, store)
                overlay = Overlay(store)
        assert list(overlay.keys("due/")) == [due_key(at, "order/1:a", 0) for at in sorted(live)]


SLOTS = ("box/order/1:a", "out/r/s", "timer/000000000000001/r/s")


@settings(max_examples=300, deadline=None, derandomize=True)
@given(
    st.lists(
        st.tuples(st.sampled_from(("put", "delete", "get", "capture", "save")), st.sampled_from(SLOTS)), max_size=40
    )
)
def test_the_store_after_all_cuts_is_what_memory_said(moves: list[tuple[str, str]]) -> None:
    store, expected = MemoryStore(), {}
    overlay = Overlay(store)
    written: dict[str, bytes | None] = {}  # what the changelog alone would hold
    cut: dict[str, bytes | None] = {}
    for count, (move, key) in enumerate(moves):
        if move == "put":
            if key.startswith("out/") and key in expected:
                continue  # written once
            expected[key] = (
                {"n": count}
                if key.startswith("out/")
                else (
                    Box((OpenRun(str(count), 0),)) if key.startswith("box/") else Timer(run="r", address="s", due_ms=1)
                )
            )
            change(overlay, key, expected[key])
        elif move == "delete" and key in expected:
            del expected[key]
            change(overlay, key, None)
        elif move == "capture" and not overlay.saving and overlay.dirty:
            cut = overlay.capture()
            written |= cut
        elif move == "save" and overlay.saving:
            store.write(cut)
            overlay.saved()
        assert overlay.get(key) == expected.get(key)
    if overlay.saving:
        store.write(cut)
        overlay.saved()
    final = overlay.capture()
    store.write(final)
    written |= final
    for content in (dict(store.scan("")), {key: value for key, value in written.items() if value is not None}):
        assert {key: value for key, value in content.items() if key != OWN} == {
            key: encode_record(record) for key, record in expected.items()
        }


def test_a_due_key_that_is_written_again_is_one() -> None:
    overlay = Overlay(MemoryStore())
    assert overlay.due(100, {}) is None
    for _ in range(2):
        change(overlay, due_key(10, "order/2:k1", 3), 1)
    change(overlay, due_key(10, "order/2:k1", 3), None)
    assert overlay.due(100, {}) is None


def test_keys_after_a_key_are_read_ahead_and_across_what_was_deleted() -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("streamflow.engine.overlay._NEAR", 2)
        record = encode_record(Remembered(outcome="claimed", offset=1, last=1, at_ms=1))
        keys = [f"seen/000000000000000/order/1:a/{name}" for name in "abcdefgh"]
        overlay = Overlay(MemoryStore(dict.fromkeys(keys, record)))
        found, after = [], "seen/000000000000000/"
        while batch := overlay.keys_after("seen/000000000000000/", after, 3):
            found += batch
            change(overlay, batch[0], None)
            after = batch[-1] + "\0"
        assert found == keys


def test_a_content_that_was_deleted_is_gone() -> None:
    overlay = Overlay(MemoryStore({"content/sha": encode_record("text")}))
    assert overlay.get("content/sha") == "text"
    change(overlay, "content/sha", None)
    overlay.store.write(overlay.capture())
    overlay.saved()
    assert overlay.get("content/sha") is None
