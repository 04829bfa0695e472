"""What every store keeps to: the one in memory and the one on disk."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from streamflow.engine.overlay import Store
from streamflow.errors import OperationError
from streamflow.runtime.store import STORE_FAILED, RocksStore
from streamflow.simulation.store import MemoryStore

MAKERS: dict[str, Callable[[Path], Store]] = {
    "memory": lambda path: MemoryStore(),
    "rocks": lambda path: RocksStore(path / "store", write_buffer_bytes=1 << 20, block_cache_bytes=1 << 20),
}


@pytest.fixture(params=sorted(MAKERS))
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    made = MAKERS[request.param](tmp_path)
    yield made
    made.close()


class TestStore:
    def test_a_key_that_was_never_written_is_none(self, store: Store) -> None:
        assert store.get("a") is None

    def test_writes_and_deletions_take_effect_together(self, store: Store) -> None:
        store.write({"a": b"1", "b": b"2"})
        store.write({"a": None, "b": b"3", "c": b"", "never": None})
        assert [store.get(key) for key in ("a", "b", "c", "never")] == [None, b"3", b"", None]

    def test_a_scan_gives_the_records_of_a_prefix_in_the_order_of_their_keys(self, store: Store) -> None:
        store.write(
            {key: key.encode() for key in ("timer/2", "timer/10", "timers", "time", "timer/", "run/1", "timer/1")}
        )
        assert [key for key, _ in store.scan("timer/")] == ["timer/", "timer/1", "timer/10", "timer/2"]
        assert dict(store.scan("timer/2")) == {"timer/2": b"timer/2"}
        assert list(store.scan("zzz")) == []

    def test_a_scan_begins_at_its_start(self, store: Store) -> None:
        store.write({f"timer/{n}": b"x" for n in range(5)} | {"run/9": b"x", "u": b"x"})
        assert [key for key, _ in store.scan("timer/", "timer/3")] == ["timer/3", "timer/4"]
        assert [key for key, _ in store.scan("timer/", "run/")] == [f"timer/{n}" for n in range(5)]
        assert list(store.scan("timer/", "timer/9")) == []
        assert list(store.scan("timer/", "u")) == []

    def test_a_scan_of_nothing_gives_everything(self, store: Store) -> None:
        store.write({"b": b"2", "a": b"1"})
        assert list(store.scan("")) == [("a", b"1"), ("b", b"2")]

    def test_the_order_of_keys_is_that_of_their_code_points(self, store: Store) -> None:
        keys = ["key/a", "key/z", "key/é", "key/中", "key/\U0001f600", "key/\uffff", "key/\x00", "key/Z"]
        store.write(dict.fromkeys(keys, b"x"))
        assert [key for key, _ in store.scan("key/")] == sorted(keys)

    def test_a_scan_does_not_see_what_is_written_while_it_runs(self, store: Store) -> None:
        store.write({"a/1": b"x", "a/3": b"x"})
        scan = store.scan("a/")
        assert next(scan)[0] == "a/1"
        store.write({"a/2": b"x", "a/3": None})
        assert [key for key, _ in scan] == ["a/3"]

    def test_a_cleared_store_is_empty_and_can_be_written_again(self, store: Store) -> None:
        store.write({"a": b"1"})
        store.clear()
        assert list(store.scan("")) == []
        store.write({"b": b"2"})
        assert store.get("b") == b"2"

    def test_large_values_and_binary_ones_come_back_as_they_were(self, store: Store) -> None:
        value = bytes(range(256)) * 5000
        store.write({"v": value})
        assert store.get("v") == value


def test_the_store_on_disk_is_there_when_it_is_opened_again(tmp_path: Path) -> None:
    for expected in (None, b"1"):
        store = MAKERS["rocks"](tmp_path)
        assert store.get("a") == expected
        store.write({"a": b"1"})
        store.close()


@pytest.mark.parametrize(
    ("written", "made_again"),
    [
        pytest.param([], False, id="new"),
        pytest.param([{"a": b"1"}, {"a": None}], False, id="all-deleted"),
        pytest.param([{"a": b"1"}], True, id="one-record"),
        pytest.param([{"": b"1"}], True, id="the-empty-key"),
        pytest.param([{"\x00": b"1", "a": b"1"}, {"a": None}], True, id="one-left"),
    ],
)
def test_clearing_makes_the_store_on_disk_again_only_if_it_holds_something(
    tmp_path: Path, written: list[dict[str, bytes | None]], made_again: bool
) -> None:
    store = MAKERS["rocks"](tmp_path)
    for records in written:
        store.write(records)
    store.close()
    store = MAKERS["rocks"](tmp_path)
    identity = tmp_path / "store" / "IDENTITY"  # RocksDB draws one for every database that it makes
    before = identity.read_text()
    store.clear()
    assert (identity.read_text() != before) is made_again
    assert list(store.scan("")) == []
    store.close()


def test_a_damaged_folder_is_an_error_that_names_it(tmp_path: Path) -> None:
    made = MAKERS["rocks"](tmp_path)
    made.write({"a": b"1"})
    made.close()
    (tmp_path / "store" / "CURRENT").write_text("nothing of RocksDB's\n")
    with pytest.raises(OperationError) as refused:
        MAKERS["rocks"](tmp_path)
    assert refused.value.code == STORE_FAILED
    assert refused.value.facts == {"path": str(tmp_path / "store")}


class _FullDisk:
    """A database that cannot write what it has in memory, as RocksDB says it when it is closed on a full disk."""

    def __init__(self, database: Any) -> None:
        self._database = database

    def close(self) -> None:
        raise OSError("IO error: No space left on device")  # the class is rocksdict's own; its text is RocksDB's


def test_a_store_that_cannot_be_closed_in_order_gives_its_folder_back(tmp_path: Path) -> None:
    store = RocksStore(tmp_path / "store", write_buffer_bytes=1 << 20, block_cache_bytes=1 << 20)
    store.write({"a": b"1"})
    store._db = _FullDisk(store._db)  # type: ignore[assignment]
    store.close()
    again = RocksStore(tmp_path / "store", write_buffer_bytes=1 << 20, block_cache_bytes=1 << 20)
    assert again.get("a") == b"1"
    again.close()
