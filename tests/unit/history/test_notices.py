"""What is noted for notifications, together with the rows of the history: approvals, parked steps and dead letters that
are new."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from streamflow.engine import transitions as t
from streamflow.history.notices import Noting
from streamflow.history.projection import Changes
from streamflow.history.rebuild import rebuild
from streamflow.history.sqlite import Sqlite
from streamflow.history.trouble import project_letter
from streamflow.settings import Notifications, NotificationTarget
from streamflow.wire.dead_letter import DeadLetter, dead_letter
from streamflow.wire.decoding import Record
from tests.builders import NOW_MS
from tests.unit.history.bench import Projector, a_history, a_store, records_of, started

TARGETS = {"on-call": NotificationTarget(url="env:ON_CALL_URL")}
HOUR_MS = 3_600_000


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Sqlite]:
    database = a_store(tmp_path)
    yield database
    database.close()


def noted(store: Sqlite) -> list[tuple[Any, ...]]:
    return store.rows("SELECT id, kind, definition, step, code, who, at_ms, state FROM notice ORDER BY id")


def asked(*who: str) -> t.ApprovalRequested:
    return t.ApprovalRequested(text="May it go?", who=who, form=None, due_ms=None)


def test_approvals_and_parked_steps_are_noted_once(store: Sqlite) -> None:
    history = records_of(
        a_history(
            "r1",
            started(),
            (asked("bob", "ops"), "release"),
            (t.StepParked(code="no_such_key", at="with"), "pay"),
            (t.StepRetried(), "pay"),
            (t.StepParked(code="no_such_key", at="with"), "pay"),
        )
    )
    projector = Projector(store)
    projector.take(history)
    projector.take(history, forget=True)  # copies

    assert noted(store) == [
        ("approval/r1/2", "approval", "order", "release", "", '["bob", "ops"]', NOW_MS + 1000, "new"),
        ("parked/r1/3", "parked", "order", "pay", "no_such_key", "[]", NOW_MS + 2000, "new"),
        ("parked/r1/5", "parked", "order", "pay", "no_such_key", "[]", NOW_MS + 4000, "new"),
    ]


def test_a_projection_from_the_beginning_notes_nothing_again(store: Sqlite) -> None:
    history = records_of(a_history("r1", started(), (asked("bob"), "release")))
    Projector(store).take(history)
    store.run("UPDATE notice SET state = 'spread'")
    rebuild(store, {"runs": ("T", {0: 0})}, None, lose_older=True)
    Projector(store).take(history)
    assert [row[-1] for row in noted(store)] == ["spread"]


def letter(reason: str) -> Changes:
    made = dead_letter(
        Record("orders", 2, 9, NOW_MS, b"K-1", b"{}", ()),
        stage="ingress",
        reason=reason,
        message="It is broken. Mend it.",
    )
    assert isinstance(made, DeadLetter)
    changes = Changes()
    project_letter(Record("dead-letters", 0, 4, NOW_MS, made.key, made.value, made.headers), changes)
    return changes


def test_dead_letters_are_noted_but_not_what_is_answered_to_its_sender() -> None:
    (row,) = letter("not_json").notices
    assert (row.kind, row.code, row.at_ms) == ("dead_letter", "not_json", NOW_MS)
    assert row.id.startswith("dead_letter/")
    assert letter("rejected").notices == []


def test_nothing_is_noted_where_nobody_could_be_notified(store: Sqlite) -> None:
    changes = letter("not_json")
    assert Noting(Notifications(), store).recent(changes.notices) == []
    assert store.rows("SELECT * FROM noted_since") == []


def test_what_happened_before_is_not_noted(store: Sqlite) -> None:
    settings = Notifications(targets=TARGETS, within_hours=24)
    (row,) = letter("not_json").notices

    def chosen(clock_ms: int) -> bool:
        return bool(Noting(settings, store, lambda: clock_ms / 1000).recent([row]))

    assert not chosen(NOW_MS + 1)  # the first time that there are targets
    store.run("UPDATE noted_since SET since_ms = ?", (NOW_MS,))
    assert chosen(NOW_MS + 1)
    assert chosen(NOW_MS + 24 * HOUR_MS)
    assert not chosen(NOW_MS + 24 * HOUR_MS + 1)
    rebuild(store, {"runs": ("T", {0: 0})}, None, lose_older=True)
    assert chosen(NOW_MS + 2)
