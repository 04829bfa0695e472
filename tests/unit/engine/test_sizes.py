"""No record that the engine writes is much larger than the limit, whatever a run lives through."""

from __future__ import annotations

import pytest

from streamflow.engine.builder import Limits
from streamflow.engine.commands import CancelRun, Decide, RetryStep
from streamflow.wire.transitions import encode_transition
from tests.builders import a_definition, a_delivery, an_event, an_origin
from tests.unit.engine.bench import Bench

LIMIT = 20_000
GATE = {"id": "gate", "wait": {"events": [{"id": "go", "event": "go"}], "forever": True}}
LATER = {"id": "later", "needs": ["gate"], "wait": {"events": [{"id": "paid", "event": "paid"}], "forever": True}}


def largest(bench: Bench) -> int:
    stored = max(len(value) for key, value in bench.state().items() if not key.startswith("content/"))
    sent = max((len(encode_transition(transition, None)[1]) for transition in bench.transitions), default=0)
    return max(stored, sent)


@pytest.mark.parametrize("keep_ms", [0, 60_000])
def test_events_ahead_of_a_wait_or_of_a_run(keep_ms: int) -> None:
    bench = Bench(a_definition(GATE, LATER), limits=Limits(record_bytes=LIMIT))
    if not keep_ms:
        bench.start()
    for n in range(300):
        bench.offer("paid", {"text": "x" * (n * 37 % 900)}, id=f"{n}" + "i" * 900, keep_ms=keep_ms)
    assert bench.own().reasons["overflow"] > 100
    assert largest(bench) < 1.2 * LIMIT
    assert largest(bench) < LIMIT


def test_a_long_life_with_events_that_nobody_takes_in_time() -> None:
    later = {**LATER, "wait": {**LATER["wait"], "since": "here", "keep": "1s"}}  # type: ignore[dict-item]
    bench = Bench(a_definition(GATE, later), limits=Limits(record_bytes=LIMIT))
    bench.start()
    for n in range(1000):
        bench.offer("paid", id=f"event-number-{n}")
        bench.now_ms += 100
    assert bench.own().counts.applied == 1001
    assert largest(bench) < 0.2 * LIMIT


def test_a_hot_key() -> None:
    bench = Bench(a_definition({"id": "p", "print": {"text": "'x'"}}), limits=Limits(record_bytes=LIMIT))
    for n in range(1000):
        bench.start(id=f"e{n}")
    assert largest(bench) < 0.2 * LIMIT


def test_values_of_a_step_and_the_event_that_started_the_run() -> None:
    steps = [{"id": f"s{n}", "set": [{"name": "v", "expr": f"trigger.t.substring({n}) + trigger.t"}]} for n in range(8)]
    bench = Bench(a_definition(*steps), limits=Limits(record_bytes=LIMIT))
    bench.start({"t": "é" * 5000})  # twice that, less what the later steps cut off, is the limit in bytes
    assert {t.type for t in bench.transitions} == {"RunStarted", "ValuesSet", "StepParked"}
    assert largest(bench) < 1.2 * LIMIT


def test_a_mark_is_a_number_however_many_records_there_are_between_two_commits() -> None:
    bench = Bench(a_definition(GATE))
    for n in range(100):
        bench.take(a_delivery(an_event("go", f"g{n}"), key="other", origin=an_origin(n, committed=n // 50)))
    assert bench.overlay.get("mark/topic/0") == 1


def test_what_people_write_when_they_end_a_run_or_answer() -> None:
    """All of it in the head, in transitions, and in what refuses it."""
    called = {"id": "call", "call": {"operation": "pay"}, "undo": {"operation": "back"}}
    bench = Bench(a_definition(called), limits=Limits(record_bytes=LIMIT))
    bench.start()
    run, long = bench.run(), "x" * 15_000
    for command in (
        RetryStep("r", run, long),
        Decide(id="d", run=run, address="call", decision="approved", by=long),
        RetryStep(long, run, "call"),
    ):
        decision = bench.take(command)
        assert (decision.outcome, decision.reason) == ("dead", "name_too_long")
        assert len(repr(decision.effects)) < 500
    bench.take(CancelRun("c", run, long))
    assert len(bench.overlay.get(f"run/{run}").stopping.reason) == 1000
    assert largest(bench) < 0.2 * LIMIT
