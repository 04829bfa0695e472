"""Histories of runs as records, and stores to project them into."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from streamflow.engine import transitions as t
from streamflow.engine.commands import Event, Parent
from streamflow.engine.transitions import Transition
from streamflow.history.database import Database, migrate
from streamflow.history.projection import Changes, RecordedTransition, project_runs
from streamflow.history.rows import Progress
from streamflow.history.sqlite import Sqlite
from streamflow.history.writer import begin, load, write
from streamflow.wire.transitions import encode_transition
from tests.builders import NOW_MS

Fact = tuple[Any, str] | tuple[Any, str, int]  # what happened, in which step, the number of the attempt


def an_event(name: str = "placed", id_: str = "e-1", **data: Any) -> Event:
    return Event(name=name, id=id_, time_ms=1, data=data, source="/shop")


def started(sha: str = "sha", event: Event | None = None, parent: Parent | None = None) -> Fact:
    return t.RunStarted(trigger="placed", event=event or an_event(), sha=sha, revision="1", parent=parent), ""


def a_history(
    run: str, *facts: Fact, definition: str = "order", version: str = "1", key: str = "K-1", start_ms: int = NOW_MS
) -> list[Transition]:
    """The transitions of a run: its beginning and `facts`, a second apart."""
    made = []
    for place, (data, step, *attempt) in enumerate(facts):
        made.append(
            Transition(
                run=run,
                definition=definition,
                version=version,
                key=key,
                seq=place + 1,
                at_ms=start_ms + 1000 * place,
                cause=f"c-{place}",
                data=data,
                step=step or None,
                attempt=attempt[0] if attempt else None,
            )
        )
    return made


def records_of(transitions: Iterable[Transition]) -> list[RecordedTransition]:
    """The same as records of one partition."""
    return [
        RecordedTransition(transition=each, value=encode_transition(each, None)[1], place=f"runs/0/{place}")
        for place, each in enumerate(transitions)
    ]


def a_store(path: Path) -> Sqlite:
    """An empty store that stands at the beginning of one partition."""
    database = Sqlite(path / "history.db", write=True)
    migrate(database)
    begin(database, "runs", "T", 0, 0)
    return database


class Projector:
    """Projects pieces of one partition into a store, as the worker does; it forgets all it has in memory if told so."""

    def __init__(self, database: Database, search: Callable[[str], Mapping[str, str]] = lambda sha: {}) -> None:
        self.database = database
        self._search = search
        self._folds: dict[str, Any] = {}
        self._at = Progress(topic="runs", partition=0, offset=0, end=0, record_ms=0, seen_ms=0)

    def take(self, records: Sequence[RecordedTransition], *, forget: bool = False) -> Changes:
        if forget:
            self._folds.clear()
        self._folds.update(load(self.database, {each.transition.run for each in records} - self._folds.keys()))
        changes = Changes()
        project_runs(records, self._folds, self._search, changes)
        offset = self._at.offset + len(records)
        after = Progress(topic="runs", partition=0, offset=offset, end=offset, record_ms=1, seen_ms=1)
        write(self.database, changes, [self._at], [after])
        self._at = after
        for run in changes.ended:
            self._folds.pop(run, None)
        return changes


TABLES = ("run", "attr", "step_now", "transition", "sealed", "hour", "step_hour", "trouble", "event_fate")


def dump(database: Database) -> dict[str, list[tuple[Any, ...]]]:
    """Everything that the store has, in an order that does not depend on how it came there."""
    found = {}
    for table in TABLES:
        columns = [name for (name,) in database.rows(f"SELECT name FROM pragma_table_info('{table}')") if name != "no"]
        names = ", ".join(columns)
        source = table if table != "attr" else "(SELECT a.*, r.run FROM attr a JOIN run r ON r.no = a.no)"
        names += ", run" if table == "attr" else ""
        found[table] = sorted(database.rows(f"SELECT {names} FROM {source}"), key=repr)
    return found
