"""What the history store asks of a database: statements with `?` for values, transactions, numbered migrations. Both
dialects understand every statement of this package; what differs between them is in `sqlite` and `postgresql`."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from importlib import resources
from typing import Any, Literal, Protocol

from streamflow.errors import OperationError

Dialect = Literal["sqlite", "postgresql"]
Values = Sequence[Any]
IN = 500  # values of one list in a statement


class Database(Protocol):
    """One connection. Used by one thread at a time. Everything raises OperationError (`history_unavailable`)."""

    dialect: Dialect

    def rows(self, sql: str, values: Values = ()) -> list[tuple[Any, ...]]:
        """What a query gives."""

    def run(self, sql: str, values: Values = ()) -> int:
        """Run a statement: how many rows it touched."""

    def many(self, sql: str, values: Iterable[Values]) -> None:
        """Run a statement for each of `values`. Raises ValueError, TypeError or OverflowError for what it cannot
        keep."""

    def script(self, sql: str) -> None:
        """Run several statements without values."""

    def transaction(self) -> AbstractContextManager[None]:
        """Everything in it happens, or nothing."""

    def schema_version(self) -> int:
        """The number of the last migration; 0: there was none."""

    def set_schema_version(self, number: int) -> None:
        """Note the number of the last migration."""

    def close(self) -> None:
        """Let go of the connection."""


def unavailable(where: str, error: Exception) -> OperationError:
    """The database cannot do what was asked."""
    return OperationError(
        "history_unavailable",
        f"The history store {where} does not answer: {str(error).strip() or type(error).__name__}. Nothing is lost: "
        "the worker resumes where it was. Check the database, its disk and the section history of the settings.",
    )


def migrations(dialect: Dialect) -> list[tuple[int, str]]:
    """The numbered files of a dialect, in order: number and SQL."""
    folder = resources.files("streamflow.history") / "migrations" / dialect
    found = [
        (int(file.name.partition("_")[0]), file.read_text(encoding="utf-8"))
        for file in folder.iterdir()
        if file.name.endswith(".sql")
    ]
    return sorted(found)


def migrate(database: Database) -> int:
    """Apply the migrations that the database does not have, each in a transaction: the number of its last one.

    Raises OperationError (`history_newer`) if it was made by a later version of this program."""
    known = migrations(database.dialect)
    version = database.schema_version()
    newest = known[-1][0]
    if version > newest:
        raise OperationError(
            "history_newer",
            f"The history store has revision {version} and this program knows {newest}. Upgrade this program, or "
            "rebuild the store elsewhere: `streamflow history rebuild`.",
            retryable=False,
        )
    for number, sql in known:
        if number > version:
            with database.transaction():
                database.script(sql)
                database.set_schema_version(number)
    return newest


def require_migrated(database: Database) -> None:
    """Raises OperationError (`history_missing`, `history_older`) if a reader cannot read this store."""
    version, newest = database.schema_version(), migrations(database.dialect)[-1][0]
    if version == 0:
        raise OperationError(
            "history_missing",
            "There is no history yet. Start its worker: `streamflow worker history`.",
            retryable=False,
        )
    if version < newest:
        raise OperationError(
            "history_older",
            f"The history store has revision {version} and this program reads {newest}. Start `streamflow worker "
            "history` of this version: it brings the store up to date.",
            retryable=False,
        )


def digest_of(*texts: str) -> bytes:
    """The SHA-256 of texts, each with its number of characters before it, so that no two lists have the same. The
    migrations calculate it too."""
    return hashlib.sha256("".join(f"{len(text)}:{text}" for text in texts).encode()).digest()


def marks(count: int) -> str:
    """That many `?` with commas between."""
    return ",".join("?" * count)


def chunks(values: Sequence[Any], size: int = IN) -> Iterator[Sequence[Any]]:
    """`values` in pieces that fit one statement."""
    for at in range(0, len(values), size):
        yield values[at : at + size]


@contextmanager
def closing(database: Database) -> Iterator[Database]:
    """The database, closed at the end."""
    try:
        yield database
    finally:
        database.close()
