"""What `unclaimed` and `dead-letters` say: trouble of a kind, settled when a person dealt with it, and the fate of the
event by its id."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from streamflow.engine import commands as c
from streamflow.engine.effects import RecordRejection, Unclaimed
from streamflow.errors import Rejected
from streamflow.history.database import Database
from streamflow.history.projection import Changes
from streamflow.history.reading import TroubleFilter, event_fates, list_trouble, lookup, trouble_counts
from streamflow.history.sqlite import Sqlite
from streamflow.history.trouble import project_letter, project_unclaimed
from streamflow.history.writer import apply
from streamflow.wire.codec import encode_command
from streamflow.wire.dead_letter import DeadLetter, dead_letter
from streamflow.wire.decoding import Record
from streamflow.wire.rejection import rejection
from streamflow.wire.settlement import Settlement, encode_settlement
from streamflow.wire.unclaimed import encode_unclaimed
from streamflow.wire.unreadable import UNREADABLE
from tests.builders import NOW_MS
from tests.unit.history.bench import a_store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Sqlite]:
    database = a_store(tmp_path)
    yield database
    database.close()


def unclaimed(
    outcome: str = "unclaimed",
    reason: str = "no_run",
    *,
    offset: int = 7,
    id_: str = "e-1",
    event: str = "paid",
    key: str = "K-1",
    source: str = "/shop",
) -> Record:
    effect = Unclaimed(
        definition="order",
        key=key,
        event=event,
        source=source,
        id=id_,
        outcome=outcome,
        reason=reason,
        run="r1",
        step="pay",
        offset=offset,
        arrived_ms=NOW_MS,
        ended_ms=NOW_MS + 5,
    )
    made = encode_unclaimed(effect, "main", "T", 1)
    return Record("unclaimed", 1, 3, NOW_MS, made[0], made[1], tuple(made[2]))


def letter(made: DeadLetter, offset: int = 4) -> Record:
    return Record("dead-letters", 0, offset, NOW_MS, made.key, made.value, made.headers)


def source(headers: tuple[tuple[str, bytes], ...] = ()) -> Record:
    return Record("orders", 2, 9, NOW_MS, b"K-1", b"{}", headers)


def a_delivery() -> c.Deliver:
    event = c.Event(name="paid", id="e-1", time_ms=1, data={}, source="/shop")
    origin = c.Origin(topic_id="S", partition=2, offset=9, committed=0, topic="orders")
    return c.Deliver(id="d-1", definition="order", key="K-1", event=event, origin=origin)


def take(store: Database, *records: Record) -> None:
    changes = Changes()
    for record in records:
        (project_unclaimed if record.topic == "unclaimed" else project_letter)(record, changes)
    with store.transaction():
        apply(store, changes)


@pytest.mark.parametrize(
    ("outcome", "reason", "kind"),
    [
        ("unclaimed", "no_run", "unclaimed"),
        ("unclaimed", "where_failed:no_such_field", "unclaimed"),
        ("refused", "run_open", "unclaimed"),
        ("unclaimed", "late", "late"),
        ("expired", "no_wait", "expired"),
    ],
)
def test_an_event_that_no_run_took_says_why(store: Sqlite, outcome: str, reason: str, kind: str) -> None:
    take(store, unclaimed(outcome, reason), unclaimed(outcome, reason))  # a copy of it comes too

    (row,) = list_trouble(store, TroubleFilter()).rows
    assert (row.kind, row.code, row.definition, row.key, row.run, row.step) == (
        kind,
        reason,
        "order",
        "K-1",
        "r1",
        "pay",
    )
    assert (row.count, row.state) == (1, "open")
    (fate,) = event_fates(store, "e-1")
    assert (fate.outcome, fate.reason, fate.source, fate.place) == (outcome, reason, "/shop", "commands/1/7")


def test_nothing_is_kept_of_an_erased_event(store: Sqlite) -> None:
    take(store, unclaimed("erased", "erased"))

    assert list_trouble(store, TroubleFilter()).rows == []
    assert event_fates(store, "e-1") == []


def test_a_dead_letter_is_open_until_it_is_settled(store: Sqlite) -> None:
    made = dead_letter(
        source((("ce_id", b"e-1"), ("ce_source", b"/shop"))), "not_json", "no JSON", "ingress", topic_id="S"
    )
    take(store, letter(made), letter(made, 5))

    (row,) = list_trouble(store, TroubleFilter(state="open")).rows
    assert (row.kind, row.code, row.message, row.key, row.count) == ("dead_letter", "not_json", "no JSON", "K-1", 1)
    assert [(one.outcome, one.reason) for one in event_fates(store, "e-1", "/shop")] == [("dead_letter", "not_json")]
    assert [hit.kind for hit in lookup(store, row.id)] == ["trouble"]

    settled = encode_settlement(Settlement(letter=row.id, state="dropped", why="old"))
    take(store, letter(settled, 6))
    assert list_trouble(store, TroubleFilter(state="open")).rows == []
    assert list_trouble(store, TroubleFilter(state="settled")).rows[0].id == row.id


def test_a_letter_and_its_settlement_may_come_together(store: Sqlite) -> None:
    made = dead_letter(source(), "not_json", "no JSON", "ingress", topic_id="S")
    id_ = dict(made.headers)["streamflow.dlq.id"].decode()
    take(store, letter(made), letter(encode_settlement(Settlement(letter=id_, state="dropped")), 5))

    assert [row.state for row in list_trouble(store, TroubleFilter()).rows] == ["settled"]


def test_an_event_without_an_id_is_known_by_the_place_of_its_record(store: Sqlite) -> None:
    take(store, letter(dead_letter(source(), "not_json", "no JSON", "ingress", topic_id="S")))

    assert [one.outcome for one in event_fates(store, "S/2/9")] == ["dead_letter"]


def test_a_refused_command_names_its_event(store: Sqlite) -> None:
    record = Record("commands", 1, 8, NOW_MS, b"K-1", encode_command(a_delivery()))
    effect = RecordRejection(command_id="d-1", code="too_many_open", message="m", run="r1", state={})
    overflow = dead_letter(record, "overflow", "full", "engine", definition="order", event="paid")
    take(store, letter(rejection(record, effect)), letter(overflow, 5))

    counts = trouble_counts(store, TroubleFilter())
    assert {kind: n for kind, n in counts.items() if n} == {"rejected": 1, "overflow": 1}
    fates = {(one.outcome, one.reason, one.definition, one.key) for one in event_fates(store, "e-1", "/shop")}
    assert fates == {("rejected", "too_many_open", "order", "K-1"), ("dead_letter", "overflow", "order", "K-1")}


def test_trouble_comes_newest_first_in_pages(store: Sqlite) -> None:
    take(store, *[unclaimed(offset=number, id_=f"e-{number}") for number in range(25)])

    found, cursor = [], None
    while True:
        page = list_trouble(store, TroubleFilter(kind="unclaimed"), cursor=cursor, limit=10)
        found += [row.id for row in page.rows]
        if (cursor := page.next) is None:
            break
    assert sorted(found) == sorted(f"unclaimed/1/{number}" for number in range(25))
    with pytest.raises(Rejected) as caught:
        list_trouble(store, TroubleFilter(kind="nonsense"))
    assert caught.value.code == "filter_invalid"


LONG = "x" * 10_000


@pytest.mark.parametrize(
    "made",
    [
        DeadLetter(b"\xff\xfe", None, (("streamflow.dlq.id", b"i"), ("streamflow.dlq.reason", b"\xff"))),
        DeadLetter(
            LONG.encode(), b"", (("streamflow.dlq.id", b"i"), ("streamflow.dlq.reason", b"r"), ("ce_id", LONG.encode()))
        ),
        dead_letter(Record("commands", 0, 0, 0, b"k", b"\xff"), "bad_command", "m", "engine"),
        dead_letter(
            Record("commands", 0, 0, 0, b"k", LONG.encode() * 100), "too_large", LONG, "engine", limit_bytes=1000
        ),
    ],
)
def test_letters_of_any_bytes_are_kept(store: Sqlite, made: DeadLetter) -> None:
    take(store, letter(made))

    (row,) = list_trouble(store, TroubleFilter()).rows
    assert max(len(row.key), len(row.event_id), len(row.message)) <= 500


@pytest.mark.parametrize(
    "record",
    [
        Record("dead-letters", 0, 1, 0, b"k", b"v"),
        Record("dead-letters", 0, 1, 0, b"k", b"no json", (("streamflow.dlq.settles", b"x"),)),
        Record("unclaimed", 0, 1, 0, b"k", b"no json", (("ce_type", b"streamflow.EventUnclaimed"),)),
        Record("unclaimed", 0, 1, 0, None, None),
    ],
)
def test_what_nobody_can_read_is_passed_on_as_unreadable(record: Record) -> None:
    with pytest.raises(UNREADABLE):
        (project_unclaimed if record.topic == "unclaimed" else project_letter)(record, Changes())
