"""What people may be notified of: noted together with the rows and the position in the topics, so each thing is noted
once, whatever ends the worker, and whichever worker reads it.

A notice has names and codes only, no key and no data: it leaves the house."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from typing import Literal

from msgspec import Struct

from streamflow.engine import transitions as t
from streamflow.engine.transitions import Transition
from streamflow.history.database import Database
from streamflow.history.rows import TroubleRow
from streamflow.settings import NotificationKind, Notifications

_LETTERS = frozenset({"dead_letter", "overflow"})  # what is rejected is answered to its sender
_WHO = 100  # names and groups of one approval


class NoticeRow(Struct, frozen=True, kw_only=True):
    """Something that people may be notified of."""

    id: str
    """What it is known by: `approval/<run>/<seq>`, `parked/<run>/<seq>`, `dead_letter/<id of the letter>`, or
    `partition/<number>/<committed offset>`."""

    kind: NotificationKind
    """What it is."""

    definition: str = ""
    """Whose it is; empty: of no definition, or nothing says it."""

    run: str = ""
    """The run id."""

    step: str = ""
    """The address of the step; of a partition its number."""

    code: str = ""
    """Why it is parked or a dead letter."""

    who: str = "[]"
    """The users and groups who may decide an approval, JSON."""

    at_ms: int
    """When it happened."""

    state: Literal["new", "spread"] = "new"
    """`spread`: it was found out who is notified of it."""


NOTICE_COLUMNS = NoticeRow.__struct_fields__


def notice_of_transition(transition: Transition) -> NoticeRow | None:
    """The notice that a transition is, if it is one."""
    data = transition.data
    if isinstance(data, t.ApprovalRequested):
        who = json.dumps(list(data.who[:_WHO]), ensure_ascii=False)
        return _of_step("approval", transition, "", who)
    return _of_step("parked", transition, data.code, "[]") if isinstance(data, t.StepParked) else None


def _of_step(kind: NotificationKind, transition: Transition, code: str, who: str) -> NoticeRow:
    return NoticeRow(
        id=f"{kind}/{transition.run}/{transition.seq}",
        kind=kind,
        definition=transition.definition,
        run=transition.run,
        step=transition.address,
        code=code,
        who=who,
        at_ms=transition.at_ms,
    )


def notice_of_trouble(row: TroubleRow) -> NoticeRow | None:
    """The notice that a dead letter is, if it is one."""
    if row.kind not in _LETTERS:
        return None
    return NoticeRow(
        id=f"dead_letter/{row.id}",
        kind="dead_letter",
        definition=row.definition,
        run=row.run,
        step=row.step,
        code=row.code,
        at_ms=row.at_ms,
    )


class Noting:
    """Chooses what is noted: nothing where there are no targets, nothing from before there first were any, and nothing
    older than `within_hours`. A notice that is written again after a rebuild is a copy, which is known by its id."""

    def __init__(self, settings: Notifications, database: Database, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._within_ms = settings.within_hours * 3_600_000
        self._since_ms = since(database, int(clock() * 1000)) if settings.targets else None

    def recent(self, notices: Sequence[NoticeRow]) -> list[NoticeRow]:
        """Those that are noted."""
        if self._since_ms is None or not notices:
            return []
        after_ms = max(self._since_ms, int(self._clock() * 1000) - self._within_ms)
        return [one for one in notices if one.at_ms >= after_ms]


def since(database: Database, now_ms: int) -> int:
    """Since when anything is noted: the first call of all says now. A rebuild of the store changes nothing of that.
    Raises OperationError."""
    with database.transaction():
        database.run("INSERT INTO noted_since (no, since_ms) VALUES (1, ?) ON CONFLICT DO NOTHING", (now_ms,))
        ((found,),) = database.rows("SELECT since_ms FROM noted_since WHERE no = 1")
    return int(found)
