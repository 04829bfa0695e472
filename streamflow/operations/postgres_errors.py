"""PostgreSQL's errors in the language of operations: whose fault it is, and whether another attempt may help.

A message names tables, columns and constraints, and never the server's DETAIL, which holds whole rows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from streamflow.definition.catalog import OperationError as DeclaredError
from streamflow.errors import OperationError, with_remedy

if TYPE_CHECKING:
    import psycopg

ERRORS = (
    DeclaredError(id="database_unavailable", title="the database cannot be reached, went away, or is too busy"),
    DeclaredError(id="database_missing", title="the server has no database of that name", retryable=False),
    DeclaredError(id="database_failed", title="the database ended with an error of its own"),
    DeclaredError(id="statement_timeout", title="the database took longer than the attempt may"),
    DeclaredError(id="transaction_conflict", title="another transaction was in the way"),
    DeclaredError(id="statement_invalid", title="the statement cannot be run", retryable=False),
    DeclaredError(id="table_missing", title="there is no such table", retryable=False),
    DeclaredError(id="column_missing", title="there is no such column", retryable=False),
    DeclaredError(id="value_refused", title="a value does not fit where it is used", retryable=False),
    DeclaredError(id="unique_violation", title="another row has these values already", retryable=False),
    DeclaredError(id="foreign_key_violation", title="a row that is referred to is not there", retryable=False),
    DeclaredError(id="not_null_violation", title="a column that needs a value has none", retryable=False),
    DeclaredError(id="check_violation", title="a check of the table refuses the row", retryable=False),
    DeclaredError(id="exclusion_violation", title="an exclusion constraint refuses the row", retryable=False),
)

# By SQLSTATE, or else by its class: code, whether another attempt may help, and what to do.
_STATES: dict[str, tuple[str, bool, str]] = {
    "08P01": ("statement_invalid", False, "correct the statement or its parameters"),
    "21000": ("rows_invalid", False, "give each key once"),
    "23502": ("not_null_violation", False, "give the column a value"),
    "23503": ("foreign_key_violation", False, "write what it refers to first"),
    "23505": ("unique_violation", False, "correct the row, or name this constraint's columns in conflict"),
    "23514": ("check_violation", False, "correct the row"),
    "23P01": ("exclusion_violation", False, "correct the row"),
    "25006": ("write_refused", False, "read only, or write by postgres.upsert"),
    "28": ("credentials_refused", False, "correct the connection's user and password"),
    "3D000": ("database_missing", False, "create it or correct the connection's url"),
    "40": ("transaction_conflict", True, "try again"),
    "42501": ("access_denied", False, "grant the connection's user what is missing"),
    "42P01": ("table_missing", False, "create it or correct its name"),
    "42703": ("column_missing", False, "create it or correct its name"),
    "53": ("database_unavailable", True, "try again when the server has room"),
    "55P03": ("transaction_conflict", True, "try again"),
    "57014": ("statement_timeout", True, "make it quicker, or give the step more time"),
    "57P": ("database_unavailable", True, "try again"),
    "08": ("database_unavailable", True, "try again"),
    "0A": ("statement_invalid", False, "write it otherwise"),
    "22": ("value_refused", False, "correct the value"),
    "23": ("check_violation", False, "correct the row"),
    "26": ("statement_invalid", False, "correct the statement"),
    "3F": ("table_missing", False, "create the schema or correct its name"),
    "42": ("statement_invalid", False, "correct the statement"),
    "44": ("check_violation", False, "correct the row"),
    "58": ("database_unavailable", True, "try again"),
}
# A failed connect has no SQLSTATE, only these words (or a translation: then it counts as unavailable).
_CONNECTING = {
    "no password supplied": "28",
    "authentication failed": "28",
    "no pg_hba.conf entry": "28",
    'FATAL:  role "': "28",
    'FATAL:  database "': "3D000",
}


def operation_error(error: psycopg.Error, connection: str, *, connecting: bool, lost: bool) -> OperationError:
    """`error` of the connection called `connection`, as an OperationError with one of the declared codes."""
    import psycopg

    state, said = error.sqlstate or "", error.diag.message_primary or ""
    if not state and connecting:
        text = str(error)
        state = next((found for words, found in _CONNECTING.items() if words in text), "08")
        said = text.strip().splitlines()[-1].split("FATAL:  ")[-1] if text.strip() else type(error).__name__
    elif not state:
        known = {psycopg.DataError: "22", psycopg.ProgrammingError: "42", psycopg.NotSupportedError: "0A"}
        state = next((found for kind, found in known.items() if isinstance(error, kind) and not lost), "08")
        said = said or "the connection was lost"
        if not lost:
            said = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    code, retryable, remedy = next(
        (_STATES[prefix] for prefix in (state, state[:3], state[:2]) if prefix in _STATES),
        ("database_failed", True, "see its log"),
    )
    constraint = (
        f" (constraint {error.diag.constraint_name})"
        if error.diag.constraint_name and error.diag.constraint_name not in said
        else ""
    )
    unreached = code in ("database_unavailable", "credentials_refused", "database_missing")
    expected = "expected to reach the database" if unreached else "expected the database to execute this"
    return OperationError(
        code,
        with_remedy(f"{expected} but {said}{constraint}", remedy),
        retryable=retryable,
        connection=connection,
        sqlstate=error.sqlstate,
    )
