"""What is kept long enough leaves: a few rows at a time, so that neither readers nor the projection wait."""

from __future__ import annotations

from collections.abc import Iterator

from streamflow.history.counters import HOUR_MS
from streamflow.history.database import Database, chunks, marks
from streamflow.history.sqlite import Sqlite
from streamflow.settings import History

DAY_MS = 86_400_000
_KEYS = {
    "event_fate": ("digest",),
    "log_line": ("run", "seq"),
    "trouble": ("id",),
    "notice": ("id",),
    "notification": ("notice", "person"),
    "hour": ("definition", "version", "status", "hour"),
    "step_hour": ("definition", "version", "step", "outcome", "hour"),
}
_NOTICES_DAYS = 30  # longer than `notifications.within_hours` can be
_PAGES = 2000  # of 4 kB, given back to the disk after a chunk


def expire(database: Database, history: History, now_ms: int) -> Iterator[int]:
    """Remove what is kept long enough, chunk by chunk: how many rows went each time."""
    rows = history.retention_rows
    if history.archive is None:  # otherwise `archive` moves them
        yield from _runs(database, now_ms - history.runs_days * DAY_MS, now_ms, rows)
    for table, column, days, unit_ms in (
        ("event_fate", "at_ms", history.events_days, 1),
        ("log_line", "at_ms", history.logs_days, 1),
        ("trouble", "at_ms", history.trouble_days, 1),
        ("notice", "at_ms", _NOTICES_DAYS, 1),
        ("notification", "changed_ms", _NOTICES_DAYS, 1),
        ("hour", "hour", history.counters_days, HOUR_MS),
        ("step_hour", "hour", history.counters_days, HOUR_MS),
    ):
        yield from _old(database, table, column, (now_ms - days * DAY_MS) // unit_ms, rows)


def _runs(database: Database, before_ms: int, now_ms: int, rows: int) -> Iterator[int]:
    while True:
        found = old_runs(database, before_ms, now_ms, rows)
        if not found:
            return
        with database.transaction():
            remove_runs(database, found)
        give_back(database)
        yield len(found)


def old_runs(database: Database, before_ms: int, now_ms: int, rows: int) -> list[tuple[int, str]]:
    """The runs that ended first, all of them before `before_ms`, without those that are kept longer: number and id."""
    found = database.rows(
        "SELECT r.no, r.run FROM run r WHERE r.ended_ms IS NOT NULL AND r.ended_ms < ? AND NOT EXISTS "
        "(SELECT 1 FROM kept k WHERE k.run = r.run AND k.until_ms > ?) ORDER BY r.ended_ms, r.no LIMIT ?",
        (before_ms, now_ms, rows),
    )
    return [(no, run) for no, run in found]


def remove_runs(database: Database, runs: list[tuple[int, str]]) -> None:
    """Delete runs with all that belongs to them, inside a transaction."""
    for some in chunks(runs):
        nos, names = [no for no, _ in some], [run for _, run in some]
        within = f"IN ({marks(len(some))})"
        database.run(f"DELETE FROM attr WHERE no {within}", nos)  # noqa: S608
        for table in ("sealed", "transition", "step_now", "log_line", "kept", "run"):
            database.run(f"DELETE FROM {table} WHERE run {within}", names)  # noqa: S608


def _old(database: Database, table: str, column: str, before: int, rows: int) -> Iterator[int]:
    """Delete the rows of a table that are older, oldest first."""
    key = ", ".join(_KEYS[table])
    while True:
        with database.transaction():
            removed = database.run(
                f"DELETE FROM {table} WHERE ({key}) IN "  # noqa: S608 - our own names
                f"(SELECT {key} FROM {table} WHERE {column} < ? ORDER BY {column} LIMIT ?)",
                (before, rows),
            )
        if not removed:
            return
        give_back(database)
        yield removed


def give_back(database: Database) -> None:
    """Give space that is free back to the disk, where the database does not by itself."""
    if isinstance(database, Sqlite):
        database.shrink(_PAGES)
