"""Runs that go to an object store and come back as they were, and a store that is made again."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from streamflow.engine import transitions as t
from streamflow.errors import OperationError, Rejected
from streamflow.history.archive import archive_some, archived, objects, restore
from streamflow.history.database import Database, closing
from streamflow.history.filters import RunFilter
from streamflow.history.queries import list_runs
from streamflow.history.reading import find_run, transitions
from streamflow.history.rebuild import rebuild
from streamflow.history.retention import DAY_MS
from streamflow.history.store import open_store
from streamflow.history.upkeep import Upkeep
from streamflow.history.writer import begin, positions
from streamflow.settings import Connection, History, Settings, Tasks
from tests.builders import NOW_MS
from tests.unit.history.bench import Projector, a_history, an_event, dump, records_of, started

LATER_MS = NOW_MS + 200 * DAY_MS


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    (tmp_path / "archive").mkdir()
    store = Connection(kind="folder", url=str(tmp_path / "archive"))
    return Settings(
        history=History(path=tmp_path / "history.db", archive="cold", retention_rows=2, runs_days=30),
        tasks=Tasks(connections={"cold": store}),
    )


@pytest.fixture
def database(settings: Settings) -> Iterator[Database]:
    with closing(open_store(settings, write=True)) as opened:
        begin(opened, "runs", "T", 0, 0)
        yield opened


def fill(database: Database, count: int = 5) -> Projector:
    projector = Projector(database, lambda sha: {"city": "trigger.city"})
    for number in range(count):
        beginning = started(event=an_event(id_=f"e{number}", city="Bern"))
        projector.take(
            records_of(
                a_history(f"r{number}", beginning, (t.RunFailed(reason="no"), ""), start_ms=NOW_MS + 10_000 * number)
            )
        )
    projector.take(records_of(a_history("open", started(event=an_event(id_="open")))))
    return projector


def test_old_runs_go_and_come_back_as_they_were(settings: Settings, database: Database, tmp_path: Path) -> None:
    fill(database)
    before = dump(database)

    assert list(archived(settings, database, LATER_MS)) == [2, 2, 1]

    assert [row.run for row in list_runs(database, RunFilter()).rows] == ["open"]
    made = objects(database)
    assert [one.runs for one in made] == [2, 2, 1]
    assert all((tmp_path / "archive" / one.object).stat().st_size == one.bytes for one in made)
    for one in made:
        assert restore(settings, database, "cold", one.object, LATER_MS + DAY_MS) == (one.runs, 0)
        assert restore(settings, database, "cold", one.object, LATER_MS + DAY_MS) == (0, one.runs)
    assert dump(database) == before


def test_what_came_back_stays_for_its_time(settings: Settings, database: Database) -> None:
    fill(database)
    list(archived(settings, database, LATER_MS))
    restore(settings, database, "cold", objects(database)[0].object, LATER_MS + DAY_MS)

    assert list(archived(settings, database, LATER_MS + 1)) == []
    assert find_run(database, "r0") is not None
    assert list(archived(settings, database, LATER_MS + 2 * DAY_MS)) == [2]
    assert len(objects(database)) == 3  # the same runs are the same object


def test_an_object_is_lines_that_anybody_can_read(settings: Settings, database: Database, tmp_path: Path) -> None:
    fill(database, 1)
    made = archive_some(settings, database, LATER_MS, LATER_MS)
    assert made is not None

    (line,) = gzip.decompress((tmp_path / "archive" / made.object).read_bytes()).splitlines()
    found = json.loads(line)
    assert (found["run"]["run"], found["attributes"]) == ("r0", {"city": "Bern"})
    assert [one[2] for one in found["transitions"]] == ["RunStarted", "RunFailed"]
    assert found["transitions"][0][4]["data"]["event"]["id"] == "e0"


def test_nothing_is_deleted_that_the_archive_did_not_take(
    settings: Settings, database: Database, tmp_path: Path
) -> None:
    fill(database)
    before = dump(database)
    (tmp_path / "archive").rmdir()

    assert list(archived(settings, database, LATER_MS)) == []
    assert dump(database) == before
    (tmp_path / "archive").mkdir()
    assert list(archived(settings, database, LATER_MS)) == [2, 2, 1]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no gzip",
        gzip.compress(b"no json\n", mtime=0),
        gzip.compress(b"{}\n", mtime=0),
        gzip.compress(b'{"a":1}\n' * 9, mtime=0)[:-9],
    ],
)
def test_an_object_of_other_bytes_is_refused(
    settings: Settings, database: Database, tmp_path: Path, content: bytes
) -> None:
    (tmp_path / "archive" / "other").write_bytes(content)

    if content:
        with pytest.raises(OperationError) as caught:
            restore(settings, database, "cold", "other", LATER_MS)
        assert caught.value.code == "archive_unreadable"
    else:
        assert restore(settings, database, "cold", "other", LATER_MS) == (0, 0)
    with pytest.raises(OperationError) as caught:
        restore(settings, database, "nowhere", "other", LATER_MS)
    assert caught.value.code == "connection_unknown"


def test_the_worker_archives_between_batches(settings: Settings, database: Database) -> None:
    fill(database)
    now = [LATER_MS / 1000]
    upkeep = Upkeep(settings, lambda: now[0])
    for _ in range(20):
        upkeep.step(database)

    assert [one.runs for one in objects(database)] == [2, 2, 1]
    assert database.rows("SELECT count(*) FROM event_fate") == [(0,)]
    now[0] += settings.history.retention_s
    upkeep.step(database)


def test_a_store_is_emptied_and_filled_again(settings: Settings, database: Database) -> None:
    fill(database)
    before = dump(database)

    done = rebuild(database, {"runs": ("T2", {0: 0, 1: 4})}, None, lose_older=False)

    assert (done.runs, done.lost) == (6, 0)
    assert all(rows == [] for rows in dump(database).values())
    found = {place: (topic_id, at.offset) for place, (topic_id, at) in positions(database).items()}
    assert found == {("runs", 0): ("T2", 0), ("runs", 1): ("T2", 4)}
    fill(database)
    assert dump(database) == before


def test_a_rebuild_loses_no_run_unasked(settings: Settings, database: Database) -> None:
    fill(database)
    before = dump(database)

    with pytest.raises(Rejected) as caught:
        rebuild(database, {"runs": ("T", {0: 3})}, NOW_MS + 15_000, lose_older=False)

    assert (caught.value.code, caught.value.facts["runs"]) == ("history_older_than_topics", 3)
    assert dump(database) == before
    assert rebuild(database, {"runs": ("T", {0: 3})}, NOW_MS + 15_000, lose_older=True).lost == 3


def test_a_worker_that_runs_notices_a_rebuild(settings: Settings, database: Database) -> None:
    projector = fill(database)
    rebuild(database, {"runs": ("T", {0: 0})}, None, lose_older=False)

    with pytest.raises(OperationError) as caught:
        projector.take(records_of(a_history("r9", started())))

    assert caught.value.code == "history_moved"
    assert transitions(database, "r9") == []
