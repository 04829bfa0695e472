"""People with subscriptions, and things that happen, for tests of notifications."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from streamflow.access.changes import add_grant, add_user
from streamflow.access.rights import Role
from streamflow.access.subscription_changes import subscribe
from streamflow.history.database import Database
from streamflow.history.notices import NoticeRow
from streamflow.history.rows import StepRow, TroubleRow
from streamflow.history.writer import STEP_COLUMNS, TROUBLE_COLUMNS
from streamflow.settings import NotificationKind, NotificationTarget
from tests.access import MemoryAccess

RUN = "0a1b2c3d-main-0123456789abcdef0123"
TARGETS = {
    "on-call": NotificationTarget(url="env:ON_CALL_URL"),
    "bosses": NotificationTarget(url="env:BOSSES_URL", who=["bosses", "carol"]),
}
EVERY: tuple[NotificationKind, ...] = ("approval", "parked", "dead_letter", "partition")


def person(
    access: MemoryAccess,
    name: str,
    role: Role | None = Role.OPERATOR,
    *,
    definitions: Sequence[str] = (),
    groups: Sequence[str] = (),
) -> str:
    """A user with a role; their id is their name."""
    access.change(lambda d, now: add_user(d, now, id=name, name=name, groups=groups))
    if role is not None:
        access.change(lambda d, now: add_grant(d, now, id=f"g-{name}", role=role, user=name, definitions=definitions))
    return name


def subscribed(access: MemoryAccess, name: str, *kinds: NotificationKind, **changes: Any) -> None:
    """Has a user notified, of everything if no kind is named."""
    given: dict[str, Any] = {"target": "on-call", "kinds": kinds or EVERY, "targets": TARGETS} | changes
    access.change(lambda d, now: subscribe(d, now, user=name, **given))


def notice(kind: NotificationKind, at_ms: int, n: int = 1, **changes: Any) -> NoticeRow:
    """The `n`-th notice of its kind, of the definition `orders`."""
    values: dict[str, Any] = {
        "id": f"{kind}/{RUN}/{n}",
        "kind": kind,
        "definition": "orders",
        "run": RUN,
        "step": f"step{n}",
        "at_ms": at_ms,
    }
    if kind == "approval":
        values |= {"who": json.dumps(["alice", "ops"])}
    if kind == "dead_letter":
        values |= {"id": f"dead_letter/letter-{n}", "code": "bad_json", "run": "", "step": ""}
    if kind == "partition":
        values |= {"id": f"partition/{n}/7", "step": str(n), "definition": "", "run": ""}
    if kind == "parked":
        values |= {"code": "http_timeout"}
    return NoticeRow(**(values | changes))


def happens(database: Database, *notices: NoticeRow) -> None:
    """Writes what the history worker writes with `notices`: they are still the case."""
    state = {"approval": "awaiting_approval", "parked": "parked"}
    for one in notices:
        if one.kind in state:
            row = StepRow(
                run=one.run,
                step=one.step,
                state=state[one.kind],
                attempt=1,
                since_ms=one.at_ms,
                begun_ms=one.at_ms,
                body=b"",
            )
            _insert(database, "step_now", STEP_COLUMNS, row)
        elif one.kind == "dead_letter":
            letter = TroubleRow(id=one.id.partition("/")[2], kind="dead_letter", at_ms=one.at_ms)
            _insert(database, "trouble", TROUBLE_COLUMNS, letter)


def _insert(database: Database, table: str, columns: Sequence[str], row: Any) -> None:
    values = ", ".join("?" * len(columns))
    database.run(
        f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({values}) ON CONFLICT DO NOTHING",
        [getattr(row, name) for name in columns],
    )
