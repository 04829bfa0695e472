"""Deliveries that start runs, and what the definition says of runs that are open already."""

from __future__ import annotations

import pytest

from streamflow.engine.builder import Limits
from streamflow.engine.commands import CancelRun
from streamflow.ids import command_place, run_id
from tests.builders import a_definition, a_start, an_event, an_origin
from tests.unit.engine.bench import Bench, facts, outcome
from tests.unit.engine.mailbox.steps import GATE, tally, unclaimed

PRINT = {"id": "p", "print": {"text": "'x'"}}


def test_the_id_of_a_run_is_known_from_the_offset_of_its_start() -> None:
    bench = Bench(a_definition(PRINT))
    bench.offer("other")
    (started, *_) = bench.start().transitions
    assert started.run == run_id("main", "order", "k1", command_place("", 0, 1))
    assert started.data.offset == 1


def test_a_start_by_the_same_event_is_a_duplicate_also_after_its_run() -> None:
    bench = Bench(a_definition(PRINT))
    bench.start(id="e1")
    assert outcome(bench.start(id="e1")) == ("duplicate", "seen")
    assert tally(bench) == {"placed/delivered": 2, "placed/started": 1, "placed/duplicate/seen": 1}


def test_a_start_after_the_memory_has_ended_is_another_run() -> None:
    bench = Bench(a_definition(PRINT), limits=Limits(window_ms=1000))
    (first, *_) = bench.start(id="e1").transitions
    bench.now_ms += 2000
    (second, *_) = bench.start(id="e1").transitions
    assert first.run != second.run


def test_many_starts_a_run_for_each_event() -> None:
    bench = Bench(a_definition(GATE))
    assert [outcome(bench.start(id=id)) for id in ("e1", "e2")] == [("applied", "")] * 2


def test_one_refuses_a_start_while_a_run_is_open() -> None:
    bench = Bench(a_definition(GATE, runs="one"))
    bench.start(id="e1")
    decision = bench.start(id="e2")
    assert outcome(decision) == ("rejected", "run_open")
    assert unclaimed(decision) == [("e2", "refused", "run_open")]
    bench.take(CancelRun("c", bench.run("e1")))
    assert facts(bench.start(id="e3"))[0] == "RunStarted"


@pytest.mark.parametrize("policy", ["one", "join"])
def test_a_refused_start_is_an_ordinary_event(policy: str) -> None:
    again = {"id": "w", "wait": {"events": [{"id": "again", "event": "placed"}], "forever": True, "since": "run"}}
    bench = Bench(a_definition(again, runs=policy))
    bench.start(id="e1")
    assert facts(bench.start(id="e2")) == [("WaitSatisfied", "w"), "RunCompleted"]
    assert outcome(bench.start(id="e2")) == ("duplicate", "seen")


def test_join_without_a_wait_for_it_is_unclaimed() -> None:
    bench = Bench(a_definition(GATE, runs="join"))
    bench.start(id="e1")
    assert unclaimed(bench.start(id="e2")) == [("e2", "unclaimed", "no_wait")]


def test_a_mailbox_has_a_bounded_number_of_open_runs() -> None:
    bench = Bench(a_definition(GATE), limits=Limits(open_runs=2))
    found = [outcome(bench.start(id=f"e{n}")) for n in range(3)]
    assert found == [("applied", ""), ("applied", ""), ("rejected", "too_many_open")]


def test_an_event_does_not_satisfy_a_wait_of_the_run_that_it_starts() -> None:
    wait = {"id": "w", "wait": {"events": [{"id": "x", "event": "placed"}], "forever": True, "take": "every"}}
    bench = Bench(a_definition(wait))
    assert facts(bench.start(id="e1")) == ["RunStarted", ("WaitStarted", "w")]
    assert [t.run for t in bench.start(id="e2").transitions if t.type == "WaitSatisfied"] == [bench.run("e1")]


def test_kept_events_start_no_runs() -> None:
    bench = Bench(a_definition(GATE))
    assert outcome(bench.offer("placed", keep_ms=1000)) == ("applied", "")
    assert bench.head() is None


def test_a_start_that_is_refused_may_be_sent_again() -> None:
    bench = Bench(a_definition(GATE, runs="one"))
    bench.start(id="e1")
    bench.start(id="e2")
    bench.take(CancelRun("c", bench.run("e1")))
    assert facts(bench.start(id="e2"))[0] == "RunStarted"


def test_the_same_record_of_a_refused_start_is_a_duplicate() -> None:
    bench = Bench(a_definition(GATE, runs="one"))
    bench.start(id="e1")
    start = a_start(bench.plan, an_event(id="e2"), origin=an_origin(7))
    assert [outcome(bench.take(start)) for _ in range(2)] == [("rejected", "run_open"), ("duplicate", "record")]
