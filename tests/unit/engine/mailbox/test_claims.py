"""Which run and which wait an event goes to."""

from __future__ import annotations

import pytest

from streamflow.engine.builder import Limits
from streamflow.engine.commands import CancelRun, ContinueDelivery
from streamflow.engine.effects import AppendCommand
from tests.builders import NOW_MS, a_definition
from tests.unit.engine.bench import Bench, facts, outcome
from tests.unit.engine.mailbox.steps import GATE, a_wait, box, claims, unclaimed


def test_the_oldest_run_with_a_wait_that_accepts_it_consumes_an_event() -> None:
    bench = Bench(a_definition(a_wait()))
    bench.start(id="e1")
    bench.start(id="e2")
    assert claims(bench.offer("paid", id="p1")) == [(bench.run("e1"), "w", "p1")]
    assert claims(bench.offer("paid", id="p2")) == [(bench.run("e2"), "w", "p2")]


def test_a_claim_names_the_event_and_the_offset_of_its_delivery() -> None:
    bench = Bench(a_definition(a_wait()))
    bench.start()
    (claim, *_) = bench.offer("paid", id="p1", source="shop").transitions
    assert (claim.data.event.name, claim.data.event.source, claim.data.event.id) == ("paid", "shop", "p1")
    assert (claim.data.offset, claim.data.is_copy) == (1, False)


def test_within_a_run_the_first_wait_in_plan_order_takes_it() -> None:
    bench = Bench(a_definition(a_wait("one"), a_wait("two")))
    bench.start()
    assert facts(bench.offer("paid", id="p1")) == [("WaitSatisfied", "one")]
    assert facts(bench.offer("paid", id="p2")) == [("WaitSatisfied", "two"), "RunCompleted"]


def test_every_run_takes_a_copy() -> None:
    bench = Bench(a_definition(a_wait(take="every")))
    bench.start(id="e1")
    bench.start(id="e2")
    decision = bench.offer("paid", id="p1")
    assert claims(decision) == [(bench.run("e1"), "w", "p1"), (bench.run("e2"), "w", "p1")]
    assert [t.data.is_copy for t in decision.transitions if t.type == "WaitSatisfied"] == [True, True]
    assert outcome(bench.offer("paid", id="p1")) == ("duplicate", "seen")


def test_a_copy_leaves_the_original_to_others() -> None:
    bench = Bench(a_definition(a_wait(take="every"), version="1"), a_definition(a_wait(), version="2"))
    bench.start(id="e1", plan=bench.plan_of("order", "1"))
    bench.start(id="e2", plan=bench.plan_of("order", "2"))
    assert claims(bench.offer("paid", id="p1")) == [(bench.run("e1"), "w", "p1"), (bench.run("e2"), "w", "p1")]


def test_a_run_takes_an_event_once_also_as_a_copy() -> None:
    bench = Bench(a_definition(a_wait("one", take="every"), a_wait("two", take="every")))
    bench.start()
    assert facts(bench.offer("paid", id="p1")) == [("WaitSatisfied", "one")]


def test_a_run_that_begins_takes_a_copy_of_what_is_kept() -> None:
    bench = Bench(a_definition(a_wait(take="every", keep="1h")))
    bench.offer("paid", id="p1", copies_ms=3_600_000)
    for id in ("e1", "e2"):
        assert claims(bench.start(id=id)) == [(bench.run(id), "w", "p1")]


def test_a_false_condition_leaves_the_event_to_younger_runs() -> None:
    bench = Bench(a_definition(a_wait(where="event.n > trigger.least")))
    bench.start({"least": 5}, id="e1")
    bench.start({"least": 1}, id="e2")
    assert claims(bench.offer("paid", {"n": 2}, id="p1")) == [(bench.run("e2"), "w", "p1")]


def test_a_condition_that_fails_leaves_the_event_to_younger_runs() -> None:
    bench = Bench(a_definition(a_wait(where="event.n > trigger.least")))
    bench.start({}, id="e1")
    bench.start({"least": 1}, id="e2")
    assert claims(bench.offer("paid", {"n": 2}, id="p1")) == [(bench.run("e2"), "w", "p1")]


def test_a_run_that_stops_takes_nothing() -> None:
    called = {"id": "call", "call": {"operation": "pay"}, "undo": {"operation": "back"}}
    bench = Bench(a_definition(called, a_wait()))
    bench.start(id="e1")
    bench.take(CancelRun("c", bench.run("e1")))
    assert unclaimed(bench.offer("paid", id="p1")) == [("p1", "unclaimed", "stopping")]
    bench.start(id="e2")
    assert claims(bench.offer("paid", id="p2")) == [(bench.run("e2"), "w", "p2")]


# -- the point from which events count


def test_since_run_counts_what_came_since_the_start_of_the_run() -> None:
    bench = Bench(a_definition(GATE, a_wait(after="gate")))
    bench.start()
    bench.offer("paid", id="p1")
    bench.now_ms += 86_400_000
    assert claims(bench.offer("go"))[1:] == [(bench.run(), "w", "p1")]


def test_since_run_with_keep_counts_what_came_before_the_run_however_late_the_wait_begins() -> None:
    bench = Bench(a_definition(GATE, a_wait(after="gate", keep="1h")))
    bench.offer("paid", id="p1", keep_ms=3_600_000)
    bench.now_ms += 3_600_000
    bench.start()
    bench.now_ms += 2 * 86_400_000
    assert claims(bench.offer("go"))[1:] == [(bench.run(), "w", "p1")]


def test_what_came_before_the_run_does_not_count_without_keep() -> None:
    bench = Bench(a_definition(a_wait()))
    bench.offer("paid", id="p1", keep_ms=1000)
    assert claims(bench.start()) == []


def test_since_here_counts_only_what_comes_after_the_wait_has_begun() -> None:
    bench = Bench(a_definition(GATE, a_wait(after="gate", since="here")))
    bench.start()
    assert unclaimed(bench.offer("paid", id="p1")) == [("p1", "unclaimed", "no_wait")]
    bench.offer("go")
    assert claims(bench.offer("paid", id="p2")) == [(bench.run(), "w", "p2")]


def test_since_here_does_not_count_the_event_that_let_the_wait_begin() -> None:
    second = {"id": "w", "needs": ["gate"], "wait": {**GATE["wait"], "since": "here", "take": "every"}}
    bench = Bench(a_definition(GATE, second))
    bench.start()
    assert facts(bench.offer("go", id="g1")) == [("WaitSatisfied", "gate"), ("WaitStarted", "w")]
    assert facts(bench.offer("go", id="g2"))[0] == ("WaitSatisfied", "w")


@pytest.mark.parametrize(("passed_ms", "taken"), [(1000, True), (1001, False)])
def test_since_here_with_keep_counts_what_came_shortly_before_the_wait(passed_ms: int, taken: bool) -> None:
    bench = Bench(a_definition(GATE, a_wait(after="gate", since="here", keep="1s")))
    bench.start()
    bench.offer("paid", id="p1")
    bench.now_ms += passed_ms
    assert [step for _, step, _ in claims(bench.offer("go"))] == (["gate", "w"] if taken else ["gate"])


def test_an_event_that_is_late_for_one_wait_stays_for_another() -> None:
    bench = Bench(a_definition(a_wait("one", within="10s"), a_wait("two")))
    bench.start()
    assert facts(bench.offer("paid", time_ms=NOW_MS + 10_001)) == [("WaitSatisfied", "two")]


# -- several events, several runs


def test_events_ahead_of_their_runs_go_to_one_run_each() -> None:
    bench = Bench(a_definition(a_wait(keep="1h")))
    for id in ("p1", "p2", "p3"):
        bench.offer("paid", id=id, keep_ms=3_600_000)
    assert [claims(bench.start(id=id)) for id in ("e1", "e2", "e3")] == [
        [(bench.run(f"e{n}"), "w", f"p{n}")] for n in (1, 2, 3)
    ]
    assert box(bench).entries == ()


def test_events_are_kept_for_runs_to_come_while_a_run_is_open() -> None:
    bench = Bench(a_definition(a_wait(keep="1h")))
    bench.start(id="e1")
    bench.offer("paid", id="p1", keep_ms=3_600_000)
    bench.start(id="e2")
    bench.offer("paid", id="p2", keep_ms=3_600_000)
    bench.offer("paid", id="p3", keep_ms=3_600_000)
    assert claims(bench.start(id="e3")) == [(bench.run("e3"), "w", "p3")]


def test_a_wait_that_begins_takes_the_oldest_entry_that_it_accepts() -> None:
    bench = Bench(a_definition(GATE, a_wait(after="gate", where="event.n > 1")))
    bench.start()
    for n in (1, 2, 3):
        bench.offer("paid", {"n": n}, id=f"p{n}")
    assert claims(bench.offer("go"))[1:] == [(bench.run(), "w", "p2")]


def test_the_first_wait_to_begin_takes_what_came_before_anybody_waited() -> None:
    bench = Bench(a_definition(GATE, a_wait(after="gate", keep="1h")))
    bench.start(id="e1")
    bench.start(id="e2")
    bench.offer("paid", id="p1")
    assert claims(bench.offer("go", id="g1"))[1:] == [(bench.run("e1"), "w", "p1")]


# -- the bound of one command


def following(bench: Bench) -> ContinueDelivery:
    assert bench.last is not None
    (command,) = [
        effect.command
        for effect in bench.last.effects
        if isinstance(effect, AppendCommand) and isinstance(effect.command, ContinueDelivery)
    ]
    return command


def test_a_command_makes_a_bounded_number_of_claims_and_the_rest_is_continued() -> None:
    bench = Bench(a_definition(a_wait(take="every")), limits=Limits(claims=2))
    for n in range(5):
        bench.start(id=f"e{n}")
    assert len(claims(bench.offer("paid", id="p1"))) == 2
    assert box(bench).continue_due
    assert len(claims(bench.take(following(bench)))) == 2
    assert len(claims(bench.take(following(bench)))) == 1
    assert not box(bench).continue_due
    assert box(bench).entries == ()


def test_claimed_bytes_are_bounded_too() -> None:
    bench = Bench(a_definition(a_wait(take="every")), limits=Limits(claimed_bytes=3000))
    for n in range(4):
        bench.start(id=f"e{n}")
    assert len(claims(bench.offer("paid", {"text": "x" * 1000}, id="p1"))) == 2


def test_while_a_continue_is_due_events_are_only_kept_and_waits_only_begin() -> None:
    bench = Bench(a_definition(a_wait(take="every")), limits=Limits(claims=1))
    bench.start(id="e1")
    bench.start(id="e2")
    bench.offer("paid", id="p1")
    command = following(bench)
    assert facts(bench.start(id="e3")) == ["RunStarted", ("WaitStarted", "w")]
    assert claims(bench.offer("paid", id="p2")) == []
    found = claims(bench.take(command))
    while box(bench).continue_due:
        found += claims(bench.take(following(bench)))
    assert found == [(bench.run("e2"), "w", "p1"), (bench.run("e3"), "w", "p2")]


def test_a_repeated_continue_does_nothing() -> None:
    bench = Bench(a_definition(a_wait()))
    assert outcome(bench.take(ContinueDelivery("c", "order", "k1"))) == ("duplicate", "nothing_to_do")


def test_a_run_that_ends_while_a_continue_is_due_claims_nothing() -> None:
    bench = Bench(a_definition(a_wait(take="every")), limits=Limits(claims=1))
    bench.start(id="e1")
    bench.start(id="e2")
    bench.offer("paid", id="p1")
    command = following(bench)
    bench.take(CancelRun("c", bench.run("e2")))
    assert claims(bench.take(command)) == []
    assert box(bench).entries == ()
