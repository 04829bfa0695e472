"""What the history store says of runs: rows, open steps, counters, trouble and outcomes of events, whatever the batches
that the records came in."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from streamflow.engine import transitions as t
from streamflow.engine.attempt_transitions import (
    AttemptFailed,
    AttemptSucceeded,
    AttemptSuspended,
    CallRequested,
    ChildRequested,
    ItemsEnded,
    ItemsListed,
)
from streamflow.engine.commands import Parent
from streamflow.engine.transitions import Transition
from streamflow.errors import OperationError
from streamflow.history.filters import RunFilter
from streamflow.history.queries import list_runs
from streamflow.history.reading import TroubleFilter as Trouble
from streamflow.history.reading import (
    ancestors,
    attributes_of,
    decoded,
    event_fates,
    find_run,
    list_trouble,
    steps_of,
    transitions,
)
from streamflow.history.rows import RunRow
from streamflow.history.sqlite import Sqlite
from streamflow.history.statistics import statistics, traffic
from tests.builders import NOW_MS
from tests.unit.history.bench import Fact, Projector, a_history, a_store, an_event, dump, records_of, started

CALLED = CallRequested(operation="http.post", lane="default", input={}, due_ms=NOW_MS + 60_000)
FAILED = AttemptFailed(code="http_500", message="no", retry_ms=NOW_MS + 9000)
GIVEN_UP = AttemptFailed(code="http_500", message="still no")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Sqlite]:
    database = a_store(tmp_path)
    yield database
    database.close()


def project(store: Sqlite, *histories: list[Transition]) -> Projector:
    projector = Projector(store)
    projector.take(records_of([each for history in histories for each in history]))
    return projector


def the_run(store: Sqlite, run: str = "r1") -> RunRow:
    found = find_run(store, run)
    assert found is not None
    return found


def test_an_open_run_says_what_it_waits_for_and_since_when(store: Sqlite) -> None:
    wait = t.WaitStarted(events=("paid", "refused"), due_ms=NOW_MS + 5000)
    project(store, a_history("r1", started(), (wait, "pay")))

    run = the_run(store)
    assert (run.status, run.waits_for, run.due_ms, run.seq) == ("open", "paid refused", NOW_MS + 5000, 2)
    (step,) = steps_of(store, "r1")
    assert (step.step, step.state, step.since_ms, step.waits_for) == ("pay", "waiting", NOW_MS + 1000, "paid refused")
    assert [each.run for each in list_runs(store, RunFilter(waits_for="paid")).rows] == ["r1"]
    assert list_runs(store, RunFilter(waits_for="shipped")).rows == []


CHILD = ChildRequested(child="c-1", definition="billing", version="2", key="K-1", input={})
LISTED = (ItemsListed(items=(1, 2), deadline_ms=None), "s")
WAITS: dict[str, tuple[list[Fact], str, tuple[str, ...]]] = {
    "event": ([(t.WaitStarted(events=("paid",), due_ms=None), "s")], "paid", ("paid",)),
    "delay": (
        [(t.DelayStarted(until_ms=1_800_000_000_000), "s")],
        "delay:2027-01-15T08:00:00Z",
        ("delay:", "delay:2027-01-15T08:00:00Z"),
    ),
    "delay beyond all calendars": ([(t.DelayStarted(until_ms=10**17), "s")], f"delay:{10**17}", ("delay:",)),
    "approval": (
        [(t.ApprovalRequested(text="?", who=("ops", "The Board"), form=None, due_ms=None), "s")],
        "approval:The_Board approval:ops",
        ("approval:", "approval:ops", "approval:The_Board"),
    ),
    "call": ([(CALLED, "s", 1)], "call:http.post", ("call:", "call:http.post")),
    "retry": ([(CALLED, "s", 1), (FAILED, "s", 1)], "retry:http.post", ("retry:", "retry:http.post")),
    "callback": ([(CALLED, "s", 1), (AttemptSuspended(due_ms=NOW_MS), "s", 1)], "callback:http.post", ("callback:",)),
    "child": ([(CHILD, "s", 1)], "child:billing", ("child:", "child:billing")),
    "list of calls": (
        [LISTED, *((msgspec.structs.replace(CALLED, item=item), "s", 1) for item in (0, 1))],
        "call:http.post",
        ("call:",),
    ),
    "list of children": (
        [LISTED, (msgspec.structs.replace(CHILD, item=0), "s", 1)],
        "child:billing",
        ("child:billing",),
    ),
    "two steps": (
        [(CALLED, "s", 1), (t.WaitStarted(events=("call",), due_ms=None), "pay")],
        "call call:http.post",
        ("call", "call:"),
    ),
}


@pytest.mark.parametrize("kind", WAITS)
@pytest.mark.parametrize("forget", [False, True])
def test_an_open_run_says_what_it_waits_for_and_is_found_by_it(store: Sqlite, kind: str, forget: bool) -> None:
    """Whatever the kind; and no longer once it has ended, whether the worker was restarted in between or not."""
    facts, shown, words = WAITS[kind]
    history = a_history("r1", started(), *facts, (t.RunCompleted(ended=("s",)), ""))
    projector = Projector(store)
    for record in records_of(history[:-1]):
        projector.take([record], forget=forget)
    project_other = records_of(a_history("r2", started(), (t.WaitStarted(events=("other",), due_ms=None), "s")))

    def found(word: str) -> list[str]:
        return [each.run for each in list_runs(store, RunFilter(waits_for=word)).rows]

    assert the_run(store).waits_for == shown
    assert [found(word) for word in words] == [["r1"]] * len(words)
    projector.take(project_other)
    assert [found(word) for word in words] == [["r1"]] * len(words)
    assert found("other") == ["r2"]
    projector.take(records_of(history)[-1:], forget=forget)
    assert [found(word) for word in words] == [[]] * len(words)
    assert the_run(store).waits_for is None


def test_a_run_with_many_waits_is_found_by_each_and_shows_some(store: Sqlite) -> None:
    events = tuple(f"e{number:02}" for number in range(23))
    project(store, a_history("r1", started(), (t.WaitStarted(events=events, due_ms=None), "s")))

    assert the_run(store).waits_for == " ".join([*events[:20], "+3"])
    assert all(list_runs(store, RunFilter(waits_for=event)).rows for event in events)


def test_a_run_that_ended_is_sealed_and_nothing_of_it_stays_open(store: Sqlite) -> None:
    facts = [
        started(),
        (t.WaitStarted(events=("paid",), due_ms=None), "pay"),
        (t.WaitSatisfied(outcome="paid", event=an_event("paid", "e-2")), "pay"),
        (t.RunCompleted(ended=("pay",), output={"a": 1}), ""),
    ]
    history = a_history("r1", *facts)
    projector = Projector(store)
    projector.take(records_of(history[:2]))
    projector.take(records_of(history[2:]))

    run = the_run(store)
    assert (run.status, run.ended_ms, run.duration_ms) == ("completed", NOW_MS + 3000, 3000)
    assert steps_of(store, "r1") == []
    assert store.rows("SELECT count(*) FROM transition") == [(0,)]
    assert store.rows("SELECT n FROM sealed") == [(4,)]
    assert [decoded(row) for row in transitions(store, "r1")] == history
    assert [row.seq for row in transitions(store, "r1", after=1, limit=2, newest_first=True)] == [4, 3]
    assert store.rows("SELECT count(*) FROM attr") == [(0,)]


def test_what_is_parked_is_trouble_until_it_goes_on(store: Sqlite) -> None:
    history = a_history(
        "r1",
        started(),
        (CALLED, "charge", 1),
        (GIVEN_UP, "charge", 1),
        (t.StepParked(code="http_500", at="call"), "charge"),
        (t.StepRetried(), "charge"),
        (CALLED, "charge", 2),
        (AttemptSucceeded(output={}), "charge", 2),
        (t.RunCompleted(ended=("charge",)), ""),
    )
    projector = project(store, history[:4])

    run = the_run(store)
    assert (run.parked_step, run.error_code, run.error_message) == ("charge", "http_500", "still no")
    (row,) = list_trouble(store, Trouble(state="open")).rows
    assert (row.kind, row.run, row.step, row.code) == ("parked", "r1", "charge", "http_500")
    assert [each.run for each in list_runs(store, RunFilter(status="parked")).rows] == ["r1"]

    projector.take(records_of(history[4:]))

    assert list_trouble(store, Trouble(state="open")).rows == []
    assert list_trouble(store, Trouble()).rows[0].state == "settled"
    assert (the_run(store).error_code, the_run(store).parked_step) == (None, None)


def test_an_error_goes_when_its_step_succeeds_and_stays_when_the_run_fails(store: Sqlite) -> None:
    better = [started(), (CALLED, "a", 1), (FAILED, "a", 1), (CALLED, "a", 2), (AttemptSucceeded(output=1), "a", 2)]
    worse = [started(), (CALLED, "a", 1), (GIVEN_UP, "a", 1), (t.RunFailed(reason="no money"), "")]
    project(store, a_history("r1", *better[:3]), a_history("r2", *better), a_history("r3", *worse))

    assert the_run(store, "r1").error_code == "http_500"
    assert the_run(store, "r2").error_code is None
    assert (the_run(store, "r3").status, the_run(store, "r3").error_code) == ("failed", "http_500")
    assert the_run(store, "r3").error_message == "no money"


def test_declared_attributes_come_from_the_trigger(store: Sqlite) -> None:
    search = {"city": "trigger.to.city", "total": "trigger.total", "gone": "trigger.nothing", "list": "trigger.items"}
    data: dict[str, Any] = {"to": {"city": "Bern"}, "total": 7, "items": [1]}
    projector = Projector(store, lambda sha: search if sha == "sha" else {})
    projector.take(records_of(a_history("r1", started(event=an_event(**data)))))
    projector.take(records_of(a_history("r2", started("other", an_event(**data)))))

    assert attributes_of(store, "r1") == {"city": "Bern", "total": "7"}
    assert attributes_of(store, "r2") == {}
    assert [r.run for r in list_runs(store, RunFilter(attributes={"city": "Bern", "total": "7"})).rows] == ["r1"]


@pytest.mark.parametrize(
    ("total", "value"), [(10, "10"), (10.0, "10"), (-0.0, "0"), (10.5, "10.5"), (2.0**60, str(2.0**60))]
)
def test_an_attribute_is_the_number_however_its_producer_wrote_it(store: Sqlite, total: float, value: str) -> None:
    projector = Projector(store, lambda sha: {"total": "trigger.total"})
    projector.take(records_of(a_history("r1", started(event=an_event(total=total)))))

    assert attributes_of(store, "r1") == {"total": value}
    assert [r.run for r in list_runs(store, RunFilter(attributes={"total": value})).rows] == ["r1"]


def test_what_became_of_an_event(store: Sqlite) -> None:
    taken = t.WaitSatisfied(outcome="paid", event=an_event("paid", "e-2"), is_copy=True)
    project(
        store,
        a_history(
            "r1",
            started(),
            (t.WaitStarted(events=("paid",), due_ms=None), "pay"),
            (taken, "pay"),
            (t.EventEmitted(event="shipped", id="r1/4", key="K-1", data={}), "ship"),
        ),
    )

    assert [(f.outcome, f.run, f.step, f.event) for f in event_fates(store, "e-1")] == [("started", "r1", "", "placed")]
    assert [(f.outcome, f.step) for f in event_fates(store, "e-2", "/shop")] == [("copied", "pay")]
    assert event_fates(store, "e-2", "/other") == []
    assert [f.outcome for f in event_fates(store, "r1/4")] == ["emitted"]


def test_counters_say_how_steps_and_runs_ended(store: Sqlite) -> None:
    facts = [
        started(),
        (t.BranchChosen(branch="large"), "size"),
        (t.StepsSkipped(steps=("small",)), ""),
        (CALLED, "charge", 1),
        (AttemptSucceeded(output={}), "charge", 1),
        (t.RunCompleted(ended=("charge",)), ""),
    ]
    project(store, a_history("r1", *facts), a_history("r2", *facts))

    points = {each.outcome: each for each in statistics(store, NOW_MS, NOW_MS + 1, definition="order")}
    assert {name: point.n for name, point in points.items()} == {"started": 2, "completed": 2}
    assert points["completed"].mean_ms == 5000
    assert points["completed"].p95_ms == pytest.approx(5000, rel=0.1)
    counted = {(each.step, each.outcome): each.n for each in traffic(store, "order", "1", NOW_MS, NOW_MS + 1)}
    assert counted == {("size", "large"): 2, ("small", "skipped"): 2, ("charge", "done"): 2}


def test_a_run_whose_beginning_is_gone_is_told_of_from_there(store: Sqlite) -> None:
    history = a_history("r1", started(), (CALLED, "a", 1), (AttemptSucceeded(output=1), "a", 1))
    project(store, history[1:])

    assert (the_run(store).first_seq, the_run(store).seq, the_run(store).started_ms) == (2, 3, NOW_MS + 1000)


def test_children_and_restarts_name_their_runs(store: Sqlite) -> None:
    parent = Parent(run="r1", key="K-1", address="sub", attempt=1)
    again = an_event("", "restart/r0")
    project(
        store,
        a_history("r1", started(event=again)),
        a_history("r2", started(parent=parent)),
        a_history("r3", started(parent=Parent(run="r2", key="K-1", address="sub", attempt=1))),
    )

    assert the_run(store, "r1").restart_of == "r0"
    assert ancestors(store, "r3") == ["r2", "r1"]
    assert [each.run for each in list_runs(store, RunFilter(parent="r1")).rows] == ["r2"]


def test_a_stopping_run_waits_for_what_is_under_way_only(store: Sqlite) -> None:
    stopping = t.RunStopping(ending="cancelled", reason="enough", undo=(), under_way=(t.UnderWay(address="a"),))
    waiting = (t.WaitStarted(events=("paid",), due_ms=None), "pay")
    project(store, a_history("r1", started(), waiting, (CALLED, "a", 1), (stopping, "")))

    assert (the_run(store).stopping, the_run(store).waits_for) == ("cancelled", "call:http.post")
    assert [step.step for step in steps_of(store, "r1")] == ["a"]


FACTS: dict[str, list[Fact]] = {
    "waits": [
        (t.WaitStarted(events=("paid",), due_ms=NOW_MS + 9), "pay"),
        (t.WaitSatisfied(outcome="paid", event=an_event("paid", "e-9")), "pay"),
        (t.RunCompleted(ended=("pay",)), ""),
    ],
    "parked": [
        (CALLED, "a", 1),
        (GIVEN_UP, "a", 1),
        (t.StepParked(code="http_500", at="call"), "a"),
        (t.StepRetried(), "a"),
        (CALLED, "a", 2),
        (GIVEN_UP, "a", 2),
        (t.StepParked(code="http_500", at="call"), "a"),
        (t.StepsSkipped(steps=("a",)), ""),
        (t.RunFailed(reason="no"), ""),
    ],
    "list": [
        (ItemsListed(items=(1, 2), deadline_ms=None), "each"),
        (CallRequested(operation="o", lane="l", input=1, due_ms=NOW_MS, item=0), "each", 1),
        (CallRequested(operation="o", lane="l", input=1, due_ms=NOW_MS, item=1), "each", 1),
        (AttemptSucceeded(output=1, item=0), "each", 1),
        (AttemptFailed(code="bad", message="m", item=1), "each", 1),
        (ItemsEnded(total=2, failed=1, outcome="failure"), "each"),
    ],
    "approval": [
        (t.ApprovalRequested(text="?", who=("a",), form=None, due_ms=None), "ask"),
        (t.ApprovalGiven(decision="approved", by="a", data=None), "ask"),
        (t.DelayStarted(until_ms=NOW_MS + 77), "pause"),
    ],
    "stopping": [
        (CALLED, "a", 1),
        (t.WaitStarted(events=("paid", "x"), due_ms=None), "pay"),
        (t.RunStopping(ending="cancelled", reason="r", undo=(), under_way=(t.UnderWay(address="a"),)), ""),
        (AttemptSucceeded(output=1), "a", 1),
        (t.RunCancelled(reason="r"), ""),
    ],
}


@pytest.mark.parametrize("seed", range(12))
def test_batches_restarts_and_copies_change_nothing(tmp_path: Path, seed: int) -> None:
    """The same records in one piece, and in random pieces with the memory lost in between and records that come
    again."""
    choose = random.Random(seed)
    search = {"city": "trigger.city"}
    histories = [
        a_history(f"r{number}", started(event=an_event(city=f"c{number % 2}")), *facts, key=f"K{number}")
        for number, facts in enumerate(list(FACTS.values()) * 3)
    ]
    records: list[Transition] = []
    left = [list(history) for history in histories]
    while any(left):
        records.append(choose.choice([history for history in left if history]).pop(0))
    whole, pieces = a_store(tmp_path / "whole"), a_store(tmp_path / "pieces")
    Projector(whole, lambda sha: search).take(records_of(records))
    projector, at = Projector(pieces, lambda sha: search), 0
    while at < len(records):
        size = choose.randint(1, 9)
        again = choose.randint(0, min(at, 12))
        projector.take(records_of(records[at - again : at + size]), forget=choose.random() < 0.5)
        at += size

    expected, found = dump(whole), dump(pieces)
    for table in expected:
        assert without_places(table, found[table]) == without_places(table, expected[table]), table


def without_places(table: str, rows: list[tuple[object, ...]]) -> list[tuple[object, ...]]:
    """Copies lie elsewhere."""
    return [row[:-1] for row in rows] if table in ("trouble", "event_fate") else rows


def test_a_batch_is_written_once_only(store: Sqlite) -> None:
    """A worker that does not know that another one has gone on writes nothing."""
    first, second = Projector(store), Projector(store)
    records = records_of(a_history("r1", started()))
    first.take(records)
    before = dump(store)

    with pytest.raises(OperationError) as caught:
        second.take(records)

    assert caught.value.code == "history_moved"
    assert dump(store) == before


@pytest.mark.parametrize("seed", range(30))
def test_facts_in_an_order_that_cannot_be_stop_nobody(tmp_path: Path, seed: int) -> None:
    """The engine never tells such a history, but whoever may write `runs` can, and a beginning may be gone."""
    choose = random.Random(seed)
    facts = [fact for each in FACTS.values() for fact in each] + [started(), (t.StepRetried(deadline_ms=1), "each")]
    facts += [(t.DelayElapsed(until_ms=1), "pause"), (ItemsEnded(total=1, failed=1, outcome=None), "each")]
    facts += [
        (AttemptSuspended(due_ms=5), "a", 1),
        (t.ApprovalExpired(due_ms=1), "ask"),
        (t.LinePrinted(text="x"), ""),
    ]
    steps = ["a", "each", "pay", "ask", "new"]
    told_of = [(data, choose.choice(steps) if step else step, 1) for data, step, *_ in choose.choices(facts, k=40)]
    histories = [a_history(f"r{seed}-{n}", *told_of[n * 10 :]) for n in range(3)]
    store = a_store(tmp_path)
    projector = Projector(store)

    for history in histories:
        for at in range(0, len(history), 7):
            projector.take(records_of(history[at : at + 7]), forget=choose.random() < 0.5)

    assert store.rows("SELECT count(*) FROM run") == [(3,)]
    store.close()
