"""SQLite: the default store, one file. One process writes, any number read (WAL)."""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from streamflow.errors import OperationError
from streamflow.history.database import Dialect, Values, digest_of, unavailable

_BUSY_S = 10.0
_WRITER = (
    "PRAGMA auto_vacuum = INCREMENTAL",  # counts only before there are tables: the file shrinks after retention
    "PRAGMA journal_mode = WAL",
    # A crash of the process loses nothing; one of the machine may lose the last transactions, offsets included, and
    # these are projected again.
    "PRAGMA synchronous = NORMAL",
    "PRAGMA cache_size = -65536",
    "PRAGMA temp_store = MEMORY",
)
_READER = ("PRAGMA query_only = ON", "PRAGMA cache_size = -32768")
_MAPPED_BYTES = 1 << 30


class Sqlite:
    """A connection to the file `path`. With `write` it makes the file; otherwise it only reads, and the file must be
    there."""

    dialect: Dialect = "sqlite"

    def __init__(self, path: Path, *, write: bool) -> None:
        self._path = path
        if not write and not path.is_file():
            raise OperationError(
                "history_missing",
                f"There is no history yet: {path} does not exist. Start its worker, `streamflow worker history`, or "
                "correct history.path.",
                retryable=False,
            )
        try:
            if write:
                path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False)
            for pragma in _WRITER if write else _READER:
                self._connection.execute(pragma)
            self._connection.execute(f"PRAGMA mmap_size = {_MAPPED_BYTES}")
            self._connection.create_function("digest_of", -1, digest_of, deterministic=True)  # for migrations
        except (sqlite3.Error, OSError) as error:
            raise unavailable(str(path), error) from error

    def rows(self, sql: str, values: Values = ()) -> list[tuple[Any, ...]]:
        try:
            return self._connection.execute(sql, values).fetchall()
        except sqlite3.Error as error:
            raise unavailable(str(self._path), error) from error

    def run(self, sql: str, values: Values = ()) -> int:
        try:
            return self._connection.execute(sql, values).rowcount
        except sqlite3.Error as error:
            raise unavailable(str(self._path), error) from error

    def many(self, sql: str, values: Iterable[Values]) -> None:
        try:
            self._connection.executemany(sql, values)
        except sqlite3.DataError as error:
            raise ValueError(str(error)) from error
        except sqlite3.Error as error:
            raise unavailable(str(self._path), error) from error

    def script(self, sql: str) -> None:
        # `executescript` would commit the transaction that it is in.
        statement = ""
        for line in sql.splitlines(keepends=True):
            statement += line
            if sqlite3.complete_statement(statement):
                self.run(statement)
                statement = ""

    @contextmanager
    def transaction(self) -> Iterator[None]:
        self.run("BEGIN IMMEDIATE")
        try:
            yield
            self.run("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise

    def schema_version(self) -> int:
        return int(self.rows("PRAGMA user_version")[0][0])

    def set_schema_version(self, number: int) -> None:
        self.run(f"PRAGMA user_version = {int(number)}")

    def shrink(self, pages: int) -> None:
        """Give up to `pages` free pages back to the disk."""
        self.rows(f"PRAGMA incremental_vacuum({int(pages)})")

    def close(self) -> None:
        self._connection.close()


@contextmanager
def only_writer(path: Path) -> Iterator[None]:
    """Makes sure that one process of this machine writes the file; the operating system ends the lock with the process.

    Raises OperationError (`history_in_use`)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lock: IO[str] = path.with_name(path.name + ".lock").open("a+")
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise OperationError(
                "history_in_use",
                f"Another history worker writes {path}. Stop it first, or name another file in history.path; several "
                "workers share the work with PostgreSQL only.",
                retryable=False,
            ) from error
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        yield
    finally:
        lock.close()
