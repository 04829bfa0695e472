"""Queries of the store, one function each: a run, its transitions, the fate of an event, trouble, how far
behind it is. Lists of runs are in `queries`, counters in `statistics`. Each raises OperationError
(`history_unavailable`)."""

from __future__ import annotations

from typing import Any, Literal

import msgspec
from msgspec import Struct

from streamflow.engine.transitions import Transition
from streamflow.errors import Rejected
from streamflow.history.cursors import decode_text_cursor, encode_cursor
from streamflow.history.database import Database
from streamflow.history.filters import one_of
from streamflow.history.rows import TROUBLE_KINDS, EventFate, LogRow, RunRow, StepRow, TransitionRow, TroubleRow
from streamflow.history.sealing import unseal
from streamflow.history.writer import (
    FATE_COLUMNS,
    LOG_COLUMNS,
    RUN_COLUMNS,
    STEP_COLUMNS,
    TRANSITION_COLUMNS,
    TROUBLE_COLUMNS,
    WAITS_FOR,
    positions,
    run_row,
    transition_row,
)
from streamflow.wire.transitions import decode_transition

SILENT_S = 10.0  # a worker that wrote nothing for so long is not running
_ANCESTORS = 50
_HITS = 20


class TroubleFilter(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What trouble to list; None: any."""

    kind: str | None = None
    """One of TROUBLE_KINDS."""

    state: Literal["open", "settled"] | None = None
    """Whether it is resolved."""

    definition: str | None = None
    """Whose it is."""

    within: tuple[str, ...] | None = None
    """Names of definitions, one of which it must be of: those that the asker may look at."""

    code: str | None = None
    """The code of the reason."""

    run: str | None = None
    """The run that it is about."""

    from_ms: int | None = None
    """The earliest time."""

    to_ms: int | None = None
    """What the time is before."""


class TroublePage(Struct, frozen=True, kw_only=True):
    """A page of trouble, newest first."""

    rows: list[TroubleRow]
    """What happened."""

    next: str | None
    """The cursor of the next page; None: there is none."""


class Hit(Struct, frozen=True):
    """The detected formats of a pasted text."""

    kind: Literal["run", "key", "event", "step", "trouble"]
    """What was found."""

    run: str
    """The run that it belongs to; empty: none."""

    text: str
    """The run id, key, event id, step address or id of the trouble."""

    definition: str
    """The definition of the run or event."""


class Behind(Struct, frozen=True, kw_only=True):
    """How far the projection of one partition is behind its topic."""

    topic: str
    """The role of the topic."""

    partition: int
    """Its partition."""

    records: int
    """Records that are not projected yet, when the worker last looked."""

    seconds: float
    """How old they are at most; 0: none is waiting."""

    silent_s: float
    """For how long the worker has written nothing; above SILENT_S it is not running."""


def find_run(database: Database, run: str) -> RunRow | None:
    """A run by its id."""
    found = database.rows(f"SELECT {', '.join(RUN_COLUMNS)} FROM run WHERE run = ?", (run,))  # noqa: S608
    return run_row(found[0]) if found else None


def steps_of(database: Database, run: str) -> list[StepRow]:
    """The open steps of a run, oldest first."""
    found = database.rows(
        f"SELECT {', '.join(STEP_COLUMNS)} FROM step_now WHERE run = ? ORDER BY begun_ms, step",  # noqa: S608
        (run,),
    )
    return [StepRow(**dict(zip(STEP_COLUMNS, values, strict=True))) for values in found]


def attributes_of(database: Database, run: str) -> dict[str, str]:
    """The search attributes of a run, by name."""
    found = database.rows(
        "SELECT a.name, a.value FROM attr a JOIN run r ON r.no = a.no WHERE r.run = ? AND a.name <> ? ORDER BY a.name",
        (run, WAITS_FOR),
    )
    return dict(found)


def ancestors(database: Database, run: str) -> list[str]:
    """The runs that wait for this one, from its parent to the first one."""
    found: list[str] = []
    at: str | None = run
    while at is not None and len(found) < _ANCESTORS:
        rows = database.rows("SELECT parent FROM run WHERE run = ?", (at,))
        at = rows[0][0] if rows else None
        if at is None or at in found:
            break
        found.append(at)
    return found


def transitions(
    database: Database,
    run: str,
    *,
    after: int = 0,
    before: int | None = None,
    limit: int = 1000,
    newest_first: bool = False,
) -> list[TransitionRow]:
    """Transitions of a run with a `seq` above `after` and below `before`, at most `limit`, in order or the other way
    round."""
    sealed = _sealed(database, run)
    if sealed is not None:
        rows = [row for row in sealed if row.seq > after and (before is None or row.seq < before)]
        return (rows[::-1] if newest_first else rows)[:limit]
    order = "DESC" if newest_first else "ASC"
    upper, values = ("", ()) if before is None else (" AND seq < ?", (before,))
    return [
        transition_row(found)
        for found in database.rows(
            f"SELECT {', '.join(TRANSITION_COLUMNS)} FROM transition WHERE run = ? AND seq > ?{upper} "  # noqa: S608
            f"ORDER BY seq {order} LIMIT ?",
            (run, after, *values, limit),
        )
    ]


def _sealed(database: Database, run: str) -> list[TransitionRow] | None:
    """The transitions of a run that has ended; None: it has not, or is not there."""
    found = database.rows("SELECT codec, body FROM sealed WHERE run = ?", (run,))
    return unseal(run, found[0][0], bytes(found[0][1])) if found else None


def decoded(row: TransitionRow) -> Transition:
    """The transition that a row is of. Raises DecodeError."""
    return decode_transition(row.body, (("ce_type", f"streamflow.{row.kind}".encode()),))


def logs(database: Database, run: str, *, after: int = -1, limit: int = 1000) -> list[LogRow]:
    """Log lines about a run with a `seq` above `after`, in order, at most `limit`."""
    found = database.rows(
        f"SELECT {', '.join(LOG_COLUMNS)} FROM log_line WHERE run = ? AND seq > ? ORDER BY seq LIMIT ?",  # noqa: S608
        (run, after, limit),
    )
    return [LogRow(**dict(zip(LOG_COLUMNS, values, strict=True))) for values in found]


def event_fates(database: Database, event_id: str, source: str | None = None) -> list[EventFate]:
    """All outcomes of the event with an id, and with a source if one is given, oldest first."""
    more, values = ("", ()) if source is None else (" AND source = ?", (source,))
    found = database.rows(
        f"SELECT {', '.join(FATE_COLUMNS)} FROM event_fate WHERE event_id = ?{more} ORDER BY at_ms, definition, run",  # noqa: S608
        (event_id, *values),
    )
    return [EventFate(**dict(zip(FATE_COLUMNS, values, strict=True))) for values in found]


def lookup(database: Database, text: str) -> list[Hit]:
    """Whatever `text` is the id of: a run, a business key, an event, a step (`<run>/<step>`), a piece of trouble."""
    hits = [
        Hit("run", run, run, definition)
        for run, definition in database.rows("SELECT run, definition FROM run WHERE run = ?", (text,))
    ]
    head, _, step = text.partition("/")
    if step:
        hits += [
            Hit("step", run, step, definition)
            for run, definition in database.rows("SELECT run, definition FROM run WHERE run = ?", (head,))
        ]
    hits += [
        Hit("key", run, text, definition)
        for run, definition in database.rows(
            "SELECT run, definition FROM run WHERE key = ? ORDER BY started_ms DESC, no DESC LIMIT ?", (text, _HITS)
        )
    ]
    hits += [Hit("event", fate.run, text, fate.definition) for fate in event_fates(database, text)[:_HITS]]
    hits += [
        Hit("trouble", run, text, definition)
        for run, definition in database.rows("SELECT run, definition FROM trouble WHERE id = ?", (text,))
    ]
    return hits


def list_trouble(
    database: Database, wanted: TroubleFilter, *, cursor: str | None = None, limit: int = 50
) -> TroublePage:
    """A page of trouble, newest first. Raises Rejected (`filter_invalid`, `cursor_invalid`)."""
    sql, values = _trouble_where(wanted)
    if cursor is not None:
        sql += " AND (at_ms, id) < (?, ?)"
        values += decode_text_cursor(cursor, "trouble")
    found = database.rows(
        f"SELECT {', '.join(TROUBLE_COLUMNS)} FROM trouble WHERE {sql} ORDER BY at_ms DESC, id DESC LIMIT ?",  # noqa: S608
        (*values, limit + 1),
    )
    rows = [TroubleRow(**dict(zip(TROUBLE_COLUMNS, values, strict=True))) for values in found]
    more = len(rows) > limit
    rows = rows[:limit]
    return TroublePage(rows=rows, next=encode_cursor("trouble", (rows[-1].at_ms, rows[-1].id)) if more else None)


def trouble_counts(database: Database, wanted: TroubleFilter, cap: int = 10_000) -> dict[str, int]:
    """How much trouble of each kind there is, each counted up to `cap`."""
    counts = {}
    for kind in TROUBLE_KINDS if wanted.kind is None else (wanted.kind,):
        sql, values = _trouble_where(msgspec.structs.replace(wanted, kind=kind))
        ((n,),) = database.rows(
            f"SELECT count(*) FROM (SELECT 1 FROM trouble WHERE {sql} LIMIT ?) s",  # noqa: S608
            (*values, cap),
        )
        counts[kind] = int(n)
    return counts


def _trouble_where(wanted: TroubleFilter) -> tuple[str, list[Any]]:
    if wanted.kind is not None and wanted.kind not in TROUBLE_KINDS:
        raise Rejected(
            "filter_invalid",
            f"expected a kind that is one of {', '.join(TROUBLE_KINDS)} but found {wanted.kind!r}. Choose one of them.",
        )
    parts, values = ["1 = 1"], []
    for name in ("kind", "state", "definition", "code", "run"):
        value = getattr(wanted, name)
        if value is not None:
            parts.append(f"{name} = ?")
            values.append(value)
    if wanted.within is not None:
        parts.append(one_of("definition", wanted.within))
        values += wanted.within
    if wanted.from_ms is not None:
        parts.append("at_ms >= ?")
        values.append(wanted.from_ms)
    if wanted.to_ms is not None:
        parts.append("at_ms < ?")
        values.append(wanted.to_ms)
    return " AND ".join(parts), values


def position(database: Database, *, logs: bool = False) -> str:
    """How far the topics are projected, as a text that is another one when more is: all but log lines, or those."""
    found = database.rows(
        "SELECT topic, sum(next_offset) FROM progress WHERE (topic = 'logs') = ? GROUP BY topic ORDER BY 1", (logs,)
    )
    return ".".join(f"{topic}:{int(offset)}" for topic, offset in found)


def behind(database: Database, now_ms: int) -> list[Behind]:
    """How far the projection is behind, by topic and partition."""
    found = []
    for (topic, partition), (_, at) in sorted(positions(database).items()):
        silent_s = max(0, now_ms - at.seen_ms) / 1000 if at.seen_ms else 0.0
        records = max(0, at.end - at.offset)
        lag_s = at.lag_ms / 1000 + (silent_s if silent_s > SILENT_S else 0.0)
        found.append(
            Behind(
                topic=topic,
                partition=partition,
                records=records,
                seconds=lag_s if records else 0.0,
                silent_s=silent_s,
            )
        )
    return found
