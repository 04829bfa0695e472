"""Lists of runs: every filter, every pair of them and every sort gives what a look at all runs would give, page by
page."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest

from streamflow.errors import Rejected
from streamflow.history import queries
from streamflow.history.cursors import encode_cursor
from streamflow.history.database import Database
from streamflow.history.filters import RunFilter
from streamflow.history.projection import Changes
from streamflow.history.queries import SORTS, Sort, count_runs, list_runs
from streamflow.history.rows import Attribute, RunRow
from streamflow.history.writer import apply
from tests.unit.history.bench import a_store

RUNS = 400


def a_run(number: int, choose: random.Random) -> tuple[RunRow, dict[str, str]]:
    status = choose.choice(["open", "completed", "completed", "failed"])
    started = 1000 + choose.randint(0, 120)  # many at the same time
    took = choose.randint(0, 50) if status != "open" else None
    row = RunRow(
        run=f"r{number}",
        definition=choose.choice(["order", "loan"]),
        version=choose.choice(["1", "2"]),
        sha="s",
        key=f"{choose.choice('AB')}-{choose.randint(0, 30)}",
        status=status,  # type: ignore[arg-type]
        started_ms=started,
        updated_ms=started + (took or 0),
        ended_ms=started + took if took is not None else None,
        duration_ms=took,
        error_code=choose.choice([None, "http_500", "rare"]) if status != "completed" else None,
        parked_step=choose.choice([None, "charge"]) if status == "open" else None,
        waits_for=choose.choice([None, "paid"]) if status == "open" else None,
        parent=choose.choice([None, None, "r1"]),
        seq=1,
    )
    return row, {"city": choose.choice(["Bern", "Rome"]), "tier": choose.choice("abc")}


@pytest.fixture(scope="module")
def runs() -> list[tuple[RunRow, dict[str, str]]]:
    choose = random.Random(1)
    return [a_run(number, choose) for number in range(RUNS)]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, runs: list[tuple[RunRow, dict[str, str]]]) -> Iterator[Database]:
    database = a_store(tmp_path_factory.mktemp("queries"))
    changes = Changes(runs=[row for row, _ in runs])
    for row, attributes in runs:
        changes.attributes += [
            Attribute(run=row.run, name=name, value=value, started_ms=row.started_ms)
            for name, value in attributes.items()
        ]
        if row.waits_for:
            changes.waits.append((row.run, row.waits_for, row.started_ms))
    with database.transaction():
        apply(database, changes)
    yield database
    database.close()


Test = Callable[[RunRow, dict[str, str]], bool]
FILTERS: dict[str, tuple[dict[str, Any], Test]] = {
    "definition": ({"definition": "order"}, lambda r, a: r.definition == "order"),
    "version": ({"definition": "order", "version": "2"}, lambda r, a: (r.definition, r.version) == ("order", "2")),
    "status": ({"status": "failed"}, lambda r, a: r.status == "failed"),
    "parked": ({"status": "parked"}, lambda r, a: r.parked_step is not None),
    "key": ({"key": "A-7"}, lambda r, a: r.key == "A-7"),
    "prefix": ({"key_prefix": "A-1"}, lambda r, a: r.key.startswith("A-1")),
    "error": ({"error_code": "rare"}, lambda r, a: r.error_code == "rare"),
    "step": ({"parked_step": "charge"}, lambda r, a: r.parked_step == "charge"),
    "waits": ({"waits_for": "paid"}, lambda r, a: r.waits_for == "paid"),
    "parent": ({"parent": "r1"}, lambda r, a: r.parent == "r1"),
    "started": (
        {"started_from_ms": 1020, "started_to_ms": 1060},
        lambda r, a: 1020 <= r.started_ms < 1060,
    ),
    "ended": (
        {"ended_from_ms": 1030, "ended_to_ms": 1090},
        lambda r, a: r.ended_ms is not None and 1030 <= r.ended_ms < 1090,
    ),
    "city": ({"attributes": {"city": "Bern"}}, lambda r, a: a["city"] == "Bern"),
    "tier": ({"attributes": {"tier": "c"}}, lambda r, a: a["tier"] == "c"),
}
PAIRS = [(name,) for name in FILTERS] + [
    pair for pair in itertools.combinations(FILTERS, 2) if pair not in (("status", "parked"),)
]


def joined(names: tuple[str, ...]) -> RunFilter:
    fields: dict[str, Any] = {}
    for name in names:
        for field, value in FILTERS[name][0].items():
            fields[field] = {**fields.get(field, {}), **value} if isinstance(value, dict) else value
    return RunFilter(**fields)


def expected(runs: list[tuple[RunRow, dict[str, str]]], names: tuple[str, ...], sort: str) -> list[str]:
    column = {"started": "started_ms", "ended": "ended_ms", "duration": "duration_ms"}[sort.lstrip("-")]
    fitting = [
        (getattr(row, column), number, row.run)
        for number, (row, attributes) in enumerate(runs)
        if getattr(row, column) is not None and all(FILTERS[name][1](row, attributes) for name in names)
    ]
    return [run for _, _, run in sorted(fitting, reverse=sort.startswith("-"))]


def paged(store: Database, wanted: RunFilter, sort: Sort, limit: int) -> list[str]:
    found: list[str] = []
    cursor = None
    while True:
        page = list_runs(store, wanted, sort=sort, cursor=cursor, limit=limit)
        found += [row.run for row in page.rows]
        cursor = page.next
        if cursor is None:
            return found


@pytest.mark.parametrize("names", PAIRS, ids="+".join)
def test_every_filter_and_every_pair_finds_what_fits(
    store: Database, runs: list[tuple[RunRow, dict[str, str]]], names: tuple[str, ...]
) -> None:
    wanted = joined(names)
    for sort in SORTS:
        assert paged(store, wanted, sort, 40) == expected(runs, names, sort), sort
    assert count_runs(store, wanted).n == len(expected(runs, names, "-started"))


@pytest.mark.parametrize("sort", SORTS)
def test_without_filters_all_runs_are_listed(
    store: Database, runs: list[tuple[RunRow, dict[str, str]]], sort: Sort
) -> None:
    assert paged(store, RunFilter(), sort, 33) == expected(runs, (), sort)


@pytest.mark.parametrize("names", [("city", "tier"), ("definition", "prefix"), ("status", "ended"), ("waits", "key")])
def test_a_page_ends_at_the_limit_and_the_next_one_goes_on(
    store: Database,
    runs: list[tuple[RunRow, dict[str, str]]],
    names: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(queries, "SCANNED", 20)
    monkeypatch.setattr(queries, "SAMPLE", 5)
    wanted = joined(names)

    for sort in SORTS:
        assert paged(store, wanted, sort, 10) == expected(runs, names, sort), sort
    assert list_runs(store, joined(("city", "error")), limit=50).partial


def test_a_count_is_capped(store: Database) -> None:
    assert msgspec.structs.astuple(count_runs(store, RunFilter(), cap=100)) == (100, True)
    assert msgspec.structs.astuple(count_runs(store, RunFilter(key_prefix=""), cap=RUNS)) == (RUNS, False)


@pytest.mark.parametrize(
    ("wanted", "sort", "cursor", "code"),
    [
        (RunFilter(version="1"), "-started", None, "filter_invalid"),
        (RunFilter(status="done"), "-started", None, "filter_invalid"),
        (RunFilter(), "key", None, "filter_invalid"),
        (RunFilter(), "-started", "no cursor", "cursor_invalid"),
        (RunFilter(), "-started", "é", "cursor_invalid"),
        (RunFilter(), "started", encode_cursor("-started", (1, 1)), "cursor_invalid"),
        (RunFilter(), "-started", encode_cursor("-started", ("x", 1)), "cursor_invalid"),
    ],
)
def test_a_question_that_no_list_answers_is_refused(
    store: Database, wanted: RunFilter, sort: Any, cursor: str | None, code: str
) -> None:
    with pytest.raises(Rejected) as caught:
        list_runs(store, wanted, sort=sort, cursor=cursor)

    assert caught.value.code == code


def test_values_are_never_part_of_a_statement(store: Database) -> None:
    for hostile in ("' OR 1=1 --", "%", "?", "\x00", "x" * 5000):
        wanted = RunFilter(definition=hostile, key_prefix=hostile, attributes={hostile: hostile})
        assert list_runs(store, wanted).rows == []
