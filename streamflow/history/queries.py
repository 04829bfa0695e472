"""Lists of runs: which index is walked, and what is checked on the way.

A list is one walk down an index in the order that was asked for. Of all conditions that have an index the one that is
rarest lately leads; the others are checked row by row, at most SCANNED of them for a page. So no list takes long,
whatever it asks for: a page that came to that limit has fewer rows and a cursor that continues where it stopped.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from msgspec import Struct

from streamflow.errors import Rejected
from streamflow.history.cursors import decode_cursor, encode_cursor
from streamflow.history.database import Database, chunks, marks
from streamflow.history.filters import Condition, Plan, RunFilter, equal, plan
from streamflow.history.rows import RunRow
from streamflow.history.writer import RUN_COLUMNS, run_row

Sort = Literal["-started", "started", "-ended", "ended", "-duration", "duration"]
SORTS: tuple[Sort, ...] = Sort.__args__  # type: ignore[attr-defined]
SCANNED = 10_000  # index entries that one page looks at, at most
SAMPLE = 1000  # of them to learn how rare a condition is
_FEW = 8  # conditions that are sampled
_COLUMN: Mapping[str, str] = {"started": "started_ms", "ended": "ended_ms", "duration": "duration_ms"}


class Page(Struct, frozen=True, kw_only=True):
    """A page of runs."""

    rows: list[RunRow]
    """The runs, in the order that was asked for."""

    next: str | None
    """The cursor of the next page; None: there is none."""

    partial: bool = False
    """Whether the page stopped at the limit of what is looked at; the next one continues there."""


class Count(Struct, frozen=True):
    """How many there are."""

    n: int
    """The number, or as far as was counted."""

    capped: bool
    """Whether there may be more."""


def list_runs(
    database: Database, wanted: RunFilter, *, sort: Sort = "-started", cursor: str | None = None, limit: int = 50
) -> Page:
    """A page of the runs that fit. Raises Rejected (`filter_invalid`, `cursor_invalid`), OperationError."""
    if sort not in SORTS:
        raise Rejected("filter_invalid", f"expected a sort that is one of {', '.join(SORTS)} but found {sort!r}.")
    if sort.lstrip("-") != "started" and (
        wanted.status in ("open", "parked") or wanted.waits_for or wanted.parked_step
    ):
        return Page(rows=[], next=None)  # these runs have not ended
    walk = _Walk(database, plan(wanted), wanted, sort)
    after = decode_cursor(cursor, sort) if cursor is not None else None
    matched = walk.matches(after, limit + 1)
    shown = matched[:limit]
    rows = _rows(database, [no for _, no in shown])
    if len(matched) > limit:
        return Page(rows=rows, next=encode_cursor(sort, shown[-1]))
    reached = walk.limit_of(after)
    return Page(rows=rows, next=None if reached is None else encode_cursor(sort, reached), partial=reached is not None)


def count_runs(database: Database, wanted: RunFilter, cap: int = 10_000) -> Count:
    """How many runs fit, counted up to `cap`. Raises Rejected (`filter_invalid`), OperationError."""
    planned = plan(wanted)
    walk = _Walk(database, planned, wanted, "-started")
    if len(planned.conditions) == 1 and planned.conditions[0].lead:
        walk.lead_by(planned.conditions[0])
    n = walk.counted(cap + 1)
    return Count(min(n, cap), n > cap or (bool(walk.checks) and walk.limit_of(None) is not None))


class _Walk:
    """The walk down one index, and what it checks."""

    def __init__(self, database: Database, planned: Plan, wanted: RunFilter, sort: Sort) -> None:
        self._database = database
        self._bounds = list(planned.bounds)
        self._down = sort.startswith("-")
        self._order = "DESC" if self._down else "ASC"
        self._column = _COLUMN[sort.lstrip("-")]
        self._lead = self._few(planned.conditions)
        self._small = self._lead is not None
        by_start = self._column == "started_ms"
        if self._lead is None and by_start:
            self._lead = self._rarest([one for one in planned.conditions if one.lead and one.ordered])
        elif self._lead is None and wanted.definition is not None:
            # the indexes of ends and durations begin with the definition, or with nothing
            self._lead = equal({"definition": wanted.definition})
        self.checks = [one for one in planned.conditions if one is not self._lead]
        if not by_start and self._bounds:
            self.checks += [Condition(sql, (value,), ("started_ms",)) for sql, value in self._bounds]
            self._bounds = [] if not self._small else self._bounds
        self._table = self._lead.table if self._lead is not None else "run"

    def lead_by(self, only: Condition) -> None:
        """Walk what meets the only condition there is, in any order."""
        self._lead, self._table, self.checks = only, only.table, []

    def _few(self, conditions: list[Condition]) -> Condition | None:
        """A condition that so few runs meet that all of them can be looked at."""
        for one in [one for one in conditions if one.lead][:_FEW]:
            sql, values = self._where(one)
            inner = f"SELECT 1 FROM {one.table} r WHERE {sql} LIMIT {SAMPLE}"  # noqa: S608 - our own names
            if self._database.rows(f"SELECT count(*) FROM ({inner}) s", values)[0][0] < SAMPLE:  # noqa: S608
                return one
        return None

    def _rarest(self, leaders: list[Condition]) -> Condition | None:
        """The condition of which SAMPLE runs reach back furthest."""
        if len(leaders) < 2:
            return leaders[0] if leaders else None
        sampled = [(self._reach(one), place) for place, one in enumerate(leaders[:_FEW])]
        return leaders[min(sampled)[1]]

    def _reach(self, one: Condition) -> int:
        sql, values = self._where(one)
        inner = (
            f"SELECT r.started_ms FROM {one.table} r WHERE {sql} "  # noqa: S608 - our own names
            f"ORDER BY r.started_ms DESC, r.no DESC LIMIT 1 OFFSET {SAMPLE - 1}"
        )
        found = self._database.rows(inner, values)
        return int(found[0][0]) if found else 0

    def _where(self, lead: Condition | None) -> tuple[str, list[Any]]:
        parts = [lead.lead] if lead is not None else []
        values = list(lead.lead_values) if lead is not None else []
        for sql, value in self._bounds:
            parts.append(sql)
            values.append(value)
        return " AND ".join(parts) or "1 = 1", values

    def matches(self, after: tuple[int, int] | None, most: int) -> list[tuple[int, int]]:
        """(value, no) of runs that fit, in order behind `after`, at most `most`."""
        if self._small:
            return self._sorted(after)[:most]
        sql, values = self._looked_at(after)
        order = ""
        if self._database.dialect == "postgresql":  # SQLite keeps the order of the inner query, and would sort again
            order = f" ORDER BY r.value {self._order}, r.no {self._order}"
        found = self._database.rows(f"SELECT r.value, r.no FROM {sql}{order} LIMIT {int(most)}", values)  # noqa: S608
        return [(value, no) for value, no in found]

    def counted(self, most: int) -> int:
        """How many runs fit of those that are looked at, at most `most`."""
        if not self.checks:
            sql, values = self._where(self._lead)
            inner = f"SELECT 1 FROM {self._table} r WHERE {sql} LIMIT {int(most)}"  # noqa: S608 - our own names
        else:
            sql, values = self._looked_at(None)
            inner = f"SELECT 1 FROM {sql} LIMIT {int(most)}"  # noqa: S608
        return int(self._database.rows(f"SELECT count(*) FROM ({inner}) s", values)[0][0])  # noqa: S608

    def limit_of(self, after: tuple[int, int] | None) -> tuple[int, int] | None:
        """The last entry that was looked at, if there are more behind it."""
        if self._small:
            return None
        sql, values = self._entries(after, ())
        found = self._database.rows(f"{sql} LIMIT 2 OFFSET {SCANNED - 1}", values)
        return (found[0][0], found[0][1]) if len(found) == 2 else None

    def _entries(self, after: tuple[int, int] | None, columns: Sequence[str]) -> tuple[str, list[Any]]:
        """The entries of the index in order behind `after`, with `columns` of the run."""
        sql, values = self._where(self._lead)
        column = f"r.{self._column}"
        if self._column != "started_ms":
            sql += f" AND {column} IS NOT NULL"
        if after is not None:
            sql += f" AND ({column}, r.no) {'<' if self._down else '>'} (?, ?)"
            values += after
        more = "".join(f", r.{name}" for name in columns)
        return (
            f"SELECT {column} AS value, r.no, r.started_ms{more} FROM {self._table} r WHERE {sql} "  # noqa: S608
            f"ORDER BY {column} {self._order}, r.no {self._order}",
            values,
        )

    def _looked_at(self, after: tuple[int, int] | None) -> tuple[str, list[Any]]:
        """The entries that fit, of the first SCANNED, as what stands behind FROM."""
        columns = sorted({name for one in self.checks for name in one.columns} - {"started_ms"})
        joined = self._table == "attr" and bool(columns)
        sql, values = self._entries(after, () if self._table == "attr" else columns)
        parts, checks = [one.check for one in self.checks], [value for one in self.checks for value in one.values]
        if joined:
            # no other order of the join: the entries come first
            parts = ["w.no = r.no", *[_of_run(one) for one in self.checks]]
        where = f" WHERE {' AND '.join(parts)}" if parts else ""
        return f"({sql} LIMIT {SCANNED}) r{' CROSS JOIN run w' if joined else ''}{where}", [*values, *checks]

    def _sorted(self, after: tuple[int, int] | None) -> list[tuple[int, int]]:
        """The few runs of the leading condition that fit, in the order that was asked for."""
        sql, values = self._where(self._lead)
        nos = [no for (no,) in self._database.rows(f"SELECT r.no FROM {self._table} r WHERE {sql}", values)]  # noqa: S608
        checks = "".join(f" AND {one.check}" for one in self.checks)
        checked = [value for one in self.checks for value in one.values]
        found: list[tuple[int, int]] = []
        for some in chunks(nos):
            found += [
                (value, no)
                for value, no in self._database.rows(
                    f"SELECT r.{self._column}, r.no FROM run r WHERE r.no IN ({marks(len(some))}) "  # noqa: S608
                    f"AND r.{self._column} IS NOT NULL{checks}",
                    [*some, *checked],
                )
            ]
        found.sort(reverse=self._down)
        if after is None:
            return found
        return [entry for entry in found if (entry < after if self._down else entry > after)]


def _of_run(one: Condition) -> str:
    """The check with the columns of the joined run."""
    check = one.check
    for name in one.columns:
        check = check.replace(f"r.{name}", f"w.{name}")
    return check


def _rows(database: Database, nos: list[int]) -> list[RunRow]:
    """Full rows in the order of `nos`."""
    found: dict[int, RunRow] = {}
    for some in chunks(nos):
        for no, *values in database.rows(
            f"SELECT no, {', '.join(RUN_COLUMNS)} FROM run WHERE no IN ({marks(len(some))})",  # noqa: S608
            some,
        ):
            found[no] = run_row(values)
    return [found[no] for no in nos if no in found]
