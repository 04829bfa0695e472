"""One contract for both stores of the history: rows, lists, fences and errors are the same in SQLite and PostgreSQL."""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from string import ascii_letters
from typing import Any

import msgspec
import pytest

from streamflow.core.metrics import NoMetrics
from streamflow.engine import transitions as t
from streamflow.engine.builder import NAME_BYTES
from streamflow.engine.transitions import Transition
from streamflow.errors import OperationError
from streamflow.history import database as migrating
from streamflow.history.database import Database, marks, migrate, migrations
from streamflow.history.filters import RunFilter
from streamflow.history.projection import Changes, project_runs
from streamflow.history.queries import SORTS, count_runs, list_runs
from streamflow.history.reading import (
    TroubleFilter,
    attributes_of,
    behind,
    event_fates,
    list_trouble,
    lookup,
    transitions,
)
from streamflow.history.retention import expire
from streamflow.history.session import Session
from streamflow.history.statistics import statistics, traffic
from streamflow.history.store import open_store
from streamflow.history.trouble import project_unclaimed
from streamflow.history.writer import FATE_COLUMNS, apply, begin, positions
from streamflow.settings import History, Settings
from streamflow.wire.dead_letter import dead_letter
from streamflow.wire.decoding import Record
from tests.builders import NOW_MS
from tests.servers.postgresql import PostgresServer
from tests.unit.history.bench import TABLES, Projector, a_history, an_event, records_of, started
from tests.unit.history.test_projection import FACTS, without_places
from tests.unit.history.test_session import FakeConsumer, good
from tests.unit.history.test_trouble import letter, take, unclaimed

pytestmark = pytest.mark.timeout(120)
Open = Callable[[], Database]


@pytest.fixture
def settings(postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("HISTORY_PASSWORD", postgres.password)
    return Settings(
        history=History(
            postgresql=postgres.url,
            user=postgres.user,
            password="env:HISTORY_PASSWORD",
            schema_name=f"h{uuid.uuid4().hex[:8]}",
        )
    )


@pytest.fixture(params=["sqlite", "postgresql"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Open]:
    """Opens connections to one store."""
    if request.param == "sqlite":
        chosen = Settings(history=History(path=tmp_path / "history.db"))
    else:
        chosen = request.getfixturevalue("settings")
    made: list[Database] = []

    def connect() -> Database:
        made.append(open_store(chosen, write=True))
        begin(made[-1], "runs", "T", 0, 0)
        return made[-1]

    yield connect
    for database in made:
        database.close()


def dump(database: Database) -> dict[str, list[tuple[Any, ...]]]:
    """Everything that a store has, in an order that does not depend on the dialect."""
    columns = {
        "run": "run, definition, version, sha, key, status, started_ms, updated_ms, ended_ms, duration_ms, error_code, "
        "error_message, parent, restart_of, parked_step, waits_for, due_ms, stopping, seq, first_seq",
        "step_now": "run, step, state, attempt, since_ms, begun_ms, due_ms, waits_for, error_code, body",
        "transition": "run, seq, at_ms, kind, step, body",
        "sealed": "run, n, codec, body",
        "hour": "definition, version, status, hour, n, total_ms, hist",
        "step_hour": "definition, version, step, outcome, hour, n, total_ms, hist",
        "trouble": "id, kind, definition, key, run, step, code, message, at_ms, count, state, place",
        "event_fate": "event_id, source, definition, key, outcome, run, step, event, reason, at_ms, place",
    }
    found = {table: database.rows(f"SELECT {columns[table]} FROM {table}") for table in TABLES if table != "attr"}
    found["attr"] = database.rows("SELECT r.run, a.name, a.value, a.started_ms FROM attr a JOIN run r ON r.no = a.no")
    return {
        table: sorted(
            (tuple(bytes(one) if isinstance(one, memoryview) else one for one in row) for row in rows), key=repr
        )
        for table, rows in found.items()
    }


def interleaved(choose: random.Random) -> list[Transition]:
    left = [
        a_history(f"r{number}", started(event=an_event(city=f"c{number % 2}")), *facts, key=f"K{number}")
        for number, facts in enumerate(list(FACTS.values()) * 3)
    ]
    records: list[Transition] = []
    while any(left):
        records.append(choose.choice([history for history in left if history]).pop(0))
    return records


def search(sha: str) -> dict[str, str]:
    return {"city": "trigger.city"}


@pytest.mark.parametrize("seed", range(3))
def test_batches_restarts_and_copies_change_nothing(opened: Open, tmp_path: Path, seed: int) -> None:
    choose = random.Random(seed)
    records = interleaved(choose)
    whole = open_store(Settings(history=History(path=tmp_path / "whole.db")), write=True)
    begin(whole, "runs", "T", 0, 0)
    Projector(whole, search).take(records_of(records))
    projector, at = Projector(opened(), search), 0
    while at < len(records):
        size, again = choose.randint(1, 30), choose.randint(0, min(at, 12))
        projector.take(records_of(records[at - again : at + size]), forget=choose.random() < 0.5)
        at += size

    expected, found = dump(whole), dump(projector.database)
    whole.close()
    for table in expected:
        assert without_places(table, found[table]) == without_places(table, expected[table]), table


def test_every_question_has_an_answer(opened: Open) -> None:
    database = opened()
    Projector(database, search).take(records_of(interleaved(random.Random(1))))

    for sort in SORTS:
        page = list_runs(database, RunFilter(definition="order"), sort=sort, limit=4)
        following = list_runs(database, RunFilter(definition="order"), sort=sort, cursor=page.next, limit=100)
        assert not {row.run for row in page.rows} & {row.run for row in following.rows}
    assert {row.run for row in list_runs(database, RunFilter(attributes={"city": "c0"}, key_prefix="K")).rows} == {
        f"r{number}" for number in range(0, 15, 2)
    }
    assert count_runs(database, RunFilter(status="open")).n == 6
    assert attributes_of(database, "r1") == {"city": "c1"}
    assert [hit.kind for hit in lookup(database, "K3")] == ["key"]
    assert [row.seq for row in transitions(database, "r0")] == [1, 2, 3, 4]
    assert len(event_fates(database, "e-9")) == 3
    assert len(list_trouble(database, TroubleFilter(), limit=2).rows) == 2
    assert {point.outcome for point in statistics(database, NOW_MS, NOW_MS + 1)} >= {"started", "completed"}
    assert {one.step for one in traffic(database, "order", "1", NOW_MS, NOW_MS + 1)} >= {"pay", "a"}
    assert [(one.topic, one.records) for one in behind(database, NOW_MS)] == [("runs", 0)]


def test_a_worker_that_was_overtaken_writes_nothing(opened: Open) -> None:
    first, second = Projector(opened()), Projector(opened())
    records = records_of(a_history("r1", started()))
    first.take(records)
    before = dump(first.database)

    with pytest.raises(OperationError) as caught:
        second.take(records)

    assert caught.value.code == "history_moved"
    assert dump(second.database) == before


def test_what_is_kept_long_enough_goes_in_small_pieces(opened: Open) -> None:
    database = opened()
    old = [a_history(f"old{n}", started(event=an_event(id_=f"o{n}")), (t.RunFailed(reason="no"), "")) for n in range(7)]
    day = 86_400_000
    new = [
        a_history(
            f"new{n}", started(event=an_event(id_=f"n{n}")), (t.RunFailed(reason="no"), ""), start_ms=NOW_MS + 90 * day
        )
        for n in range(3)
    ]
    open_run = a_history("open", started(event=an_event(id_="open")))
    Projector(database, search).take(records_of([each for one in (*old, *new, open_run) for each in one]))
    history = History(retention_rows=2, runs_days=30, events_days=30, trouble_days=30, counters_days=30)

    removed = list(expire(database, history, NOW_MS + 91 * day))

    assert max(removed) <= 2
    assert len(removed) >= 8
    assert {run for (run,) in database.rows("SELECT run FROM run")} == {"new0", "new1", "new2", "open"}
    assert {run for (run,) in database.rows("SELECT run FROM sealed")} == {"new0", "new1", "new2"}
    assert {id_ for (id_,) in database.rows("SELECT event_id FROM event_fate")} == {"n0", "n1", "n2"}
    assert list(expire(database, history, NOW_MS + 91 * day)) == []


def test_texts_that_a_database_cannot_keep_are_kept_otherwise(opened: Open) -> None:
    database = opened()
    Projector(database, search).take(
        records_of(a_history("r1", started(event=an_event(city="a\x00b")), key="K\x00'\"%s?\U0001f600"))
    )

    (row,) = list_runs(database, RunFilter()).rows
    assert row.key.endswith("'\"%s?\U0001f600")
    assert [each.run for each in list_runs(database, RunFilter(key=row.key)).rows] == ["r1"]


def long_text(size: int, seed: int, letters: str = ascii_letters) -> str:
    """A text that a database cannot compress."""
    choose = random.Random(seed)
    return "".join(choose.choice(letters) for _ in range(size))


CJK = "".join(map(chr, range(0x4E00, 0x9FA5)))


def test_the_longest_names_that_an_event_may_have_are_kept(opened: Open) -> None:
    database = opened()
    key, id_, source, known_by = (long_text(NAME_BYTES, seed) for seed in range(4))
    begun = started(event=an_event(id_=id_))[0]
    begun = msgspec.structs.replace(
        begun, correlation_id=known_by, event=msgspec.structs.replace(begun.event, source=source)
    )
    Projector(database).take(records_of(a_history("r1", (begun, ""), key=key)))
    take(database, unclaimed(key=key, id_=id_, source=source))

    fates = event_fates(database, id_, source)
    assert [(one.outcome, one.key) for one in fates] == [("started", key), ("unclaimed", key)]
    assert [row.run for row in list_runs(database, RunFilter(key=key, attributes={"correlation_id": known_by})).rows]
    assert [row.key for row in list_trouble(database, TroubleFilter(kind="unclaimed")).rows] == [key]


def test_a_dead_letter_with_names_of_any_length_is_kept(opened: Open) -> None:
    database = opened()
    key, id_, source = (long_text(1100, seed, CJK) for seed in range(3))
    refused = Record(
        "orders", 2, 9, NOW_MS, key.encode(), b"{}", (("ce_id", id_.encode()), ("ce_source", source.encode()))
    )
    names: Any = {
        name: long_text(3000, seed) for seed, name in enumerate(("definition", "event", "run", "step", "code"))
    }
    take(database, letter(dead_letter(refused, "name_too_long", "m", "ingress", topic_id="S", **names)))

    (fate,) = event_fates(database, id_[:500])
    assert (fate.outcome, fate.key, fate.source) == ("dead_letter", key[:500], source[:500])
    (row,) = list_trouble(database, TroubleFilter(definition=names["definition"][:500])).rows
    assert (row.kind, row.run) == ("dead_letter", names["run"][:500])


def test_events_of_one_id_and_different_names_have_a_fate_each(opened: Open) -> None:
    database = opened()
    paid, refunded = unclaimed(event="paid"), unclaimed(event="refunded", offset=8)

    take(database, paid, refunded, paid, refunded)

    assert sorted(one.event for one in event_fates(database, "e-1")) == ["paid", "refunded"]


def test_a_record_that_no_index_takes_is_left_out_and_nothing_else(opened: Open) -> None:
    database = opened()
    session = Session(Settings(), database, FakeConsumer(), NoMetrics())  # type: ignore[arg-type]
    session._searches._known["sha"] = {}
    session._at = {(at.topic, at.partition): at for _, at in positions(database).values()}
    huge = long_text(4000, 1)

    session._batch([good("r1", 0), good(huge, 1), good("r2", 2)])  # type: ignore[list-item]

    stored = {run for (run,) in database.rows("SELECT run FROM run")}
    left_out = session._unreadable["runs"].count
    assert stored - {huge} == {"r1", "r2"}
    assert (left_out, huge in stored) == ((1, False) if database.dialect == "postgresql" else (0, True))
    assert [at.offset for _, at in positions(database).values()] == [3]


def test_the_outcomes_of_a_full_store_are_migrated(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that the store had before are known again afterwards: a copy changes nothing."""
    with monkeypatch.context() as earlier:
        earlier.setattr(migrating, "migrations", lambda dialect: migrations(dialect)[:2])
        database = opened()
    changes = Changes()
    project_runs(records_of(interleaved(random.Random(1))), {}, search, changes)
    project_unclaimed(unclaimed(key="K\u00fc\U0001f600:1", id_="1:x"), changes)
    with database.transaction():
        for fate in changes.fates:
            names = ", ".join(FATE_COLUMNS)
            database.run(
                f"INSERT INTO event_fate ({names}) VALUES ({marks(len(FATE_COLUMNS))}) ON CONFLICT DO NOTHING",
                msgspec.structs.astuple(fate),
            )
    before = dump(database)["event_fate"]
    assert len(before) > 10

    assert migrate(database) == migrations(database.dialect)[-1][0]

    assert dump(database)["event_fate"] == before
    with database.transaction():
        apply(database, changes)
    assert dump(database)["event_fate"] == before
    assert [one.key for one in event_fates(database, "1:x", "/shop")] == ["K\u00fc\U0001f600:1"]
    indexes = "SELECT name FROM sqlite_master WHERE type = 'index'"
    if database.dialect == "postgresql":
        indexes = "SELECT indexname FROM pg_indexes WHERE schemaname = current_schema()"
    assert {"event_fate_event", "event_fate_at"} <= {name for (name,) in database.rows(indexes)}
    retained = History(retention_rows=5, events_days=1)
    assert sum(expire(database, retained, NOW_MS + 400 * 86_400_000)) >= len(before)
    assert database.rows("SELECT count(*) FROM event_fate") == [(0,)]


def test_a_database_that_is_lost_is_told_and_survived(postgres: PostgresServer, settings: Settings) -> None:
    database = open_store(settings, write=True)
    begin(database, "runs", "T", 0, 0)
    postgres.run(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'streamflow-history' "
        "AND query LIKE '%progress%'"
    )

    with pytest.raises(OperationError) as caught:
        Projector(database).take(records_of(a_history("r1", started())))
    assert (caught.value.code, caught.value.retryable) == ("history_unavailable", True)
    database.close()

    again = open_store(settings, write=True)
    Projector(again).take(records_of(a_history("r1", started())))
    assert count_runs(again, RunFilter()).n == 1
    again.close()


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("postgresql://127.0.0.1:1/none", "history_unavailable"),
        ("postgresql://user:secret@127.0.0.1:1/none", "history_url_invalid"),
        ("no url = ' ", "history_url_invalid"),
    ],
)
def test_a_database_that_cannot_be_reached_is_told_without_its_password(url: str, code: str) -> None:
    with pytest.raises(OperationError) as caught:
        open_store(Settings(history=History(postgresql=url)), write=True)

    assert caught.value.code == code
    assert "secret" not in caught.value.message


def test_a_batch_that_fails_half_way_leaves_nothing(opened: Open) -> None:
    database = opened()
    changes = Changes()
    changes.settled.add("x")
    Projector(database).take(records_of(a_history("r1", started())))
    before = dump(database)
    projector = Projector(database)
    broken = records_of(a_history("r2", started()))
    broken[0] = type(broken[0])(transition=broken[0].transition, value=None, place="runs/0/0")  # type: ignore[arg-type]
    projector._at = type(projector._at)(topic="runs", partition=0, offset=1, end=1, record_ms=0, seen_ms=0)

    with pytest.raises(OperationError):
        projector.take(broken)

    assert dump(database) == before
    with database.transaction():
        apply(database, changes)
