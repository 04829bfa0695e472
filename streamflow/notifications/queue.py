"""Notifications in the history store: who gets which notice, and its result.

    due -> sending -> sent | over | unwanted | failed | unknown
            `-> due (to be sent again)

A notification is taken, and written as `sending`, before it is sent. So no two workers send the same, and what was sent
is not sent again after a crash; one that a crash interrupts is `unknown`. `over` is what needs no action any more,
`unwanted` what its user may not have any more, `failed` what the target never took."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from streamflow.history.database import Database
from streamflow.history.notices import NOTICE_COLUMNS, NoticeRow
from streamflow.history.writer import NOTE

TOGETHER = 500

_COLUMNS = ", ".join(f"n.{name}" for name in NOTICE_COLUMNS)
_DUE = "person = ? AND state = 'due' AND next_ms <= ?"
_STILL = {
    "approval": "SELECT 1 FROM step_now WHERE run = ? AND step = ? AND state = 'awaiting_approval'",
    "parked": "SELECT 1 FROM step_now WHERE run = ? AND step = ? AND state = 'parked'",
    "dead_letter": "SELECT 1 FROM trouble WHERE id = ? AND state = 'open'",
}


@dataclass(frozen=True, slots=True)
class Taken:
    """A notice that one user is to be sent, at its `attempts`-th attempt."""

    notice: NoticeRow
    attempts: int


@dataclass(frozen=True, slots=True)
class Claim:
    """What was taken for one user; `holder` marks it."""

    person: str
    holder: str
    taken: list[Taken]


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of a taken notice: its state, the code of what went wrong, and when it is due again."""

    state: str
    code: str = ""
    next_ms: int = 0


def note(database: Database, notices: Iterable[NoticeRow]) -> None:
    """Writes notices that are not in the topics. Those that are there already stay as they are."""
    rows = [tuple(getattr(one, name) for name in NOTICE_COLUMNS) for one in notices]
    if rows:
        with database.transaction():
            database.many(NOTE, rows)


def spread(database: Database, who: Callable[[NoticeRow], list[str]], now_ms: int) -> int:
    """Finds out by `who` (ids of users) to whom new notices go; how many there were, at most `TOGETHER`."""
    found = database.rows(
        f"SELECT {_COLUMNS} FROM notice n WHERE n.state = 'new' ORDER BY n.at_ms, n.id LIMIT ?",  # noqa: S608
        (TOGETHER,),
    )
    if not found:
        return 0
    decided = [(notice, who(notice)) for notice in map(_notice, found)]
    with database.transaction():
        for notice, people in decided:
            if database.run("UPDATE notice SET state = 'spread' WHERE id = ? AND state = 'new'", (notice.id,)) == 1:
                database.many(
                    "INSERT INTO notification (notice, person, state, attempts, next_ms, changed_ms, holder, code) "
                    "VALUES (?, ?, 'due', 0, ?, ?, '', '') ON CONFLICT DO NOTHING",
                    [(notice.id, person, now_ms, now_ms) for person in people],
                )
    return len(found)


def people_due(database: Database, now_ms: int, interval_ms: int) -> list[str]:
    """The users to whom something is due, without those who were sent something in the last `interval_ms`."""
    found = database.rows(
        "SELECT DISTINCT person FROM notification WHERE state = 'due' AND next_ms <= ? AND person NOT IN "
        "(SELECT person FROM notification WHERE state = 'sent' AND changed_ms > ?) ORDER BY person",
        (now_ms, now_ms - interval_ms),
    )
    return [person for (person,) in found]


def claim(database: Database, person: str, now_ms: int) -> Claim:
    """Takes what is due to a user, oldest first, at most `TOGETHER`. What another worker takes meanwhile is not in
    it."""
    holder = uuid.uuid4().hex
    with database.transaction():
        database.run(
            f"UPDATE notification SET state = 'sending', holder = ?, changed_ms = ?, attempts = attempts + 1 WHERE {_DUE} "  # noqa: S608, E501
            f"AND notice IN (SELECT notice FROM notification WHERE {_DUE} ORDER BY changed_ms, notice LIMIT ?)",
            (holder, now_ms, person, now_ms, person, now_ms, TOGETHER),
        )
    found = database.rows(
        f"SELECT {_COLUMNS}, m.attempts FROM notification m JOIN notice n ON n.id = m.notice "  # noqa: S608
        "WHERE m.person = ? AND m.state = 'sending' AND m.holder = ? ORDER BY n.at_ms, n.id",
        (person, holder),
    )
    return Claim(person, holder, [Taken(_notice(row[:-1]), int(row[-1])) for row in found])


def settle(database: Database, claimed: Claim, outcomes: Mapping[str, Outcome], now_ms: int) -> None:
    """Writes the result of what was claimed, by ids of notices."""
    with database.transaction():
        database.many(
            "UPDATE notification SET state = ?, code = ?, next_ms = ?, changed_ms = ? "
            "WHERE notice = ? AND person = ? AND holder = ? AND state = 'sending'",
            [
                (one.state, one.code, one.next_ms, now_ms, notice, claimed.person, claimed.holder)
                for notice, one in outcomes.items()
            ],
        )


def give_up_interrupted(database: Database, before_ms: int) -> int:
    """Writes off what was taken before `before_ms` and never settled: it is not known whether it was sent. How many
    there were."""
    return database.run(
        "UPDATE notification SET state = 'unknown' WHERE state = 'sending' AND changed_ms < ?", (before_ms,)
    )


def needs_people(database: Database, notice: NoticeRow) -> bool:
    """Whether a person still has to do something, as the store has it. Of a partition the store knows nothing: true."""
    if notice.kind == "partition":
        return True
    values = (notice.id.partition("/")[2],) if notice.kind == "dead_letter" else (notice.run, notice.step)
    return bool(database.rows(_STILL[notice.kind], values))


def outcomes_of(database: Database, person: str | None = None) -> Counter[str]:
    """How many notifications are in each state, of one user or of all."""
    where, values = ("WHERE person = ? ", (person,)) if person is not None else ("", ())
    found = database.rows(f"SELECT state, count(*) FROM notification {where}GROUP BY state", values)  # noqa: S608
    return Counter({str(state): int(count) for state, count in found})


def _notice(values: tuple[object, ...]) -> NoticeRow:
    return NoticeRow(**dict(zip(NOTICE_COLUMNS, values, strict=True)))  # type: ignore[arg-type]
