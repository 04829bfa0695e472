"""The store as a file: one writer, numbered migrations, and what happens when it cannot be read or written."""

from __future__ import annotations

import sqlite3
import zlib
from pathlib import Path

import pytest

from streamflow.errors import OperationError
from streamflow.history import database as migrating
from streamflow.history.database import closing, migrate, migrations
from streamflow.history.reading import find_run
from streamflow.history.sealing import unseal
from streamflow.history.sqlite import Sqlite, only_writer
from streamflow.history.store import open_store
from streamflow.settings import History, Settings
from tests.unit.history.bench import Projector, a_history, a_store, dump, records_of, started


def settings_of(path: Path) -> Settings:
    return Settings(history=History(path=path / "history.db"))


def code_of(caught: pytest.ExceptionInfo[OperationError]) -> tuple[str, bool]:
    return caught.value.code, caught.value.retryable


def test_both_dialects_have_the_same_tables_and_columns() -> None:
    def shape(sql: str) -> list[list[str]]:
        tables = [part.split("\n)")[0].splitlines() for part in sql.split("CREATE TABLE ")[1:]]
        return [[line.split()[0] for line in table if line.strip()] for table in tables]

    def indexes(sql: str) -> list[str]:
        return [line for line in sql.splitlines() if line.startswith("CREATE INDEX")]

    for (number, sqlite), (same, postgresql) in zip(migrations("sqlite"), migrations("postgresql"), strict=True):
        assert number == same
        assert shape(sqlite) == shape(postgresql)
        assert indexes(sqlite) == indexes(postgresql)


def test_migrations_are_numbered_without_gaps() -> None:
    for dialect in ("sqlite", "postgresql"):
        numbers = [number for number, _ in migrations(dialect)]
        assert numbers == list(range(1, len(numbers) + 1))


def test_a_store_is_made_once_and_read_by_others(tmp_path: Path) -> None:
    with pytest.raises(OperationError) as caught:
        open_store(settings_of(tmp_path))
    assert code_of(caught) == ("history_missing", False)
    with closing(open_store(settings_of(tmp_path), write=True)) as store:
        store.run("INSERT INTO archived VALUES ('a', 'c', 1, 2, 3, 4, 'x')")
    with closing(open_store(settings_of(tmp_path), write=True)), closing(open_store(settings_of(tmp_path))) as reader:
        assert reader.rows("SELECT count(*) FROM archived") == [(1,)]
        with pytest.raises(OperationError) as caught:
            reader.run("DELETE FROM archived")
        assert code_of(caught)[0] == "history_unavailable"


def test_an_empty_file_is_no_store(tmp_path: Path) -> None:
    sqlite3.connect(tmp_path / "history.db").close()
    (tmp_path / "history.db").touch()

    with pytest.raises(OperationError) as caught:
        open_store(settings_of(tmp_path))

    assert code_of(caught) == ("history_missing", False)


def test_a_file_that_is_no_database_is_told(tmp_path: Path) -> None:
    (tmp_path / "history.db").write_bytes(b"no database at all" * 100)

    for write in (True, False):
        with pytest.raises(OperationError) as caught:
            open_store(settings_of(tmp_path), write=write)
        assert code_of(caught)[0] == "history_unavailable"


def test_a_full_store_is_migrated_forward_and_never_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = a_store(tmp_path)
    projector = Projector(store)
    for number in range(50):
        projector.take(records_of(a_history(f"r{number}", started())))
    assert len(dump(store)["run"]) == 50
    newest = migrations("sqlite")[-1][0]
    later = [*migrations("sqlite"), (newest + 1, "ALTER TABLE run ADD COLUMN note TEXT NOT NULL DEFAULT '';")]
    with monkeypatch.context() as later_version:
        later_version.setattr(migrating, "migrations", lambda dialect: later)
        with pytest.raises(OperationError) as caught:
            open_store(settings_of(tmp_path))
        assert code_of(caught) == ("history_older", False)
        assert migrate(store) == newest + 1
        assert find_run(store, "r7") is not None
        assert store.rows("SELECT DISTINCT note FROM run") == [("",)]
    store.close()

    with pytest.raises(OperationError) as caught:
        open_store(settings_of(tmp_path), write=True)
    assert code_of(caught) == ("history_newer", False)


def test_a_migration_that_fails_leaves_the_store_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = a_store(tmp_path)
    known = migrations("sqlite")
    broken = [*known, (len(known) + 1, "CREATE TABLE more (a TEXT);\nALTER TABLE missing ADD COLUMN b TEXT;\n")]
    monkeypatch.setattr(migrating, "migrations", lambda dialect: broken)

    with pytest.raises(OperationError):
        migrate(store)

    assert store.schema_version() == len(known)
    assert store.rows("SELECT count(*) FROM sqlite_master WHERE name = 'more'") == [(0,)]
    store.close()


def test_one_process_writes_a_file(tmp_path: Path) -> None:
    with only_writer(tmp_path / "history.db"):
        with pytest.raises(OperationError) as caught, only_writer(tmp_path / "history.db"):
            pass
        assert code_of(caught) == ("history_in_use", False)
    with only_writer(tmp_path / "history.db"):
        pass


def test_a_full_disk_loses_nothing(tmp_path: Path) -> None:
    """SQLite itself says that the disk is full, at a limit of pages; when there is room, the same batch is written."""
    store = a_store(tmp_path)
    ((pages,),) = store.rows("PRAGMA page_count")
    store.rows(f"PRAGMA max_page_count = {pages + 3}")
    records = records_of([each for number in range(300) for each in a_history(f"r{number}", started())])

    with pytest.raises(OperationError) as caught:
        Projector(store).take(records)
    assert code_of(caught) == ("history_unavailable", True)
    assert "full" in caught.value.message
    assert dump(store)["run"] == []
    assert store.rows("SELECT next_offset FROM progress") == [(0,)]

    store.rows("PRAGMA max_page_count = 1000000")
    Projector(store).take(records)
    assert len(dump(store)["run"]) == 300
    store.close()


def test_a_locked_file_is_told_and_survived(tmp_path: Path) -> None:
    store = a_store(tmp_path)
    store.rows("PRAGMA busy_timeout = 10")
    other = sqlite3.connect(tmp_path / "history.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    records = records_of(a_history("r1", started()))

    with pytest.raises(OperationError) as caught:
        Projector(store).take(records)
    assert code_of(caught) == ("history_unavailable", True)

    other.execute("ROLLBACK")
    other.close()
    Projector(store).take(records)
    assert find_run(store, "r1") is not None
    store.close()


def test_sealed_transitions_of_a_later_version_are_refused(tmp_path: Path) -> None:
    with pytest.raises(OperationError) as caught:
        unseal("r1", "lz9", zlib.compress(b""))

    assert code_of(caught) == ("history_codec_unknown", False)


def test_a_reader_sees_a_batch_whole_or_not_at_all(tmp_path: Path) -> None:
    writer = a_store(tmp_path)
    reader = Sqlite(tmp_path / "history.db", write=False)
    with writer.transaction():
        writer.run("UPDATE progress SET next_offset = 5")
        assert reader.rows("SELECT next_offset FROM progress") == [(0,)]
    assert reader.rows("SELECT next_offset FROM progress") == [(5,)]
    reader.close()
    writer.close()
