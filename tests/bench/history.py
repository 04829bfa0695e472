"""The history store: lists over a million runs, by every filter and every pair of filters, with rare and with frequent
values, in both databases; and how many transitions a second are projected on one core.

`python -m tests.bench.history --folder F [--runs N] [--postgresql]` measures the lists alone."""

from __future__ import annotations

import argparse
import itertools
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from streamflow.history.database import Database, closing
from streamflow.history.filters import RunFilter
from streamflow.history.projection import Changes, RecordedTransition, project_runs
from streamflow.history.queries import Sort, count_runs, list_runs
from streamflow.history.rows import Progress
from streamflow.history.store import open_store
from streamflow.history.writer import RUN_COLUMNS, WAITS_FOR, begin, load, write
from streamflow.settings import History, Settings
from streamflow.wire.decoding import Record
from streamflow.wire.transitions import decode_transition, encode_transition
from tests import servers
from tests.bench.histories import history_of
from tests.bench.report import Row
from tests.bench.stage import Stage
from tests.builders import NOW_MS

RUNS = 1_000_000
LIST_MS = 100.0
TRANSITIONS_A_SECOND = 5000.0
_BATCH = 20_000
_ATTR = ("name", "value", "started_ms", "no")
_HOUR_MS = 3_600_000

# name: filter; the first of each pair of values is frequent, the second rare
FILTERS: dict[str, dict[str, Any]] = {
    "definition often": {"definition": "order"},
    "definition rare": {"definition": "refund"},
    "version": {"definition": "order", "version": "2"},
    "status often": {"status": "completed"},
    "status rare": {"status": "cancelled"},
    "status open": {"status": "open"},
    "parked": {"status": "parked"},
    "key": {"key": "A-77"},
    "prefix often": {"key_prefix": "A-"},
    "prefix rare": {"key_prefix": "A-777"},
    "error often": {"error_code": "http_500"},
    "error rare": {"error_code": "disk_full"},
    "parked step": {"parked_step": "charge"},
    "waits for": {"waits_for": "order.paid"},
    "started, a day": {"started_from_ms": NOW_MS - 24 * _HOUR_MS},
    "started, long ago": {"started_to_ms": NOW_MS - 80 * 24 * _HOUR_MS},
    "ended, a day": {"ended_from_ms": NOW_MS - 24 * _HOUR_MS},
    "country often": {"attributes": {"country": "DE"}},
    "country rare": {"attributes": {"country": "LI"}},
    "tier": {"attributes": {"tier": "gold"}},
    "customer": {"attributes": {"customer": "c4711"}},
    # nothing has both, which is the worst that can be asked of indexes
    "apart, one": {"attributes": {"apart": "left"}},
    "apart, other": {"attributes": {"side": "right"}},
}
_SORTS: Sequence[Sort] = ("-started", "-ended", "-duration")


def a_run(number: int, runs: int, choose: random.Random) -> tuple[tuple[Any, ...], list[tuple[str, str]]]:
    """Values of a row of `run`, and its attributes."""
    drawn = choose.random()
    definition = (
        "order" if drawn < 0.5 else "loan" if drawn < 0.8 else f"d{number % 18}" if drawn < 0.9999 else "refund"
    )
    drawn = choose.random()
    status = "completed" if drawn < 0.93 else "failed" if drawn < 0.97 else "open" if drawn < 0.9999 else "cancelled"
    started = NOW_MS - (runs - number) * (90 * 24 * _HOUR_MS // runs)
    took = int(choose.expovariate(1 / 60_000))
    failed = status == "failed" or (status == "open" and choose.random() < 0.1)
    parked = status == "open" and failed
    waits = status == "open" and not parked
    values: dict[str, Any] = dict.fromkeys(RUN_COLUMNS)
    values |= {
        "run": f"{number:08x}-main-{number:020x}",
        "definition": definition,
        "version": choose.choice("1112"),
        "sha": "ab" * 32,
        "key": f"{choose.choice('AB')}-{choose.randrange(200_000)}",
        "status": status,
        "started_ms": started,
        "updated_ms": started + took,
        "ended_ms": started + took if status != "open" else None,
        "duration_ms": took if status != "open" else None,
        "error_code": ("http_500" if choose.random() < 0.999 else "disk_full") if failed else None,
        "error_message": "it answered 500" if failed else None,
        "parked_step": choose.choice(("charge", "ship")) if parked else None,
        "waits_for": "order.paid" if waits else None,
        "seq": 12,
        "first_seq": 1,
    }
    drawn = choose.random()
    left = number % 2 == 0
    attributes = [
        ("country", "DE" if drawn < 0.5 else "LI" if drawn > 0.9999 else f"C{number % 60}"),
        ("tier", choose.choice(("gold", "silver", "none"))),
        ("customer", f"c{choose.randrange(50_000)}"),
        ("apart", "left" if left else "none"),
        ("side", "none" if left else "right"),
    ]
    if waits:
        attributes.append((WAITS_FOR, "order.paid"))
    return tuple(values[name] for name in RUN_COLUMNS), attributes


def fill(database: Database, runs: int) -> float:
    """Rows of so many runs: how many a second were written."""
    choose = random.Random(1)
    began = time.monotonic()
    for first in range(1, runs + 1, _BATCH):
        rows, attributes = [], []
        for number in range(first, min(first + _BATCH, runs + 1)):
            row, its = a_run(number, runs, choose)
            rows.append((number, *row))
            attributes += [(name, value, row[RUN_COLUMNS.index("started_ms")], number) for name, value in its]
        with database.transaction():
            _insert(database, "run", ("no", *RUN_COLUMNS), rows)
            _insert(database, "attr", _ATTR, attributes)
    database.run("ANALYZE")
    return runs / (time.monotonic() - began)


def _insert(database: Database, table: str, columns: Sequence[str], rows: list[tuple[Any, ...]]) -> None:
    connection: Any = getattr(database, "_connection")  # noqa: B009 - COPY is for this program only
    if database.dialect == "postgresql":
        with connection.cursor() as cursor, cursor.copy(f"COPY {table} ({', '.join(columns)}) FROM STDIN") as copy:
            for row in rows:
                copy.write_row(row)
    else:
        database.many(f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({','.join('?' * len(columns))})", rows)


def questions() -> Iterator[tuple[str, RunFilter, Sort]]:
    """Every filter with every sort, and every pair, newest first."""
    for name, fields in FILTERS.items():
        for sort in _SORTS:
            yield f"{name}, by {sort}", RunFilter(**fields), sort
    for one, other in itertools.combinations(FILTERS, 2):
        left, right = FILTERS[one], FILTERS[other]
        shared = {name for name in left.keys() & right.keys() if name != "attributes"}
        if shared or left.get("attributes", {}).keys() & right.get("attributes", {}).keys():
            continue
        fields = left | right
        fields["attributes"] = left.get("attributes", {}) | right.get("attributes", {})
        yield f"{one} + {other}", RunFilter(**fields), "-started"


def time_lists(database: Database) -> list[tuple[float, str, bool]]:
    """Milliseconds of each question's first page (the best of five: other processes take turns), slowest first, and
    whether it stopped at the limit of what is looked at."""
    found = []
    for name, wanted, sort in questions():
        taken = []
        for _ in range(5):
            began = time.perf_counter()
            page = list_runs(database, wanted, sort=sort)
            taken.append((time.perf_counter() - began) * 1000)
        found.append((min(taken), name, page.partial))
    return sorted(found, reverse=True)


def time_counts(database: Database) -> list[tuple[float, str]]:
    """The same of capped counts, for single filters."""
    found = []
    for name, fields in FILTERS.items():
        began = time.perf_counter()
        count_runs(database, RunFilter(**fields))
        found.append(((time.perf_counter() - began) * 1000, name))
    return sorted(found, reverse=True)


def lists(settings: Settings, runs: int, label: str) -> list[Row]:
    """The rows of one database."""
    with closing(open_store(settings, write=True)) as database:
        speed = fill(database, runs)
    with closing(open_store(settings)) as database:
        listed, counted = time_lists(database), time_counts(database)
    for taken, name, partial in listed[:8]:
        print(f"  {label}: {taken:6.1f} ms  {name}{' (partial)' if partial else ''}", file=sys.stderr)
    return [
        Row("history", f"{label}: rows of runs written", speed, "runs/s"),
        Row(
            "history",
            f"{label}: slowest of {len(listed)} lists ({listed[0][1]})",
            listed[0][0],
            "ms",
            None,
            LIST_MS,
            "less",
        ),
        Row("history", f"{label}: median of lists", statistics.median(each[0] for each in listed), "ms", better="less"),
        Row("history", f"{label}: slowest capped count ({counted[0][1]})", counted[0][0], "ms", None, LIST_MS, "less"),
    ]


def _records(runs: int) -> list[Record]:
    """Records of `runs`: twelve transitions a run, of many runs at a time."""
    records: list[Record] = []
    waves = 50
    for first in range(0, runs, waves):
        histories = [history_of(number) for number in range(first, min(first + waves, runs))]
        for each in itertools.chain.from_iterable(zip(*histories, strict=True)):
            key, value, headers = encode_transition(each, None)
            records.append(Record("runs", 0, len(records), each.at_ms, key, value, tuple(headers)))
    return records


def projected(settings: Settings, runs: int) -> float:
    """Transitions a second of CPU that are decoded, projected and written, in batches of the worker's size."""
    records, batch = _records(runs), settings.history.batch_records
    folds: dict[str, Any] = {}
    at = Progress(topic="runs", partition=0, offset=0, end=0, record_ms=0, seen_ms=0)
    with closing(open_store(settings, write=True)) as database:
        begin(database, "runs", "T", 0, 0)
        began = time.process_time()
        for first in range(0, len(records), batch):
            some = records[first : first + batch]
            transitions = [
                RecordedTransition(
                    transition=decode_transition(record.value or b"", record.headers),
                    value=record.value or b"",
                    place=f"runs/0/{record.offset}",
                )
                for record in some
            ]
            folds.update(load(database, {each.transition.run for each in transitions} - folds.keys()))
            changes = Changes()
            project_runs(transitions, folds, lambda sha: {"city": "trigger.city"}, changes)
            after = Progress(topic="runs", partition=0, offset=first + len(some), end=0, record_ms=0, seen_ms=0)
            write(database, changes, [at], [after])
            at = after
            for run in changes.ended:
                folds.pop(run, None)
        return len(records) / (time.process_time() - began)


def measure(stage: Stage) -> list[Row]:
    """All of it."""
    runs = stage.size(RUNS)
    with tempfile.TemporaryDirectory(prefix="streamflow-history-") as folder:
        rows = lists(Settings(history=History(path=Path(folder) / "lists.db")), runs, "SQLite")
        speed = projected(Settings(history=History(path=Path(folder) / "projected.db")), stage.size(20_000))
    rows.append(Row("history", "transitions projected, one core", speed, "/s", None, TRANSITIONS_A_SECOND))
    try:
        with servers.postgres() as server:
            rows += lists(_on(server), runs, "PostgreSQL")
    except servers.ServerMissing as missing:
        print(f"  PostgreSQL is left out: {missing}", file=sys.stderr)
    return rows


def _on(server: Any) -> Settings:
    os.environ["STREAMFLOW_BENCH_PASSWORD"] = server.password
    store = History(postgresql=server.url, user=server.user, password="env:STREAMFLOW_BENCH_PASSWORD")
    return Settings(history=store)


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--folder", type=Path, required=True)
    options.add_argument("--runs", type=int, default=RUNS)
    options.add_argument("--postgresql", action="store_true")
    options.add_argument("--projected", type=int, default=0)
    asked = options.parse_args()
    if asked.projected:
        print(projected(Settings(history=History(path=asked.folder / "projected.db")), asked.projected))
    elif asked.postgresql:
        with servers.postgres() as running:
            print(*lists(_on(running), asked.runs, "PostgreSQL"), sep="\n")
    else:
        print(*lists(Settings(history=History(path=asked.folder / "lists.db")), asked.runs, "SQLite"), sep="\n")
