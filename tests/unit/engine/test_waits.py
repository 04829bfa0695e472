"""Waits: what satisfies them, and when their limits fire."""

from __future__ import annotations

from streamflow.engine.commands import AdvanceWatermark, CancelRun, Continue, FireTimer, RetryStep, SkipStep
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


def test_an_event_that_nothing_waits_for_is_unclaimed() -> None:
    bench = Bench(a_definition(a_wait()))
    assert outcome(bench.offer("paid")) == ("rejected", "unclaimed")
    bench.start()
    assert outcome(bench.offer("other")) == ("rejected", "unclaimed")
    assert outcome(bench.offer("paid", key="k2")) == ("rejected", "unclaimed")


def test_an_event_is_late_by_its_source_time() -> None:
    bench = Bench(a_definition(a_wait(within="10s")))
    bench.start()
    assert outcome(bench.offer("paid", time_ms=NOW_MS + 10_001)) == ("rejected", "unclaimed")
    assert facts(bench.offer("paid", time_ms=NOW_MS + 10_000)) == [("WaitSatisfied", "w"), "RunCompleted"]


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
    assert bench.kinds() == {"own", "content", "seen", "tally", "window"}
    bench.checkpoint()
    bench.now_ms += 2 * bench.limits.window_ms
    bench.take(watermark(1))
    assert bench.kinds() == {"own", "content", "tally", "window"}
    bench.checkpoint()
    assert {key.partition("/")[0] for key, _ in bench.store.scan("")} == {"own", "content", "tally", "window"}


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
