"""PostgreSQL: for several sidecars on several machines, and for more than one history worker. Tables are in a schema of
their own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from streamflow.errors import OperationError
from streamflow.history.database import Dialect, Values, unavailable
from streamflow.operations.connections import client_module
from streamflow.secrets import resolve_secret
from streamflow.settings import History

if TYPE_CHECKING:
    import psycopg

_CONNECT_S = 10
# Readers walk indexes in their order; a hash or a merge would read whole tables first.
_READER = " -c enable_hashjoin=off -c enable_mergejoin=off -c default_transaction_read_only=on"
_NUL = "\x00"  # which PostgreSQL keeps in no text; JSON may have it


class PostgreSQL:
    """A connection to the database that `settings` name. With `write` it makes the schema; otherwise it only reads."""

    dialect: Dialect = "postgresql"

    def __init__(self, settings: History, *, write: bool) -> None:
        self._psycopg = client_module("psycopg", "postgres")
        self._where = settings.postgresql or ""
        given: dict[str, Any] = {"user": settings.user}
        if settings.password is not None:
            given["password"] = resolve_secret(settings.password)
        try:
            self._connection: psycopg.Connection[Any] = self._psycopg.connect(
                self._where,
                autocommit=True,
                connect_timeout=_CONNECT_S,
                application_name="streamflow-history",
                options=f"-c search_path={settings.schema_name}" + ("" if write else _READER),
                **{name: value for name, value in given.items() if value is not None},
            )
        except self._psycopg.Error as error:
            raise unavailable(self._where, error) from error
        self._schema = settings.schema_name
        if write:
            self.run(f"CREATE SCHEMA IF NOT EXISTS {settings.schema_name}")

    def rows(self, sql: str, values: Values = ()) -> list[tuple[Any, ...]]:
        try:
            return self._connection.execute(_own(sql), _kept(values)).fetchall()
        except self._psycopg.Error as error:
            raise unavailable(self._where, error) from error

    def run(self, sql: str, values: Values = ()) -> int:
        try:
            return self._connection.execute(_own(sql), _kept(values)).rowcount
        except self._psycopg.Error as error:
            raise unavailable(self._where, error) from error

    def many(self, sql: str, values: Iterable[Values]) -> None:
        try:
            with self._connection.cursor() as cursor:
                cursor.executemany(_own(sql), [_kept(each) for each in values])
        except (self._psycopg.DataError, self._psycopg.errors.ProgramLimitExceeded) as error:
            raise ValueError(str(error)) from error  # the value's fault: a text too long for an index, too
        except self._psycopg.Error as error:
            raise unavailable(self._where, error) from error

    def script(self, sql: str) -> None:
        try:
            self._connection.execute(sql.encode())
        except self._psycopg.Error as error:
            raise unavailable(self._where, error) from error

    @contextmanager
    def transaction(self) -> Iterator[None]:
        self.run("BEGIN")
        try:
            yield
            self.run("COMMIT")
        except BaseException:
            try:
                self._connection.execute("ROLLBACK")
            except self._psycopg.Error:
                self._connection.close()  # the server ends it then
            raise

    def schema_version(self) -> int:
        table = self.rows("SELECT to_regclass(?)", (f"{self._schema}.revision",))[0][0]
        return 0 if table is None else int(self.rows("SELECT coalesce(max(number), 0) FROM revision")[0][0])

    def set_schema_version(self, number: int) -> None:
        self.run("CREATE TABLE IF NOT EXISTS revision (number BIGINT PRIMARY KEY)")
        self.run("INSERT INTO revision (number) VALUES (?)", (number,))

    def close(self) -> None:
        self._connection.close()


def _own(sql: str) -> str:
    """The statement as the client wants it: no statement of ours has a percent sign or another question mark."""
    return sql.replace("?", "%s")


def _kept(values: Values) -> Values:
    return [value.replace(_NUL, "\ufffd") if isinstance(value, str) and _NUL in value else value for value in values]


def require_url(settings: History) -> None:
    """Raises OperationError (`history_url_invalid`) if the url holds a password, which belongs into a secret."""
    from psycopg import ProgrammingError
    from psycopg.conninfo import conninfo_to_dict

    try:
        parts = conninfo_to_dict(settings.postgresql or "")
    except ProgrammingError as error:
        raise _invalid("it is none") from error
    if "password" in parts:
        raise _invalid("there is a password in it")


def _invalid(why: str) -> OperationError:
    return OperationError(
        "history_url_invalid",
        f"expected history.postgresql to be a url such as postgresql://host:5432/database but {why}. Correct it, and "
        "give the password as history.password.",
        retryable=False,
    )
