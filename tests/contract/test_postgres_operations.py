"""`postgres.query` and `postgres.upsert` against a real PostgreSQL."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from streamflow.errors import OperationError
from streamflow.settings import Connection
from tests import servers
from tests.conftest import eventually, start_server
from tests.contract.stores import Worker, worker
from tests.servers.postgresql import PostgresServer

TABLE = """
DROP TABLE IF EXISTS shelf, "Odd ""table"; DROP SCHEMA IF EXISTS side CASCADE; CREATE SCHEMA side;
CREATE TABLE shelf (id text PRIMARY KEY, title text NOT NULL, price numeric CHECK (price >= 0), tags text[], extra jsonb, since timestamptz,
    born date, isbn text UNIQUE, count int DEFAULT 7, parent text REFERENCES shelf);
CREATE TABLE "Odd ""table" ("a ""b" int PRIMARY KEY, "DROP TABLE shelf" text);
CREATE TABLE side.log (id text PRIMARY KEY, line text);
"""  # noqa: E501


def connection(server: PostgresServer, **changes: Any) -> Connection:
    os.environ["PG_PASSWORD"] = server.password
    return Connection(
        **({"kind": "postgres", "url": server.url, "user": server.user, "password": "env:PG_PASSWORD"} | changes)
    )


@pytest.fixture
def db(postgres: PostgresServer) -> Iterator[Worker]:
    postgres.run(TABLE)
    with worker(db=connection(postgres)) as made:
        yield made


def query(db: Worker, sql: str, *parameters: Any, **more: Any) -> Any:
    return db.do("postgres.query", connection="db", sql=sql, parameters=list(parameters), **more)


def refused(db: Worker, sql: str, *parameters: Any, **more: Any) -> OperationError:
    return db.fail("postgres.query", connection="db", sql=sql, parameters=list(parameters), **more)


def upsert(db: Worker, table: str = "shelf", **more: Any) -> Any:
    return db.do("postgres.upsert", connection="db", table=table, **more)


def test_rows_come_as_plain_json(db: Worker) -> None:
    sql = """SELECT 1 AS one, 9007199254740993 AS big, 1.25::numeric AS exact, 'x' AS text, true AS yes, NULL AS nothing, ARRAY[1, 2] AS list,
        '{"a": [1]}'::jsonb AS object, DATE '2026-05-01' AS day, TIMESTAMPTZ '2026-05-01 12:00+02' AS moment, '\\x00ff'::bytea AS bytes,
        'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid AS uuid, INTERVAL '90 seconds' AS length"""  # noqa: E501
    assert query(db, sql)["rows"] == [
        {
            "one": 1,
            "big": 9007199254740993,
            "exact": "1.25",
            "text": "x",
            "yes": True,
            "nothing": None,
            "list": [1, 2],
            "object": {"a": [1]},
            "day": "2026-05-01",
            "moment": "2026-05-01T10:00:00+00:00",
            "bytes": "AP8=",
            "uuid": "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
            "length": 90.0,
        }
    ]


@pytest.mark.parametrize(
    "value", ["text", 5, 2.5, True, None, ["a", "b"], {"a": {"b": [1, None]}}, [{"a": 1}], "'; DROP TABLE shelf; --"]
)
def test_a_value_goes_in_and_out_unchanged(db: Worker, value: Any) -> None:
    cast = {str: "text", int: "int", float: "float8", bool: "bool", type(None): "text", list: "text[]", dict: "jsonb"}[
        type(value)
    ]
    if isinstance(value, list) and isinstance(value[0], dict):
        cast = "jsonb"
    assert query(db, f"SELECT $1::{cast} AS value", value) == {"rows": [{"value": value}], "count": 1}
    assert query(db, "SELECT count(*) AS n FROM shelf")["rows"] == [{"n": 0}]


def test_parameters_are_numbered_and_may_repeat(db: Worker) -> None:
    assert query(db, "SELECT $2::int + $1::int + $2::int AS sum", 1, 10)["rows"] == [{"sum": 21}]


def test_more_rows_than_the_limit_are_an_error_and_not_a_short_answer(db: Worker) -> None:
    assert query(db, "SELECT generate_series(1, 5) AS n", limit=5)["count"] == 5
    error = refused(db, "SELECT generate_series(1, 1000000000) AS n", limit=5)
    assert (error.code, error.retryable) == ("too_many_rows", False)


@pytest.mark.parametrize(
    ("sql", "code"),
    [
        ("INSERT INTO shelf (id, title) VALUES ('x', 'y')", "statement_invalid"),
        ("SELECT 1; DELETE FROM shelf", "statement_invalid"),
        ("SELECT 1; COMMIT; DELETE FROM shelf", "statement_invalid"),
        ("WITH gone AS (DELETE FROM shelf RETURNING *) SELECT * FROM gone", "statement_invalid"),
        ("SELECT nextval('counter')", "write_refused"),
        ("SELECT * FROM shelf FOR UPDATE", "write_refused"),
        ("SELECT set_config('transaction_read_only', 'off', true), 1/0", "value_refused"),
        ("SELECT grow()", "write_refused"),
    ],
)
def test_a_query_writes_nothing(db: Worker, postgres: PostgresServer, sql: str, code: str) -> None:
    postgres.run("CREATE SEQUENCE IF NOT EXISTS counter; INSERT INTO shelf (id, title) VALUES ('a', 'A')")
    body = "BEGIN INSERT INTO shelf (id, title) VALUES ('b', 'B'); RETURN 1; END"
    postgres.run(f"CREATE OR REPLACE FUNCTION grow() RETURNS int LANGUAGE plpgsql AS $$ {body} $$")
    assert refused(db, sql).code == code
    assert postgres.run("SELECT count(*) FROM shelf") == "1"


@pytest.mark.parametrize(
    ("sql", "parameters", "code"),
    [
        ("SELEKT 1", [], "statement_invalid"),
        ("SELECT * FROM nowhere", [], "table_missing"),
        ("SELECT nothing FROM shelf", [], "column_missing"),
        ("SELECT $1::int AS n", ["seven"], "value_refused"),
        ("SELECT 1/$1::int AS n", [0], "value_refused"),
        ("SELECT $2::int AS n", [1], "statement_invalid"),
        ("SELECT 1 AS n, 2 AS n", [], "statement_invalid"),
        ("SELECT 'NaN'::float8 AS n", [], "value_refused"),
        ("SELECT * FROM pg_authid", [], "access_denied"),
    ],
)
def test_what_cannot_be_run_is_refused_for_good(
    db: Worker, postgres: PostgresServer, sql: str, parameters: list[Any], code: str
) -> None:
    if code == "access_denied":
        postgres.run(
            "DO $$ BEGIN CREATE ROLE weak LOGIN PASSWORD 'weak'; EXCEPTION WHEN duplicate_object THEN NULL; END $$"
        )
        os.environ["WEAK"] = "weak"
        with worker(db=connection(postgres, user="weak", password="env:WEAK")) as weak:
            error = refused(weak, sql, *parameters)
    else:
        error = refused(db, sql, *parameters)
    assert (error.code, error.retryable) == (code, False)
    assert error.message
    assert query(db, "SELECT 1 AS n")["count"] == 1


def test_doing_it_twice_is_the_same_as_once(db: Worker, postgres: PostgresServer) -> None:
    rows = [
        {"id": "a", "title": "A", "price": 1.5, "tags": ["x"], "extra": {"k": [1]}},
        {"id": "b", "title": "B", "price": None, "tags": [], "extra": None},
    ]
    outputs = [upsert(db, rows=rows, conflict=["id"]) for _ in range(2)]
    assert outputs == [{"count": 2}] * 2
    assert postgres.run("SELECT id, title, price, tags, extra, count FROM shelf ORDER BY id").splitlines() == [
        'a|A|1.5|{x}|{"k": [1]}|7',
        "b|B||{}||7",
    ]


def test_the_database_reads_each_value_as_its_column_has_it(db: Worker, postgres: PostgresServer) -> None:
    row = {
        "id": "a",
        "title": 5,
        "price": "12345678901234567890.12",
        "since": "2026-05-01T12:00:00+02:00",
        "born": "2026-05-01",
        "count": "3",
    }
    upsert(db, row=row, conflict=["id"])
    columns = "title, price, since AT TIME ZONE 'UTC', born, count"
    assert postgres.run(f"SELECT {columns} FROM shelf") == "5|12345678901234567890.12|2026-05-01 10:00:00|2026-05-01|3"


def test_a_whole_number_is_one_however_its_producer_wrote_it(db: Worker, postgres: PostgresServer) -> None:
    rows = [{"id": "a", "title": "A", "count": 2.0, "extra": {"n": [3.0, 1e3, 0.5]}, "price": 12.0}]
    upsert(db, rows=rows, conflict=["id"])
    assert postgres.run("SELECT count, extra, price FROM shelf") == '2|{"n": [3, 1000, 0.5]}|12'
    assert query(db, "SELECT ($1::jsonb ->> 'n')::int AS n", {"n": 2.0})["rows"] == [{"n": 2}]


@pytest.mark.parametrize("table", ["line", "path", "date", "name", "interval", "record", "text", "int4"])
def test_a_table_may_be_called_as_a_type_is(db: Worker, postgres: PostgresServer, table: str) -> None:
    postgres.run(f'DROP TABLE IF EXISTS "{table}"; CREATE TABLE "{table}" (id text PRIMARY KEY, n int)')
    try:
        for number in (1, 2):
            assert upsert(db, table, row={"id": "a", "n": number}, conflict=["id"]) == {"count": 1}
            assert upsert(db, f"public.{table}", row={"id": "b", "n": number}, conflict=["id"]) == {"count": 1}
        assert postgres.run(f'SELECT id, n FROM "{table}" ORDER BY id').splitlines() == ["a|2", "b|2"]
        error = db.fail(
            "postgres.upsert", connection="db", table=table, row={"id": "a", "n": "secret"}, conflict=["id"]
        )
        assert error.message.startswith("Column n does not take its value")
    finally:
        postgres.run(f'DROP TABLE "{table}"')


def test_an_upsert_sets_only_what_it_is_given(db: Worker, postgres: PostgresServer) -> None:
    upsert(db, row={"id": "a", "title": "A", "isbn": "1"}, conflict=["id"])
    upsert(db, row={"id": "a", "title": "B"}, conflict=["id"])
    assert postgres.run("SELECT title, isbn FROM shelf") == "B|1"


def test_rows_of_conflict_columns_alone_are_inserted_once(db: Worker, postgres: PostgresServer) -> None:
    for _ in range(2):
        assert upsert(db, "side.log", row={"id": "a"}, conflict=["id"]) == {"count": 1}
    assert postgres.run("SELECT id FROM side.log") == "a"


def test_rows_without_a_key_of_their_own_get_the_idempotency_key(db: Worker, postgres: PostgresServer) -> None:
    for _ in range(2):
        upsert(db, "side.log", idempotency="run/one", row={"line": "1"}, idempotency_column="id")
        upsert(db, "side.log", idempotency="run/two", rows=[{"line": "2"}, {"line": "3"}], idempotency_column="id")
    assert postgres.run("SELECT id, line FROM side.log ORDER BY id").splitlines() == [
        "run/one|1",
        "run/two/0|2",
        "run/two/1|3",
    ]


def test_names_are_quoted_whatever_is_in_them(db: Worker, postgres: PostgresServer) -> None:
    postgres.run('ALTER TABLE "Odd ""table" RENAME TO "Odd; DROP TABLE shelf; --"')
    upsert(db, "Odd; DROP TABLE shelf; --", row={'a "b': 1, "DROP TABLE shelf": "x"}, conflict=['a "b'])
    assert postgres.run('SELECT "DROP TABLE shelf" FROM "Odd; DROP TABLE shelf; --"') == "x"
    assert postgres.run("SELECT count(*) FROM shelf") == "0"
    postgres.run('DROP TABLE "Odd; DROP TABLE shelf; --"')


@pytest.mark.parametrize(
    ("row", "code"),
    [
        ({"id": "b", "title": "B", "isbn": "1"}, "unique_violation"),
        ({"id": "b", "title": "B", "parent": "z"}, "foreign_key_violation"),
        ({"id": "b", "title": None}, "not_null_violation"),
        ({"id": "b"}, "not_null_violation"),
        ({"id": "b", "title": "B", "price": -1}, "check_violation"),
        ({"id": "b", "title": "B", "born": "soon"}, "value_refused"),
        ({"id": "b", "title": "B\u0000"}, "value_refused"),
        ({"id": "b", "title": "B", "misspelt": 1}, "column_missing"),
    ],
)
def test_what_the_table_refuses_has_a_code_of_its_own_and_is_not_tried_again(
    db: Worker, postgres: PostgresServer, row: dict[str, Any], code: str
) -> None:
    upsert(db, row={"id": "a", "title": "A", "isbn": "1"}, conflict=["id"])
    error = db.fail(
        "postgres.upsert",
        connection="db",
        table="shelf",
        rows=[{**row, "id": "c"}, row] if code != "unique_violation" else [row],
        conflict=["id"],
    )
    assert (error.code, error.retryable) == (code, False)
    assert postgres.run("SELECT id FROM shelf") == "a"


@pytest.mark.parametrize(
    "input",
    [
        {"rows": [{"id": "a", "title": "A"}, {"id": "b"}], "conflict": ["id"]},
        {"rows": [{"id": "a", "title": "A"}, {"id": "a", "title": "B"}], "conflict": ["id"]},
        {"row": {"id": "a", "title": "A"}},
        {"row": {"id": "a"}, "rows": [{"id": "a"}], "conflict": ["id"]},
        {"conflict": ["id"]},
        {"row": {"title": "A"}, "conflict": ["id"]},
        {"row": {"id": "a", "title": "A"}, "idempotency_column": "id"},
    ],
)
def test_rows_that_cannot_be_told_apart_are_refused(
    db: Worker, postgres: PostgresServer, input: dict[str, Any]
) -> None:
    error = db.fail("postgres.upsert", connection="db", table="shelf", **input)
    assert (error.code, error.retryable) == ("rows_invalid", False)
    assert postgres.run("SELECT count(*) FROM shelf") == "0"


def test_no_rows_are_no_error(db: Worker) -> None:
    assert upsert(db, rows=[], conflict=["id"]) == {"count": 0}


@pytest.mark.parametrize("conflict", [["title"], ["id", "title"], ["title", "isbn"]])
def test_a_conflict_without_a_unique_index_is_refused_and_says_so(db: Worker, conflict: list[str]) -> None:
    row = {"id": "a", "title": "A", "isbn": "1"}
    error = db.fail("postgres.upsert", connection="db", table="shelf", row=row, conflict=conflict)
    assert (error.code, error.retryable) == ("statement_invalid", False)
    assert f"no unique index on exactly the conflict columns {', '.join(conflict)}" in error.message


def test_a_slow_statement_ends_within_the_attempt_and_its_connection_serves_on(
    db: Worker, postgres: PostgresServer
) -> None:
    query(db, "SELECT 1 AS n")  # so that there is a connection
    error = db.fail("postgres.query", connection="db", sql="SELECT pg_sleep(30)", timeout_s=1.0)
    assert (error.code, error.retryable) == ("statement_timeout", True)
    assert query(db, "SELECT 1 AS n")["count"] == 1


def test_a_cancelled_attempt_ends_on_the_server_too(db: Worker, postgres: PostgresServer) -> None:
    async def cancelled() -> None:
        running = asyncio.ensure_future(db.attempt("postgres.query", connection="db", sql="SELECT pg_sleep(60)"))
        await asyncio.to_thread(eventually, lambda: asked(postgres, "FETCH%"))
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

    assert db.together(cancelled()) == [None]
    eventually(lambda: not asked(postgres, "FETCH%"))
    assert query(db, "SELECT 1 AS n")["count"] == 1


def asked(postgres: PostgresServer, like: str) -> bool:
    return (
        postgres.run(
            f"SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE '{like}' AND pid <> "
            "pg_backend_pid()"
        )
        != "0"
    )


def test_many_attempts_share_a_few_connections(db: Worker, postgres: PostgresServer) -> None:
    outputs = db.together(
        *(
            db.attempt("postgres.query", connection="db", sql="SELECT pg_sleep(0.01), $1::int AS n", parameters=[n])
            for n in range(40)
        )
    )
    assert [output["rows"][0]["n"] for output in outputs] == list(range(40))
    assert int(postgres.run("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'streamflow'")) <= 4


def test_transactions_in_each_others_way_end_as_one_that_may_be_tried_again(
    db: Worker, postgres: PostgresServer
) -> None:
    upsert(db, rows=[{"id": "a", "title": "A"}, {"id": "b", "title": "B"}], conflict=["id"])
    body = "BEGIN PERFORM pg_sleep(0.3); RETURN NEW; END"
    postgres.run(f"CREATE OR REPLACE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ {body} $$")
    postgres.run("CREATE TRIGGER slow BEFORE INSERT ON shelf FOR EACH ROW EXECUTE FUNCTION slow()")
    # Both have a connection already, so that they begin at the same time.
    db.together(*(db.attempt("postgres.query", connection="db", sql="SELECT pg_sleep(0.2)") for _ in range(2)))
    one, other = (
        [{"id": "a", "title": "1"}, {"id": "b", "title": "1"}],
        [{"id": "b", "title": "2"}, {"id": "a", "title": "2"}],
    )
    outcomes = db.together(
        *(
            db.attempt("postgres.upsert", connection="db", table="shelf", rows=rows, conflict=["id"])
            for rows in (one, other)
        )
    )
    assert {"count": 2} in outcomes
    (error,) = [outcome for outcome in outcomes if isinstance(outcome, OperationError)]
    assert (error.code, error.retryable) == ("transaction_conflict", True)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"password": "env:WRONG"}, "credentials_refused"),
        ({"password": None}, "credentials_refused"),
        ({"user": "nobody"}, "credentials_refused"),
        ({"password": "env:NOT_SET_AT_ALL"}, "secret_missing"),
        ({"options": {"pool": "many"}}, "connection_invalid"),
        ({"options": {"pol": "1"}}, "connection_invalid"),
        ({"url": "http://127.0.0.1"}, "connection_invalid"),
        ({"url": "postgresql://a:b@127.0.0.1/x"}, "connection_invalid"),
        ({"kind": "nats"}, "connection_invalid"),
    ],
)
def test_a_connection_that_cannot_be_used_says_why(
    postgres: PostgresServer, changes: dict[str, Any], code: str
) -> None:
    os.environ["WRONG"] = "swordfish"
    with worker(db=connection(postgres, **changes)) as db:
        error = refused(db, "SELECT 1")
        assert (error.code, error.retryable) == (code, False)
        assert "swordfish" not in str(error)
        if changes.get("kind") is None:
            assert not db.health("postgres.query").ok


def test_a_missing_database_says_so(postgres: PostgresServer) -> None:
    with worker(db=connection(postgres, url=postgres.url.rsplit("/", 1)[0] + "/nowhere")) as db:
        assert refused(db, "SELECT 1").code == "database_missing"


def test_a_connection_that_is_not_configured_says_so(db: Worker) -> None:
    assert db.fail("postgres.query", connection="other", sql="SELECT 1").code == "connection_unknown"


def test_a_changed_password_is_read_anew(postgres: PostgresServer) -> None:
    with worker(db=connection(postgres)) as db:
        os.environ["PG_PASSWORD"] = "swordfish"
        assert refused(db, "SELECT 1").code == "credentials_refused"
        os.environ["PG_PASSWORD"] = postgres.password
        assert query(db, "SELECT 1 AS n")["count"] == 1
        assert db.health("postgres.query").ok


@pytest.fixture
def own_postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL that the test may kill."""
    yield from start_server(servers.postgres())


def test_a_database_that_dies_in_a_transaction_is_tried_again_and_the_rows_are_there_once(
    own_postgres: PostgresServer,
) -> None:
    server = own_postgres
    body = "BEGIN PERFORM pg_sleep(60); RETURN NEW; END"
    server.run("CREATE TABLE shelf (id text PRIMARY KEY, title text)")
    server.run(f"CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ {body} $$")
    server.run("CREATE TRIGGER slow AFTER INSERT ON shelf FOR EACH ROW EXECUTE FUNCTION slow()")
    row: dict[str, Any] = {"table": "shelf", "row": {"id": "a", "title": "A"}, "conflict": ["id"]}

    async def kill() -> None:
        await asyncio.to_thread(eventually, lambda: asked(server, "INSERT INTO%"))
        await asyncio.to_thread(server.kill)

    with worker(db=connection(server)) as db:
        query(db, "SELECT 1 AS n")
        error, killed = db.together(db.attempt("postgres.upsert", connection="db", **row), kill())
        assert killed is None
        assert (error.code, error.retryable) == ("database_unavailable", True)

        error = refused(db, "SELECT 1")
        assert (error.code, error.retryable) == ("database_unavailable", True)
        assert not db.health("postgres.upsert").ok

        server.start()
        server.run("DROP TRIGGER slow ON shelf")
        assert server.run("SELECT count(*) FROM shelf") == "0"
        assert db.do("postgres.upsert", connection="db", **row) == {"count": 1}
        assert server.run("SELECT id, title FROM shelf") == "a|A"
        assert db.health("postgres.upsert").ok


def test_without_its_extra_an_attempt_names_the_command_that_installs_it(
    postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with worker(db=connection(postgres)) as db:
        monkeypatch.setitem(sys.modules, "psycopg", None)
        error = refused(db, "SELECT 1")
        assert (error.code, error.retryable) == ("extra_missing", False)
        assert "the extra postgres," in error.message
