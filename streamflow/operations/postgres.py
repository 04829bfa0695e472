"""`postgres.query` and `postgres.upsert`: rows of a PostgreSQL database, read and written.

Neither can do harm by being done twice: a query runs in a read-only transaction, an upsert leaves the same rows when it
is repeated. Values never become part of a statement's text, and names of tables and columns only as quoted identifiers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from streamflow.definition.catalog import OperationError as DeclaredError
from streamflow.definition.catalog import OperationSpec
from streamflow.errors import OperationError, with_remedy
from streamflow.operations.connections import CONNECTION_ERRORS, CONNECTION_INPUT, EXTRA_MISSING, client_module
from streamflow.operations.contract import Attempt, Health, Operation
from streamflow.operations.postgres_errors import ERRORS
from streamflow.operations.postgres_pool import Databases
from streamflow.operations.postgres_values import check_texts, columns_of, parameter, plain_rows, with_whole_numbers
from streamflow.settings import Settings

if TYPE_CHECKING:
    import psycopg

_NO_UNIQUE_INDEX = "42P10"
_SCHEMA_OF = (  # of a table, which is looked for as every statement does
    "SELECT n.nspname FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace "
    "WHERE c.oid = pg_catalog.to_regclass($1)"
)
_ROWS = 1000
_MOST_ROWS = 10_000

_TABLE = r'^[^."\x00]{1,63}(\.[^."\x00]{1,63})?$'
_COLUMN = {"type": "string", "minLength": 1, "maxLength": 63}
_ROW = {"type": "object", "minProperties": 1}


class PostgresQuery:
    """Reads rows. Whole numbers keep all digits, other numbers of type numeric are text with all digits, times are ISO
    8601 in UTC, bytea is base64."""

    spec = OperationSpec(
        name="postgres.query",
        title="Query PostgreSQL",
        description="Runs one SELECT (or WITH, VALUES) in a read-only transaction and gives its rows. More rows than "
        "`limit` are an error, so no report is silently cut. Whole numbers keep all digits; other values of `numeric` "
        "are text with all digits, for `decimal(...)`; times are ISO 8601 in UTC, `bytea` base64. What an answer "
        "cannot hold exactly is an error that names the column: operations.md has the table of types.",
        input={
            "type": "object",
            "properties": {
                "connection": CONNECTION_INPUT,
                "sql": {
                    "type": "string",
                    "minLength": 1,
                    "maxLength": 100_000,
                    "description": "one query, with $1, $2 ... for the values",
                },
                "parameters": {
                    "type": "array",
                    "maxItems": 1000,
                    "description": "the values of $1, $2 ...; objects are jsonb, lists arrays",
                },
                "limit": {
                    "type": "integer",
                    "minimum": 1,
                    "maximum": _MOST_ROWS,
                    "description": f"maximum number of rows; default: {_ROWS}",
                },
            },
            "required": ["connection", "sql"],
            "additionalProperties": False,
        },
        output={
            "type": "object",
            "properties": {"rows": {"type": "array", "items": {"type": "object"}}, "count": {"type": "integer"}},
            "required": ["rows", "count"],
            "additionalProperties": False,
        },
        errors=[
            *CONNECTION_ERRORS,
            EXTRA_MISSING,
            *ERRORS,
            DeclaredError(id="too_many_rows", title="the query gives more rows than its limit", retryable=False),
            DeclaredError(id="write_refused", title="the query would write", retryable=False),
        ],
        timeout="30s",
    )

    def __init__(self, databases: Databases) -> None:
        self._databases = databases

    async def start(self) -> None:
        """Nothing yet: connections are made when they are needed."""

    async def run(self, input: Any, attempt: Attempt) -> Any:
        """The rows, as `{rows, count}`. Raises OperationError."""
        client_module("psycopg", "postgres")
        limit = input.get("limit", _ROWS)
        values = [parameter(value, number) for number, value in enumerate(input.get("parameters", ()), 1)]
        async with self._databases.transaction(input["connection"], attempt, read_only=True) as connection:
            # A cursor of the server's: no more rows than asked for leave it, and it takes queries only. With `binary`
            # the statement goes by the extended protocol even without values, where a second one behind a semicolon is
            # refused.
            await connection.execute(f"DECLARE streamflow NO SCROLL CURSOR FOR {input['sql']}", values, binary=True)
            cursor = await connection.execute(f"FETCH FORWARD {limit + 1} FROM streamflow")
            rows = plain_rows(columns_of(cursor), await cursor.fetchall())
        if len(rows) > limit:
            message = (
                f"expected at most {limit} rows but the query gives more. Narrow it, or raise limit (at most "
                f"{_MOST_ROWS})."
            )
            raise OperationError("too_many_rows", message, retryable=False)
        return {"rows": rows, "count": len(rows)}

    async def health(self) -> Health:
        """Whether there are databases, and what went wrong with them last."""
        return self._databases.condition.health()

    async def close(self) -> None:
        """Closes the connections."""
        await self._databases.close()


class PostgresUpsert:
    """Writes rows: those that are there under the conflict columns are replaced, the others inserted. In one
    transaction."""

    spec = OperationSpec(
        name="postgres.upsert",
        title="Upsert into PostgreSQL",
        description="Inserts one or more rows into a table; where a row with the same conflict columns is there, its "
        "other columns are set. Done twice it "
        "leaves the same rows as once; a repetition that comes late sets them again, over what others have set since. "
        "Columns that are not given keep "
        "their value, or get their default.",
        input={
            "type": "object",
            "properties": {
                "connection": CONNECTION_INPUT,
                "table": {
                    "type": "string",
                    "pattern": _TABLE,
                    "description": "table, or schema.table, as spelled in the database",
                },
                "row": _ROW | {"description": "one row, values by column"},
                "rows": {
                    "type": "array",
                    "items": _ROW,
                    "maxItems": _MOST_ROWS,
                    "description": "several rows with the same columns, instead of row",
                },
                "conflict": {
                    "type": "array",
                    "items": _COLUMN,
                    "minItems": 1,
                    "description": "columns of one unique index of the table, all of them; without such an index the "
                    "database refuses the upsert",
                },
                "idempotency_column": _COLUMN
                | {
                    "description": "a column that gets the attempt's idempotency key (and /0, /1 ... for rows), for "
                    "rows with no key of their own"
                },
            },
            "required": ["connection", "table"],
            "additionalProperties": False,
        },
        output={
            "type": "object",
            "properties": {"count": {"type": "integer", "description": "rows inserted or set"}},
            "required": ["count"],
            "additionalProperties": False,
        },
        errors=[
            *CONNECTION_ERRORS,
            EXTRA_MISSING,
            *ERRORS,
            DeclaredError(
                id="rows_invalid",
                title="the rows have different columns, repeat a key, or no columns identify them",
                retryable=False,
            ),
        ],
        timeout="30s",
    )

    def __init__(self, databases: Databases) -> None:
        self._databases = databases

    async def start(self) -> None:
        """Nothing yet: connections are made when they are needed."""

    async def run(self, input: Any, attempt: Attempt) -> Any:
        """How many rows there were, as `{count}`. Raises OperationError."""
        client_module("psycopg", "postgres")
        rows, conflict = _rows(input, attempt)
        if not rows:
            return {"count": 0}
        for row in rows:
            for name, value in row.items():
                check_texts(name, "The name of a column")
                check_texts(value, f"Column {name}")
        table, columns = input["table"], sorted(rows[0])
        try:
            async with self._databases.transaction(input["connection"], attempt, read_only=False) as connection:
                statement = upsert_statement(table, await _row_type(connection, table), columns, conflict)
                cursor = await connection.execute(statement, [_json(rows)])
        except OperationError as error:
            raise await self._explained(error, input, rows, conflict, attempt) from error
        # DO NOTHING counts no row that is there already.
        return {"count": cursor.rowcount if set(rows[0]) > set(conflict) else len(rows)}

    async def _explained(
        self,
        error: OperationError,
        input: Any,
        rows: Sequence[dict[str, Any]],
        conflict: Sequence[str],
        attempt: Attempt,
    ) -> OperationError:
        """`error` with the columns that it is about, where the database does not name them."""
        columns = ", ".join(conflict)
        if error.facts.get("sqlstate") == _NO_UNIQUE_INDEX:
            text = (
                f"The table {input['table']} has no unique index on exactly the conflict columns {columns} (a partial "
                "index does not count). Create one (CREATE UNIQUE INDEX), or name the columns of another."
            )
            return OperationError(error.code, text, retryable=False, **error.facts)
        if error.code != "value_refused":
            return error
        for name in sorted(rows[0]):
            values = [{name: row[name]} for row in rows]
            try:
                async with self._databases.transaction(input["connection"], attempt, read_only=True) as connection:
                    kind = await _row_type(connection, input["table"])
                    await connection.execute(_reading_statement(kind, name), [_json(values)])
            except OperationError as found:
                if found.code == "value_refused":
                    text = f"Column {name} does not take its value: {found.message}"
                    return OperationError(error.code, text, retryable=False, **error.facts)
                return error
        return error

    async def health(self) -> Health:
        """Whether there are databases, and what went wrong with them last."""
        return self._databases.condition.health()

    async def close(self) -> None:
        """Closes the connections."""
        await self._databases.close()


def _reading_statement(kind: str, column: str) -> str:
    """Has the database read values as it would for an upsert, of one column and without writing them."""
    return f"SELECT max(({quoted(column)})::text) FROM jsonb_populate_recordset(NULL::{kind}, $1::jsonb)"  # noqa: S608 - all of them quoted


async def _row_type(connection: psycopg.AsyncConnection[Any], table: str) -> str:
    """The type of the rows of `table`, as SQL has it. It is named with its schema: without one, `line`, `date` and many
    others would be types of PostgreSQL's own."""
    name = _identifier(table)
    cursor = await connection.execute(_SCHEMA_OF, [name])
    found = await cursor.fetchone()
    return name if found is None else f"{quoted(found[0])}.{quoted(table.rpartition('.')[2])}"


def _json(rows: Sequence[dict[str, Any]]) -> str:
    return msgspec.json.encode([with_whole_numbers(row) for row in rows]).decode()


def upsert_statement(table: str, kind: str, columns: Sequence[str], conflict: Sequence[str]) -> str:
    """The statement that upserts the rows of its one parameter, a JSON array, where rows have the type `kind`. The
    database itself reads each value as its column's type."""
    names = ", ".join(quoted(column) for column in columns)
    changed = ", ".join(f"{quoted(column)} = EXCLUDED.{quoted(column)}" for column in columns if column not in conflict)
    return (
        f"INSERT INTO {_identifier(table)} ({names}) "  # noqa: S608 - all of them quoted
        f"SELECT {names} FROM jsonb_populate_recordset(NULL::{kind}, $1::jsonb) "
        f"ON CONFLICT ({', '.join(quoted(column) for column in conflict)}) DO "
        f"{f'UPDATE SET {changed}' if changed else 'NOTHING'}"
    )


def _identifier(table: str) -> str:
    return ".".join(quoted(part) for part in table.split("."))


def quoted(name: str) -> str:
    """`name` as an SQL identifier, whatever is in it."""
    return '"' + name.replace('"', '""') + '"'


def _rows(input: Any, attempt: Attempt) -> tuple[list[dict[str, Any]], list[str]]:
    """The rows to write and the columns that identify them. Raises OperationError (`rows_invalid`)."""
    if ("row" in input) == ("rows" in input):
        raise _refused(
            "either row or rows", "both are there" if "row" in input else "there is neither", "give one of them"
        )
    rows = [dict(row) for row in input.get("rows", [input.get("row")])]
    column = input.get("idempotency_column")
    conflict = input.get("conflict") or ([column] if column else [])
    if not conflict:
        raise _refused(
            "columns that identify a row",
            "there is neither conflict nor idempotency_column",
            "name a unique constraint's columns",
        )
    for number, row in enumerate(rows):
        if column is not None:
            if column in row:
                raise _refused(
                    f"no value for {column}", f"row {number} has one", "leave it out: it gets the idempotency key"
                )
            row[column] = attempt.idempotency_key if "row" in input else f"{attempt.idempotency_key}/{number}"
        if row.keys() != rows[0].keys():
            raise _refused(
                "rows with the same columns",
                f"row {number} and row 0 differ in {_listed(row.keys() ^ rows[0].keys())}",
                "give all of them",
            )
        if missing := set(conflict) - row.keys():
            raise _refused(
                "a value for every conflict column", f"row {number} has none for {_listed(missing)}", "give it"
            )
    return rows, list(conflict)


def _listed(names: set[str]) -> str:
    return ", ".join(sorted(names))


def _refused(expected: str, found: str, remedy: str) -> OperationError:
    return OperationError("rows_invalid", with_remedy(f"expected {expected} but {found}", remedy), retryable=False)


def operations(settings: Settings) -> Sequence[Operation]:
    """What this module has."""
    databases = Databases(settings)
    return (PostgresQuery(databases), PostgresUpsert(databases))


SPECS = (PostgresQuery.spec, PostgresUpsert.spec)
