"""The types of PostgreSQL in answers and parameters, against a real server: exact, or refused by name."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.contract.stores import Worker, worker
from tests.contract.test_postgres_operations import TABLE, connection, query, refused
from tests.servers.postgresql import PostgresServer


@pytest.fixture
def db(postgres: PostgresServer) -> Iterator[Worker]:
    postgres.run(TABLE)
    with worker(db=connection(postgres)) as made:
        yield made


TYPES = re.findall(
    r"^\| [^|]*\| `([^`|]+)` \| `([^`|]+)` \|", Path("docs/operations.md").read_text(encoding="utf-8"), re.MULTILINE
)


def test_the_page_has_a_row_for_every_kind_of_type() -> None:
    assert len(TYPES) == 19


@pytest.mark.parametrize(("sql", "answer"), TYPES)
def test_every_type_comes_as_the_page_says(db: Worker, sql: str, answer: str) -> None:
    (row,) = query(db, f"SELECT {sql} AS value")["rows"]
    assert row == {"value": json.loads(answer)}
    assert type(row["value"]) is type(json.loads(answer))


@pytest.mark.parametrize(
    "sql",
    [
        "'NaN'::numeric",
        "'Infinity'::numeric",
        "'-Infinity'::numeric",
        "(10::numeric ^ 101)",
        "'NaN'::float8",
        "'Infinity'::real",
        "'infinity'::date",
        "'-infinity'::timestamptz",
        "'infinity'::timestamp",
        "'0044-03-15 BC'::date",
        "'0044-03-15 12:00 BC'::timestamp",
        "'0044-03-15 12:00+00 BC'::timestamptz",
        "'10000-01-01'::date",
        "'294276-12-31 23:59:59+00'::timestamptz",
        "'24:00'::time",
        "'24:00:00+02'::timetz",
        "'1 mon'::interval",
        "'-2 years 3 days'::interval",
        "ARRAY[1.5, 'NaN']::numeric[]",
        "ARRAY['infinity'::date]",
        "ARRAY[ARRAY['24:00'::time]]",
        "ARRAY['1 year'::interval]",
        "'[1e400]'::json",
        "('{\"a\": ' || repeat('9', 120) || '}')::jsonb",
    ],
)
def test_what_an_answer_cannot_hold_is_refused_by_the_name_of_the_column(db: Worker, sql: str) -> None:
    error = refused(db, f'SELECT 1 AS good, {sql} AS "the odd one"')
    assert (error.code, error.retryable) == ("value_refused", False)
    assert "Column the odd one has " in error.message
    assert query(db, f"SELECT ({sql})::text AS value")["count"] == 1


@pytest.mark.parametrize(
    ("sql", "value"),
    [
        ("(-9223372036854775808)::bigint", -(2**63)),
        ("9007199254740993::numeric", 9007199254740993),
        ("(10::numeric ^ 99)::numeric(100, 0)", 10**99),
        ("(SELECT sum(n) FROM generate_series(1::bigint, 108) AS n)", 5886),
        ("12345678901234567890.12::numeric", "12345678901234567890.12"),
        ("0.00::numeric(5, 2)", "0.00"),
        ("-0.5::numeric", "-0.5"),
        ("'-1 days -00:00:01.5'::interval", -86401.5),
        ("'3 days'::interval", 259200.0),
        ("'-00:01'::interval", -60.0),
        ("'0'::interval", 0.0),
        ("'26:00:00'::interval", 93600.0),
        ("'0001-01-01'::date", "0001-01-01"),
        ("'9999-12-31 23:59:59.999999+00'::timestamptz", "9999-12-31T23:59:59.999999+00:00"),
        ("'1900-01-01 00:00:00+00:19:32'::timestamptz", "1899-12-31T23:40:28+00:00"),
        ("'23:59:59.5'::time", "23:59:59.500000"),
        ("'happy'::mood", "happy"),
        ("ARRAY['happy']::mood[]", "{happy}"),
        ("int4range(1, 10)", "[1, 10)"),
        ("daterange('2026-01-01', 'infinity')", "[2026-01-01, infinity)"),
        ("ROW(1, 'a')", ["1", "a"]),
        ("ROW(1, 'a')::pair", "(1,a)"),
        ("'10.0.0.0/8'::cidr", "10.0.0.0/8"),
        ("B'101'", "101"),
        ("'infinity'::text", "infinity"),
        ("'{}'::numeric[]", []),
        ("ARRAY[DATE '2026-05-01', NULL]", ["2026-05-01", None]),
    ],
)
def test_values_at_the_edges_of_their_types(db: Worker, postgres: PostgresServer, sql: str, value: Any) -> None:
    postgres.run("DO $$ BEGIN CREATE TYPE mood AS ENUM ('happy'); EXCEPTION WHEN duplicate_object THEN NULL; END $$")
    postgres.run("DO $$ BEGIN CREATE TYPE pair AS (a int, b text); EXCEPTION WHEN duplicate_object THEN NULL; END $$")
    (row,) = query(db, f"SELECT {sql} AS value")["rows"]
    assert row == {"value": value}
    assert type(row["value"]) is type(value)


def test_the_servers_own_settings_change_no_answer(db: Worker, postgres: PostgresServer) -> None:
    settings = {
        "DateStyle": "German",
        "IntervalStyle": "iso_8601",
        "TimeZone": "Asia/Tokyo",
        "extra_float_digits": "-9",
    }
    for name, value in settings.items():
        postgres.run(f"ALTER ROLE {postgres.user} SET {name} = '{value}'")
    try:
        with worker(db=connection(postgres)) as made:
            sql = (
                "SELECT DATE '2026-05-01' AS a, INTERVAL '1 day 2 min' AS b, TIMESTAMPTZ '2026-05-01 12:00+00' AS c, "
                "0.1::float8 AS d"
            )
            assert query(made, sql)["rows"] == [
                {"a": "2026-05-01", "b": 86520.0, "c": "2026-05-01T12:00:00+00:00", "d": 0.1}
            ]
    finally:
        for name in settings:
            postgres.run(f"ALTER ROLE {postgres.user} RESET {name}")


@pytest.mark.parametrize(
    ("cast", "value", "written"),
    [
        ("bigint", 2**63 - 1, "9223372036854775807"),
        ("numeric", 10**40, "1" + "0" * 40),
        ("numeric", "12345678901234567890.12", "12345678901234567890.12"),
        ("numeric", 0.1, "0.1"),
        ("float8", 0.1, "0.1"),
        ("timestamptz", "2026-05-01T12:00:00+02:00", "2026-05-01 10:00:00+00"),
        ("date", "infinity", "infinity"),
        ("time", "24:00", "24:00:00"),
        ("interval", "90 seconds", "00:01:30"),
        ("uuid", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
        ("int[]", [1, None, 3], "{1,NULL,3}"),
        ("numeric[]", [1, 2.5], "{1,2.5}"),
        ("text[]", [], "{}"),
        ("jsonb", {"n": 9007199254740993}, '{"n": 9007199254740993}'),
        ("boolean", True, "true"),
    ],
)
def test_a_parameter_reaches_the_database_exactly(db: Worker, cast: str, value: Any, written: str) -> None:
    assert query(db, f"SELECT ($1::{cast})::text AS value", value)["rows"] == [{"value": written}]


def test_bytes_are_given_as_base64(db: Worker) -> None:
    assert query(db, "SELECT decode($1, 'base64') AS value", "AP8=")["rows"] == [{"value": "AP8="}]


@pytest.mark.parametrize(
    "value", ["a\u0000b", "\ud800", ["a", "\u0000"], {"a": ["\u0000"]}, {"\u0000": 1}, [1, "a"], ["a", True], [1, True]]
)
def test_a_parameter_that_the_database_does_not_have_is_refused_by_its_number(db: Worker, value: Any) -> None:
    error = refused(db, "SELECT $1::text AS a, $2 AS b", "good", value)
    assert (error.code, error.retryable) == ("value_refused", False)
    assert "Parameter $2 " in error.message


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("born", "soon"),
        ("born", "2026-02-30"),
        ("since", "24:61"),
        ("price", "a lot"),
        ("count", 2**40),
        ("count", 1.5),
        ("tags", "{"),
        ("title", "a\u0000b"),
        ("extra", {"a": "\u0000"}),
        ("title", "\ud800"),
    ],
)
def test_a_value_that_a_column_does_not_take_is_refused_by_its_name(
    db: Worker, postgres: PostgresServer, column: str, value: Any
) -> None:
    rows: list[dict[str, Any]] = [{"id": "a", "title": "A", "isbn": "1"}, {"id": "b", "title": "B", "isbn": "2"}]
    rows = [dict.fromkeys([column], None) | row for row in rows]
    rows[1][column] = value
    error = db.fail("postgres.upsert", connection="db", table="shelf", rows=rows, conflict=["id"])
    assert (error.code, error.retryable) == ("value_refused", False)
    assert f"Column {column} " in error.message
    assert postgres.run("SELECT count(*) FROM shelf") == "0"
