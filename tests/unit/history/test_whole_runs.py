"""Whole runs from the store, for whoever has the first of their transitions already."""

from __future__ import annotations

from pathlib import Path

from streamflow.engine import transitions as t
from streamflow.engine.transitions import Transition
from streamflow.history.database import closing
from streamflow.history.whole_runs import Wanted, recorded
from tests.unit.history.bench import Projector, a_history, a_store, records_of, started

OPEN = a_history("r-1", started(), (t.ValuesSet(values={"a": 1}), "set"), (t.ValuesSet(values={"a": 2}), "more"))
ENDED = a_history("r-2", started(), (t.ValuesSet(values={"a": 1}), "set"), (t.RunCompleted(ended=("set",)), ""))


def test_only_what_is_not_known_is_told(tmp_path: Path) -> None:
    with closing(a_store(tmp_path)) as database:
        projector = Projector(database)
        projector.take(records_of([*OPEN[:2], *ENDED]))

        def of(run: str, known: int) -> tuple[int, list[Transition]]:
            (found,) = recorded(database, [Wanted(run=run, known=known)])
            assert (found.topic_id, found.positions) == ("T", {0: 5})
            return found.known, found.transitions

        assert of("r-1", 0) == (0, OPEN[:2])
        assert of("r-1", 1) == (1, OPEN[1:2])
        assert of("r-1", 2) == (2, [])
        assert of("r-2", 0) == (0, ENDED)
        assert of("r-2", 3) == (3, [])
        assert of("r-2", 2) == (0, ENDED)  # known while it was open
        assert of("r-3", 0) == (0, [])


def test_what_is_known_of_a_run_that_was_removed_is_not_told(tmp_path: Path) -> None:
    with closing(a_store(tmp_path)) as database:
        Projector(database).take(records_of([*OPEN, *ENDED]))
        for table in ("transition", "sealed", "run"):
            database.run(f"DELETE FROM {table}")
        found = recorded(database, [Wanted(run="r-1", known=3), Wanted(run="r-2", known=3)])
        assert [(one.known, one.transitions) for one in found] == [(0, []), (0, [])]


def test_a_store_that_was_rebuilt_and_is_behind_does_not_lend_its_name_to_what_is_known(tmp_path: Path) -> None:
    with closing(a_store(tmp_path)) as database:
        Projector(database).take(records_of(OPEN[:1]))
        (found,) = recorded(database, [Wanted(run="r-1", known=3)])
        assert (found.known, found.transitions) == (0, [])
