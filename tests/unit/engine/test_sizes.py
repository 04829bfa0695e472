"""No record that the engine writes is much larger than the limit, whatever a run lives through."""

from __future__ import annotations

import pytest

from streamflow.engine.attempt_transitions import AttemptFailed
from streamflow.engine.builder import Limits
from streamflow.engine.commands import CancelRun, Decide, FireTimer, RetryStep
from streamflow.engine.transitions import RunCompleted, StepParked
from streamflow.simulation.store import MemoryStore
from streamflow.wire.transitions import encode_transition
from tests.builders import a_definition, a_delivery, a_start, an_event, an_origin
from tests.unit.engine.bench import Bench
from tests.unit.engine.outside import ended, left_behind, of, started, world

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


# -- the bytes of one command, of one list, of one output


def test_a_command_computes_so_many_bytes_and_the_next_goes_on() -> None:
    steps = [{"id": f"s{n}", "set": [{"name": "v", "expr": "trigger.t"}]} for n in range(10)]
    bench = Bench(a_definition(*steps), limits=Limits(command_bytes=3_500))
    event = an_event("placed", "e1", {"t": "x" * 1_000})
    decisions = bench.take_all(a_start(bench.plan, event))
    assert [len([t for t in decision.transitions if t.type == "ValuesSet"]) for decision in decisions] == [4, 4, 2]
    assert bench.transitions[-1].type == "RunCompleted"


def test_items_are_started_as_their_bytes_allow() -> None:
    call = {"operation": "op", "with": [{"name": "v", "expr": "trigger.t"}]}
    each = {"id": "all", "each": {"items": "[1, 2, 3, 4, 5]", "at_once": 5}, "call": call}
    bench = Bench(a_definition(each), limits=Limits(command_bytes=2_500))
    decisions = bench.take_all(a_start(bench.plan, an_event("placed", "e1", {"t": "x" * 1_000})))
    assert [len([t for t in decision.transitions if t.type == "CallRequested"]) for decision in decisions] == [3, 2]


def test_what_one_expression_computes_beyond_the_limit_still_makes_progress() -> None:
    steps = [{"id": f"s{n}", "set": [{"name": "v", "expr": "trigger.t"}]} for n in range(3)]
    bench = Bench(a_definition(*steps), limits=Limits(command_bytes=1))
    decisions = bench.take_all(a_start(bench.plan, an_event("placed", "e1", {"t": "x"})))
    assert [t.type for decision in decisions for t in decision.transitions].count("ValuesSet") == 3
    assert bench.transitions[-1].type == "RunCompleted"


@pytest.mark.parametrize("read", [True, False])
def test_the_outputs_of_a_list_are_bounded_together_if_they_are_read(read: bool) -> None:
    each = {"id": "all", "each": {"items": "[1, 2, 3, 4]", "at_once": 4}, "call": {"operation": "op"}}
    last = {"id": "n", "needs": ["all"], "set": [{"name": "n", "expr": "size(steps.all)" if read else "1"}]}
    simulation = world(each, last, operations={"op": lambda input, task: "x" * 1_000}, limits=Limits(list_bytes=3_100))
    run = started(simulation)
    failed = of(simulation, run, AttemptFailed)
    assert [(fact.code, fact.item) for fact in failed] == ([("output_too_large", 3)] if read else [])
    assert simulation.history(run)[-1].type == ("StepParked" if read else "RunCompleted")


def test_an_output_that_does_not_fit_the_end_of_its_run_parks_it_and_is_not_lost() -> None:
    each = {"id": "all", "each": {"items": "[1, 2, 3, 4]"}, "call": {"operation": "op"}}
    operations = {"op": lambda input, task: "x" * 400}
    simulation = world(each, operations=operations, output="all", limits=Limits(record_bytes=1_500))
    run = started(simulation)
    (parked,) = of(simulation, run, StepParked)
    assert (parked.code, parked.at) == ("output_too_large", "output")
    assert parked.detail.endswith(" bytes, and a record takes 1500")
    assert simulation.own().parked == 1
    simulation.retry(run, "all")
    simulation.run_until_quiet()
    assert len(of(simulation, run, StepParked)) == 2  # it still does not fit
    simulation.skip(run, "all")
    simulation.run_until_quiet()
    assert ended(simulation, run) == RunCompleted(())
    assert left_behind(simulation) == []


def test_a_record_is_decoded_once_in_a_command() -> None:
    pause = {"id": "pause", "delay": {"for": "1s"}}
    steps = [{"id": f"s{n}", "needs": ["pause"], "set": [{"name": "v", "expr": "trigger.t"}]} for n in range(10)]
    bench = Bench(a_definition(pause, *steps))
    bench.start({"t": "x"})
    bench.store.write(bench.overlay.capture())
    bench.overlay.saved()
    read = Reads(bench.store)
    bench.overlay.store = read
    bench.now_ms += 1_000
    bench.take(FireTimer(id="t", run=bench.run(), address="pause", due_ms=bench.now_ms))
    assert read.keys.count(f"out/{bench.run()}/") == 1


class Reads(MemoryStore):
    """A store that remembers which keys were read."""

    def __init__(self, store: MemoryStore) -> None:
        super().__init__(dict(store.scan("")))
        self.keys: list[str] = []

    def get(self, key: str) -> bytes | None:
        self.keys.append(key)
        return super().get(key)
