"""Changes of rows and the position in the topics, written in one transaction.

The position is the fence: a batch is written only if the store still is where the worker read from. Another worker that
took the partition over, or a rebuild, moves it, and then nothing of the batch is written.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from streamflow.errors import OperationError
from streamflow.history.counters import Counter, Counters, decode_histogram, encode_histogram
from streamflow.history.database import Database, chunks, digest_of, marks
from streamflow.history.notices import NOTICE_COLUMNS
from streamflow.history.projection import Changes
from streamflow.history.rows import (
    CounterKey,
    EventFate,
    LogRow,
    Progress,
    RunRow,
    StepRow,
    TransitionRow,
    TroubleRow,
)
from streamflow.history.runs import RunFold, restored
from streamflow.history.sealing import CODEC, seal

LOG_LINES = 1000  # of one run
WAITS_FOR = "$waits_for"  # in `attr`: what open runs wait for; no declared name begins with $


def _names(struct: type[msgspec.Struct]) -> tuple[str, ...]:
    return struct.__struct_fields__


RUN_COLUMNS = _names(RunRow)
STEP_COLUMNS = _names(StepRow)
TRANSITION_COLUMNS = _names(TransitionRow)
TROUBLE_COLUMNS = _names(TroubleRow)
FATE_COLUMNS = _names(EventFate)
LOG_COLUMNS = _names(LogRow)


def _insert(table: str, columns: Sequence[str]) -> str:
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks(len(columns))})"  # noqa: S608 - our own names


def _upsert(table: str, columns: Sequence[str], key: Sequence[str]) -> str:
    changed = ", ".join(f"{name} = excluded.{name}" for name in columns if name not in key)
    return f"{_insert(table, columns)} ON CONFLICT ({', '.join(key)}) DO UPDATE SET {changed}"


_RUN = _upsert("run", RUN_COLUMNS, ("run",)) + " WHERE excluded.seq > run.seq"
_STEP = _upsert("step_now", STEP_COLUMNS, ("run", "step"))
_TRANSITION = _insert("transition", TRANSITION_COLUMNS)
_FATE = _insert("event_fate", ("digest", *FATE_COLUMNS)) + " ON CONFLICT DO NOTHING"
_TROUBLE = (
    _insert("trouble", TROUBLE_COLUMNS)
    + " ON CONFLICT (id) DO UPDATE SET count = trouble.count + excluded.count, at_ms = excluded.at_ms, "
    "state = excluded.state, code = excluded.code, message = excluded.message, place = excluded.place "
    "WHERE trouble.kind = 'parked'"  # of anything else it is a copy
)
NOTE = _insert("notice", NOTICE_COLUMNS) + " ON CONFLICT DO NOTHING"
_LOG = (
    f"INSERT INTO log_line ({', '.join(LOG_COLUMNS)}) SELECT {marks(len(LOG_COLUMNS))} "  # noqa: S608 - our own names
    "WHERE (SELECT count(*) FROM log_line WHERE run = ?) < ? ON CONFLICT DO NOTHING"
)
_ATTRIBUTE = (
    "INSERT INTO attr (name, value, started_ms, no) SELECT ?, ?, started_ms, no FROM run WHERE run = ? "
    "ON CONFLICT DO NOTHING"
)
_WAIT_ENDED = (
    "DELETE FROM attr WHERE name = ? AND value = ? AND started_ms = ? AND no = (SELECT no FROM run WHERE run = ?)"
)


def write(database: Database, changes: Changes, expected: Sequence[Progress], reached: Sequence[Progress]) -> None:
    """Write `changes` and the positions `reached`, instead of those `expected`.

    Raises OperationError: `history_moved` if the store is elsewhere, `history_unavailable`."""
    with database.transaction():
        move(database, expected, reached)
        apply(database, changes)


def move(database: Database, expected: Sequence[Progress], reached: Sequence[Progress]) -> None:
    """Move the position of partitions, inside a transaction. Raises OperationError (`history_moved`)."""
    for before, after in zip(expected, reached, strict=True):
        moved = database.run(
            "UPDATE progress SET next_offset = ?, end_offset = ?, record_ms = ?, lag_ms = ?, seen_ms = ? "
            "WHERE topic = ? AND partition = ? AND next_offset = ?",
            (
                after.offset,
                after.end,
                after.record_ms,
                after.lag_ms,
                after.seen_ms,
                after.topic,
                after.partition,
                before.offset,
            ),
        )
        if moved != 1:
            raise OperationError(
                "history_moved",
                f"The history store is no longer at offset {before.offset} of {before.topic}/{before.partition}: "
                "another worker has it, or it is being rebuilt. The worker reads its position again.",
            )


def apply(database: Database, changes: Changes) -> None:
    """Write `changes`, inside a transaction."""
    database.many(_RUN, map(_values, changes.runs))
    if changes.ended:
        _seal(database, changes)
    database.many(_TRANSITION, map(_values, changes.transitions))
    database.many(_STEP, map(_values, changes.steps))
    database.many("DELETE FROM step_now WHERE run = ? AND step = ?", changes.steps_ended)
    database.many(_ATTRIBUTE, [(each.name, each.value, each.run) for each in changes.attributes])
    database.many(_WAIT_ENDED, [(WAITS_FOR, event, ms, run) for run, event, ms in changes.waits_ended])
    database.many(_ATTRIBUTE, [(WAITS_FOR, event, run) for run, event, _ in changes.waits])
    database.many(_TROUBLE, map(_values, changes.trouble.values()))
    database.many("UPDATE trouble SET state = 'settled' WHERE id = ?", [(id_,) for id_ in changes.settled])
    database.many(_FATE, [(fate_digest(fate), *_values(fate)) for fate in changes.fates])
    database.many(NOTE, map(_values, changes.notices))
    database.many(_LOG, [(*_values(row), row.run, LOG_LINES) for row in changes.logs])
    add_counters(database, changes.counters)


def fate_digest(fate: EventFate) -> bytes:
    """What an outcome is known by: a second one with it is a copy."""
    return digest_of(
        fate.event, fate.event_id, fate.source, fate.definition, fate.key, fate.outcome, fate.run, fate.step
    )


def _values(row: Any) -> tuple[Any, ...]:
    return msgspec.structs.astuple(row)


def _seal(database: Database, changes: Changes) -> None:
    """Put all transitions of runs that have ended into one row each."""
    earlier: dict[str, list[TransitionRow]] = {}
    for some in chunks(sorted(changes.stored)):
        for found in database.rows(
            f"SELECT {', '.join(TRANSITION_COLUMNS)} FROM transition WHERE run IN ({marks(len(some))}) "  # noqa: S608
            "ORDER BY run, seq",
            some,
        ):
            row = transition_row(found)
            earlier.setdefault(row.run, []).append(row)
    database.many("DELETE FROM transition WHERE run = ?", [(run,) for run in changes.stored])
    sealed = []
    for run, rows in changes.ended.items():
        history = [*earlier.get(run, ()), *rows]
        sealed.append((run, len(history), CODEC, seal(history)))
    database.many(
        "INSERT INTO sealed (run, n, codec, body) VALUES (?, ?, ?, ?) ON CONFLICT (run) DO UPDATE SET "
        "n = excluded.n, codec = excluded.codec, body = excluded.body",
        sealed,
    )


def add_counters(database: Database, counters: Counters) -> None:
    """Add to the counters, inside a transaction. Rows are locked in the order of their keys, so that two workers never
    wait for each other."""
    runs = sorted((key, counter) for key, counter in counters.items() if not key.step)
    steps = sorted((key, counter) for key, counter in counters.items() if key.step)
    _add(database, "hour", ("definition", "version", "status", "hour"), [(_run_key(k), c) for k, c in runs])
    _add(
        database,
        "step_hour",
        ("definition", "version", "step", "outcome", "hour"),
        [(_step_key(k), c) for k, c in steps],
    )


def _run_key(key: CounterKey) -> tuple[Any, ...]:
    return key.definition, key.version, key.outcome, key.hour


def _step_key(key: CounterKey) -> tuple[Any, ...]:
    return key.definition, key.version, key.step, key.outcome, key.hour


def _add(
    database: Database, table: str, columns: tuple[str, ...], added: list[tuple[tuple[Any, ...], Counter]]
) -> None:
    if not added:
        return
    database.many(
        _insert(table, (*columns, "n", "total_ms", "hist")) + " ON CONFLICT DO NOTHING",
        [(*key, 0, 0, b"") for key, _ in added],
    )
    where = " AND ".join(f"{name} = ?" for name in columns)
    lock = " FOR UPDATE" if database.dialect == "postgresql" else ""
    after = []
    for key, counter in added:
        ((n, total, body),) = database.rows(
            f"SELECT n, total_ms, hist FROM {table} WHERE {where}{lock}",  # noqa: S608 - our own names
            key,
        )
        whole = Counter(n, total, decode_histogram(bytes(body)))
        whole.join(counter)
        after.append((whole.n, whole.total_ms, encode_histogram(whole.histogram), *key))
    database.many(f"UPDATE {table} SET n = ?, total_ms = ?, hist = ? WHERE {where}", after)  # noqa: S608


def load(database: Database, runs: Iterable[str]) -> dict[str, RunFold]:
    """Those of `runs` that the store has, as folds that can be continued."""
    found: dict[str, RunRow] = {}
    steps: dict[str, list[StepRow]] = {}
    for some in chunks(sorted(runs)):
        within = f"IN ({marks(len(some))})"
        for values in database.rows(f"SELECT {', '.join(RUN_COLUMNS)} FROM run WHERE run {within}", some):  # noqa: S608
            row = run_row(values)
            found[row.run] = row
        for values in database.rows(f"SELECT {', '.join(STEP_COLUMNS)} FROM step_now WHERE run {within}", some):  # noqa: S608
            step = StepRow(**dict(zip(STEP_COLUMNS, values, strict=True)))
            steps.setdefault(step.run, []).append(msgspec.structs.replace(step, body=bytes(step.body)))
    return {run: restored(row, steps.get(run, ())) for run, row in found.items()}


def run_row(values: Sequence[Any]) -> RunRow:
    """A row of `run` in the order of RUN_COLUMNS."""
    return RunRow(**dict(zip(RUN_COLUMNS, values, strict=True)))


def transition_row(values: Sequence[Any]) -> TransitionRow:
    """A row of `transition` in the order of TRANSITION_COLUMNS."""
    run, seq, at_ms, kind, step, body = values
    return TransitionRow(run=run, seq=seq, at_ms=at_ms, kind=kind, step=step, body=bytes(body))


def positions(database: Database) -> dict[tuple[str, int], tuple[str, Progress]]:
    """How far each partition is projected: the topic's id and the position, by role of the topic and partition."""
    return {
        (topic, partition): (
            topic_id,
            Progress(
                topic=topic,
                partition=partition,
                offset=offset,
                end=end,
                record_ms=record_ms,
                lag_ms=lag_ms,
                seen_ms=seen_ms,
            ),
        )
        for topic, partition, topic_id, offset, end, record_ms, lag_ms, seen_ms in database.rows(
            "SELECT topic, partition, topic_id, next_offset, end_offset, record_ms, lag_ms, seen_ms FROM progress"
        )
    }


def begin(database: Database, topic: str, topic_id: str, partition: int, offset: int) -> None:
    """Note that a partition is projected from `offset` on, unless it has a position already."""
    database.run(
        "INSERT INTO progress (topic, partition, topic_id, next_offset, end_offset, record_ms, lag_ms, seen_ms) "
        "VALUES (?, ?, ?, ?, ?, 0, 0, 0) ON CONFLICT DO NOTHING",
        (topic, partition, topic_id, offset, offset),
    )


def adopt(database: Database, topic: str, topic_id: str) -> None:
    """Note that a topic was recreated: it is projected from its beginning."""
    database.run(
        "UPDATE progress SET topic_id = ?, next_offset = 0, end_offset = 0, record_ms = 0, lag_ms = 0 "
        "WHERE topic = ? AND topic_id <> ?",
        (topic_id, topic, topic_id),
    )
