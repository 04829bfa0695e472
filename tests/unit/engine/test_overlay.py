"""Changes in memory over the store, and what of them is written."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamflow.engine.overlay import Overlay, decode_record, encode_record
from streamflow.engine.state import OWN, Expiry, KeyRecord, PartitionState, Timer, expiry_key, timer_key
from streamflow.simulation.store import MemoryStore

KEY = "key/order/k1"
ONE, TWO = KeyRecord(("a",), ()), KeyRecord(("b",), ())


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
        "expiry/1/r": Expiry("r"),
    }.items():
        assert decode_record(key, encode_record(record)) == record
    assert encode_record({"b": 1, "a": {"d": 1, "c": 2}}) == b'{"a":{"c":2,"d":1},"b":1}'


# -- expiries


def test_an_expiry_is_found_when_it_is_due_and_not_deleted_by_the_decision() -> None:
    overlay = Overlay(MemoryStore({expiry_key(at, "r"): encode_record(Expiry("r")) for at in (10, 20)}))
    assert overlay.expired(9, {}) is None
    assert overlay.expired(10, {}) == expiry_key(10, "r")
    assert overlay.expired(15, {expiry_key(10, "r"): None}) is None
    assert overlay.expired(20, {expiry_key(10, "r"): None}) == expiry_key(20, "r")
    assert overlay.expired(10, {}) == expiry_key(10, "r")  # asking changed nothing


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
def test_expiries_are_those_of_a_plain_scan(stored: set[int], moves: list[tuple[str, int]], near: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("streamflow.engine.overlay._NEAR", near)
        store = MemoryStore({expiry_key(at, "r"): encode_record(Expiry("r")) for at in stored})
        overlay, live = Overlay(store), set(stored)
        for move, at in moves:
            if move == "put":
                live.add(at)
                change(overlay, expiry_key(at, "r"), Expiry("r"))
            elif move == "forget":
                first = overlay.expired(at, {})
                due = sorted(one for one in live if one <= at)
                assert first == (expiry_key(due[0], "r") if due else None)
                if first is not None:
                    second = overlay.expired(at, {first: None})
                    assert second == (expiry_key(due[1], "r") if len(due) > 1 else None)
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
        assert list(overlay.keys("expiry/")) == [expiry_key(at, "r") for at in sorted(live)]


SLOTS = ("key/order/a", "out/r/s", "timer/000000000000001/r/s")


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
                else (KeyRecord((str(count),), ()) if key.startswith("key/") else Timer(run="r", address="s", due_ms=1))
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


def test_an_expiry_that_is_written_again_is_one() -> None:
    overlay = Overlay(MemoryStore())
    assert overlay.expired(100, {}) is None
    for _ in range(2):
        change(overlay, expiry_key(10, "early/order/k1"), Expiry(early="early/order/k1"))
    change(overlay, expiry_key(10, "early/order/k1"), None)
    assert overlay.expired(100, {}) is None
