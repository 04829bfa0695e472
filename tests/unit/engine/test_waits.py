"""Events and runs: which run an event is for, what is kept for later, what is known already, and when a limit fires."""

from __future__ import annotations

import pytest

from streamflow.engine.builder import FINISHED_PER_KEY, Limits
from streamflow.engine.commands import AdvanceWatermark, CancelRun, Continue, FireTimer, RetryStep, SkipStep
from streamflow.engine.effects import DeadLetter
from streamflow.engine.transitions import EventKept
from tests.builders import NOW_MS, a_definition
from tests.unit.engine.bench import Bench, facts, outcome

FOREVER = {"events": [{"id": "paid", "event": "paid"}], "forever": True}
PRINT = {"print": {"text": "'x'"}}


def a_wait(id: str = "w", **wait: object) -> dict[str, object]:
    return {
        "id": id,
        "wait": {
            "events": [{"id": "paid", "event": "paid"}],
            **({} if "within" in wait else {"forever": True}),
            **wait,
        },
    }


def test_a_wait_takes_the_first_of_its_events() -> None:
    both = {
        "id": "w",
        "wait": {"events": [{"id": "yes", "event": "paid"}, {"id": "no", "event": "refused"}], "forever": True},
    }
    bench = Bench(a_definition(both, {"id": "n", "needs": ["w.no"], **PRINT}))
    started = bench.start()
    assert started.transitions[1].data.events == ("paid", "refused")
    decision = bench.offer("refused")
    assert facts(decision) == [("WaitSatisfied", "w"), ("LinePrinted", "n"), "RunCompleted"]
    assert decision.transitions[0].data.outcome == "no"


def test_an_event_whose_condition_fails_meets_the_next_clause() -> None:
    wait = {
        "events": [{"id": "full", "event": "paid", "where": "event.n > 5"}, {"id": "part", "event": "paid"}],
        "forever": True,
    }
    bench = Bench(a_definition({"id": "w", "wait": wait}))
    bench.start()
    assert bench.offer("paid", {"n": 1}).transitions[0].data.outcome == "part"


def test_an_event_that_nothing_waits_for_is_rejected_and_no_record_is_made_of_it() -> None:
    bench = Bench(a_definition(a_wait()))
    decision = bench.offer("paid")
    assert (*outcome(decision), decision.effects) == ("rejected", "unclaimed", [])
    bench.start()
    assert outcome(bench.offer("other")) == ("rejected", "unclaimed")
    assert outcome(bench.offer("paid", key="k2")) == ("rejected", "unclaimed")


def test_an_event_that_no_clause_can_read_is_a_dead_letter_and_the_wait_goes_on() -> None:
    bench = Bench(
        a_definition(
            {"id": "w", "wait": {"events": [{"id": "p", "event": "paid", "where": "event.n > 5"}], "forever": True}}
        )
    )
    bench.start()
    decision = bench.offer("paid", {})
    assert outcome(decision) == ("dead", "missing_field")
    assert [type(effect) for effect in decision.effects] == [DeadLetter]
    assert bench.statuses() == {"w": "waiting"}


def test_a_late_event_is_told_by_its_source_time() -> None:
    bench = Bench(a_definition(a_wait(within="10s")))
    bench.start()
    assert outcome(bench.offer("paid", time_ms=NOW_MS + 10_001)) == ("rejected", "late")
    assert facts(bench.offer("paid", time_ms=NOW_MS + 10_000)) == [("WaitSatisfied", "w"), "RunCompleted"]


# -- ahead of the wait


def test_an_event_ahead_of_its_wait_is_kept_and_taken_when_the_wait_begins() -> None:
    bench = Bench(
        a_definition(
            a_wait("first", events=[{"id": "go", "event": "go"}]), {**a_wait("w", keep="10s"), "needs": ["first"]}
        )
    )
    bench.start()
    kept = bench.offer("paid", id="p1")
    assert facts(kept) == ["EventKept"]
    assert kept.transitions[0].data.until_ms == NOW_MS + 10_000
    assert outcome(bench.offer("paid", id="p1")) == ("duplicate", "event_seen")
    bench.now_ms += 10_000
    decision = bench.offer("go")
    assert facts(decision) == [("WaitSatisfied", "first"), ("WaitStarted", "w"), ("WaitSatisfied", "w"), "RunCompleted"]
    bench.assert_heads_are_folds()


def test_an_event_is_not_kept_longer_than_its_wait_says() -> None:
    bench = Bench(
        a_definition(
            a_wait("first", events=[{"id": "go", "event": "go"}]), {**a_wait("w", keep="10s"), "needs": ["first"]}
        )
    )
    bench.start()
    bench.offer("paid", id="p1")
    bench.now_ms += 10_001
    assert facts(bench.offer("go")) == [("WaitSatisfied", "first"), ("WaitStarted", "w")]
    head = bench.head()
    assert head is not None
    assert (head.kept, "p1" in head.seen) == ((), False)
    assert facts(bench.offer("paid", id="p1")) == [("WaitSatisfied", "w"), "RunCompleted"]


def test_what_is_no_longer_kept_makes_room_and_is_forgotten() -> None:
    steps = (a_wait("first", events=[{"id": "go", "event": "go"}]), {**a_wait("w", keep="1s"), "needs": ["first"]})
    bench = Bench(a_definition(*steps), limits=Limits(kept_events=3))
    bench.start()
    for n in range(50):
        assert facts(bench.offer("paid", id=f"p{n}")) == ["EventKept"]
        bench.now_ms += 600
    head = bench.head()
    assert head is not None
    assert len(head.kept) <= 3
    assert len(head.seen) <= 4


def test_too_many_kept_events_are_dead_letters() -> None:
    steps = (a_wait("first", events=[{"id": "go", "event": "go"}]), {**a_wait("w"), "needs": ["first"]})
    bench = Bench(a_definition(*steps), limits=Limits(kept_events=2, record_bytes=2000))
    bench.start()
    assert facts(bench.offer("paid", {"big": "x" * 990})) == []
    assert bench.own().reasons == {"too_many_kept": 1}
    assert [outcome(bench.offer("paid"))[0] for _ in range(3)] == ["applied", "applied", "dead"]


def test_each_of_two_waits_takes_an_event_of_its_own() -> None:
    bench = Bench(a_definition(a_wait("one"), a_wait("two")))
    bench.start()
    assert facts(bench.offer("paid", id="p1")) == [("WaitSatisfied", "one")]
    assert outcome(bench.offer("paid", id="p1")) == ("duplicate", "event_seen")
    assert facts(bench.offer("paid", id="p2")) == [("WaitSatisfied", "two"), "RunCompleted"]


def test_a_parked_run_keeps_events_however_long_a_person_takes() -> None:
    bench = Bench(
        a_definition(
            {"id": "bad", "set": [{"name": "v", "expr": "trigger.none"}]}, {**a_wait("w", keep="10s"), "needs": ["bad"]}
        )
    )
    bench.start()
    decision = bench.offer("paid", id="meanwhile")
    assert isinstance(decision.transitions[0].data, EventKept)
    assert decision.transitions[0].data.until_ms is None


def test_what_was_kept_before_the_run_was_parked_outlasts_the_parking() -> None:
    gate = a_wait("gate", events=[{"id": "go", "event": "go"}])
    bad = {"id": "bad", "needs": ["gate"], "set": [{"name": "v", "expr": "trigger.none"}]}
    bench = Bench(
        a_definition(
            gate, bad, {**a_wait("w", keep="10s"), "needs": ["bad", "gate.go"], "join": "all"}, {"id": "other", **PRINT}
        )
    )
    bench.start()
    bench.offer("paid", id="p1")
    bench.now_ms += 9_000
    assert facts(bench.offer("go"))[-1] == ("StepParked", "bad")
    bench.now_ms += 86_400_000
    head = bench.head()
    assert head is not None
    assert [(k.event.id, k.until_ms) for k in head.kept] == [("p1", None)]
    bench.assert_heads_are_folds()


# -- ahead of the run


def test_an_event_ahead_of_its_run_is_kept_when_the_offer_says_so() -> None:
    bench = Bench(a_definition(a_wait("w", keep="10s")))
    decision = bench.offer("paid", id="p1", keep_ms=10_000)
    assert (outcome(decision), decision.transitions) == (("applied", ""), [])
    assert outcome(bench.offer("paid", id="p1", keep_ms=10_000)) == ("duplicate", "event_seen")
    assert facts(bench.start()) == [
        "RunStarted",
        "EventKept",
        ("WaitStarted", "w"),
        ("WaitSatisfied", "w"),
        "RunCompleted",
    ]
    assert "early" not in bench.kinds()
    bench.assert_heads_are_folds()


def test_an_event_ahead_of_its_run_waits_for_a_version_that_takes_it() -> None:
    waiting = a_definition(a_wait("w", keep="10s"), version="2")
    bench = Bench(a_definition({"id": "p", **PRINT}), waiting)
    bench.offer("paid", id="p1", keep_ms=10_000)
    bench.offer("paid", id="e2", keep_ms=10_000)
    assert facts(bench.start()) == ["RunStarted", ("LinePrinted", "p"), "RunCompleted"]
    assert "early" in bench.kinds()
    newer = bench.plan_of("order", "2")
    bench.now_ms += 9_000
    assert [t.data.event.id for t in bench.start(id="e2", plan=newer).transitions if isinstance(t.data, EventKept)] == [
        "p1"
    ]
    assert "early" not in bench.kinds()


def test_an_event_ahead_of_its_run_is_forgotten_in_time() -> None:
    bench = Bench(a_definition(a_wait("w", keep="10s")), limits=Limits(window_ms=20_000))
    bench.offer("paid", id="p1", keep_ms=10_000)
    bench.now_ms += 10_000
    bench.offer("other")
    assert bench.kinds() == {"own"}
    assert facts(bench.start()) == ["RunStarted", ("WaitStarted", "w")]


# -- several runs of a key


def test_an_event_is_offered_to_every_open_run_of_its_key() -> None:
    bench = Bench(a_definition(a_wait()))
    bench.start(id="e1")
    bench.start(id="e2")
    decision = bench.offer("paid")
    assert [(t.run, t.type) for t in decision.transitions] == [
        (bench.run(id), kind) for id in ("e1", "e2") for kind in ("WaitSatisfied", "RunCompleted")
    ]
    assert outcome(bench.offer("paid", id="another")) == ("rejected", "unclaimed")


def test_a_run_that_cannot_read_an_event_keeps_no_other_from_it_and_the_event_is_a_dead_letter_too() -> None:
    wait = {
        "id": "w",
        "wait": {"events": [{"id": "p", "event": "paid", "where": "event.n > trigger.least"}], "forever": True},
    }
    bench = Bench(a_definition(wait))
    bench.start({}, id="e1")
    bench.start({"least": 1}, id="e2")
    decision = bench.offer("paid", {"n": 2})
    assert outcome(decision) == ("applied", "")
    assert {t.run for t in decision.transitions} == {bench.run("e2")}
    assert [(e.reason) for e in decision.effects if isinstance(e, DeadLetter)] == ["missing_field"]


def test_an_event_that_a_finished_run_took_is_known_again() -> None:
    bench = Bench(a_definition(a_wait()))
    bench.start()
    bench.offer("paid", id="p1")
    assert outcome(bench.offer("paid", id="p1")) == ("duplicate", "event_seen")
    assert outcome(bench.offer("placed", id="e1")) == ("duplicate", "event_seen")


def test_the_record_of_a_key_with_many_runs_stays_small() -> None:
    bench = Bench(a_definition({"id": "p", **PRINT}))
    for n in range(3 * FINISHED_PER_KEY):
        assert outcome(bench.start(id=f"e{n}")) == ("applied", "")
    assert len(bench.overlay.get("key/order/k1").finished) == FINISHED_PER_KEY
    assert outcome(bench.start(id="e0")) == ("duplicate", "run_exists")
    bench.now_ms += bench.limits.window_ms
    for _ in range(10):
        bench.offer("other", key="k2")
    assert bench.kinds() == {"own", "content"}


def test_a_key_has_a_limited_number_of_open_runs() -> None:
    bench = Bench(a_definition(a_wait()), limits=Limits(open_runs=2))
    assert [outcome(bench.start(id=f"e{n}")) for n in range(3)] == [
        ("applied", ""),
        ("applied", ""),
        ("rejected", "too_many_open"),
    ]


@pytest.mark.parametrize("policy", ["one", "join"])
def test_policies_of_a_second_start(policy: str) -> None:
    wait = {"id": "w", "wait": {"events": [{"id": "again", "event": "placed"}], "forever": True}}
    bench = Bench(a_definition(wait, runs=policy))
    bench.start(id="e1")
    decision = bench.start(id="e2")
    if policy == "one":
        assert outcome(decision) == ("rejected", "run_open")
        assert decision.effects[0].state == {"run": bench.run("e1")}  # type: ignore[union-attr]
        assert bench.head("e2") is None
    else:
        assert facts(decision) == [("WaitSatisfied", "w"), "RunCompleted"]
        # it joined; it starts no run of its own later
        assert outcome(bench.start(id="e2")) == ("duplicate", "event_seen")
    assert outcome(bench.start(id="e1")) == ("duplicate", "run_exists")


# -- timers


def watermark(at_ms: int, partitions: int = 1, **more: int) -> AdvanceWatermark:
    times = {"0": at_ms, **{name[1:]: value for name, value in more.items()}}
    return AdvanceWatermark(id="wm", topic="paids", partitions=partitions, at_ms=times, feeds={"paid": ("paids",)})


def test_the_limit_of_a_wait_fires_only_when_ingress_has_come_so_far() -> None:
    bench = Bench(a_definition(a_wait(within="10s"), {"id": "l", "needs": ["w.timeout"], **PRINT}))
    bench.start()
    due = NOW_MS + 10_000
    fire = FireTimer(id="t", run=bench.run(), address="w", due_ms=due)
    assert outcome(bench.take(fire)) == ("rejected", "early")
    bench.now_ms = due
    assert outcome(bench.take(fire)) == ("rejected", "behind")
    bench.take(watermark(due - 1))
    assert outcome(bench.take(fire)) == ("rejected", "behind")
    bench.take(watermark(due))
    assert facts(bench.take(fire)) == [("WaitTimedOut", "w"), ("LinePrinted", "l"), "RunCompleted"]
    assert outcome(bench.take(fire)) == ("duplicate", "timer_gone")
    assert outcome(bench.offer("paid", time_ms=NOW_MS)) == ("rejected", "unclaimed")
    assert bench.own().parked == 0


def test_a_partition_of_a_topic_that_nobody_reported_holds_a_limit_back() -> None:
    bench = Bench(a_definition(a_wait(within="10s")))
    bench.start()
    bench.now_ms = due = NOW_MS + 10_000
    bench.take(watermark(due, partitions=2))
    fire = FireTimer(id="t", run=bench.run(), address="w", due_ms=due)
    assert outcome(bench.take(fire)) == ("rejected", "behind")
    bench.take(watermark(due, partitions=2, _1=due))
    assert outcome(bench.take(fire)) == ("applied", "")


def test_watermarks_do_not_go_back_and_forget_partitions_that_are_gone() -> None:
    bench = Bench(a_definition(a_wait(within="10s")))
    bench.take(watermark(100, partitions=2, _1=7))
    bench.take(watermark(50, partitions=2))
    assert bench.own().watermarks["paids"].at_ms == {"0": 100, "1": 7}
    assert bench.own().watermarks["paids"].reached() == 7
    bench.take(watermark(200, partitions=1))
    assert bench.own().watermarks["paids"].reached() == 200
    bench.take(AdvanceWatermark(id="wm", topic="paids", partitions=0, at_ms={}))
    assert bench.own().watermarks["paids"].reached() == 0


def test_a_timer_of_a_satisfied_wait_is_gone() -> None:
    bench = Bench(a_definition(a_wait(within="10s"), a_wait("other", events=[{"id": "x", "event": "x"}])))
    bench.start()
    bench.offer("paid")
    assert "timer" not in bench.kinds()
    bench.now_ms += 10_000
    assert outcome(bench.take(FireTimer(id="t", run=bench.run(), address="w", due_ms=bench.now_ms))) == (
        "duplicate",
        "timer_gone",
    )
    assert outcome(bench.take(FireTimer(id="t", run="00000000-unknown", address="w", due_ms=1))) == (
        "duplicate",
        "timer_gone",
    )


def test_a_run_that_ends_leaves_no_timer_output_or_head() -> None:
    reading = {"id": "s", "set": [{"name": "v", "expr": "has(trigger.v) ? 1 : 2"}]}
    bench = Bench(a_definition(a_wait(within="10s"), reading, {"id": "d", "delay": {"for": "1h"}}))
    bench.start()
    bench.checkpoint()
    assert {"timer", "out", "run"} <= bench.kinds()
    assert facts(bench.take(CancelRun("c", bench.run()))) == ["RunCancelled"]
    assert bench.kinds() == {"own", "content", "key", "done", "expiry"}
    bench.checkpoint()
    bench.now_ms += bench.limits.window_ms
    bench.offer("other", key="k9")
    assert bench.kinds() == {"own", "content"}
    bench.checkpoint()
    assert {key.partition("/")[0] for key, _ in bench.store.scan("")} == {"own", "content"}


def test_a_repeated_continue_does_nothing() -> None:
    bench = Bench(a_definition(a_wait()))
    bench.start()
    assert outcome(bench.take(Continue("c", bench.run(), 2))) == ("duplicate", "nothing_to_do")
    bench.take(CancelRun("c", bench.run()))
    assert outcome(bench.take(Continue("c", bench.run(), 2))) == ("duplicate", "run_ended")


def test_requests_about_a_parked_step_fit_only_a_parked_step() -> None:
    bench = Bench(a_definition(a_wait()))
    bench.start()
    for request in (
        RetryStep("r", bench.run(), "w"),
        SkipStep("s", bench.run(), "w"),
        SkipStep("s", bench.run(), "nothing"),
    ):
        decision = bench.take(request)
        assert outcome(decision) == ("rejected", "not_parked")
        assert decision.effects[0].state == {"seq": 2, "steps": {"w": "waiting"}}  # type: ignore[union-attr]
