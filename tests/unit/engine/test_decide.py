"""Deciding as such: refusals, requests, accounts, and that a decision is a function and nothing more."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from streamflow.engine.builder import Limits
from streamflow.engine.commands import (
    REVISION,
    AdvanceWatermark,
    CancelRun,
    Command,
    Continue,
    DefinitionRef,
    FailRun,
    FireTimer,
    RetryStep,
    SkipStep,
)
from streamflow.engine.decide import decide, undecidable
from streamflow.engine.effects import DeadLetter, RecordRejection
from streamflow.engine.overlay import encode_record
from streamflow.engine.state import Counts, PartitionState
from streamflow.engine.trace import Trace
from streamflow.engine.transitions import RunFailed
from tests.builders import NOW_MS, a_definition, a_delivery, a_request, a_start, an_event, an_origin
from tests.unit.engine.bench import Bench, facts, outcome

WAIT = {"id": "w", "wait": {"events": [{"id": "paid", "event": "paid"}], "within": "10s"}}
BAD = {"id": "bad", "set": [{"name": "v", "expr": "trigger.none"}]}


# -- refusals


def test_a_start_of_content_that_is_not_there_is_a_dead_letter_and_leaves_only_its_mark() -> None:
    bench = Bench(a_definition(WAIT))
    start = msgspec.structs.replace(
        a_start(bench.plan, origin=an_origin(3, committed=2)), start=DefinitionRef("0" * 64, 0)
    )
    decision = bench.take(start)
    assert outcome(decision) == ("dead", "unknown_definition")
    assert [type(e) for e in decision.effects] == [DeadLetter]
    assert bench.kinds() == {"own", "mark"}


def test_the_first_start_of_a_content_copies_it_into_the_state() -> None:
    bench = Bench(a_definition(WAIT))
    bench.start(id="e1")
    content = dict(bench.contents)
    bench.content = lambda start: pytest.fail("asked again")  # type: ignore[method-assign]
    assert outcome(bench.start(id="e2")) == ("applied", "")
    assert bench.overlay.get(f"content/{bench.plan.sha}") == content[bench.plan.sha]


def test_a_run_keeps_its_version_when_a_newer_one_is_published() -> None:
    bench = Bench(
        a_definition(WAIT), a_definition(WAIT, {"id": "p", "needs": ["w"], "print": {"text": "'two'"}}, version="2")
    )
    bench.start(id="e1", plan=bench.plan_of("order", "1"))
    bench.start(id="e2", plan=bench.plan_of("order", "2"))
    assert [(t.version, t.type) for t in bench.offer("paid").transitions] == [
        ("1", "WaitSatisfied"),
        ("1", "RunCompleted"),
    ]
    assert [(t.version, t.type) for t in bench.offer("paid").transitions] == [
        ("2", "WaitSatisfied"),
        ("2", "LinePrinted"),
        ("2", "RunCompleted"),
    ]


def test_a_request_that_is_too_old_is_refused_and_answered() -> None:
    bench = Bench(a_definition(WAIT), limits=Limits(window_ms=1000))
    decision = bench.take(a_request(bench.plan, time_ms=NOW_MS - 1001))
    assert outcome(decision) == ("rejected", "too_old")
    (answer,) = decision.effects
    assert isinstance(answer, RecordRejection)
    assert answer.command_id == "request/r1"
    assert outcome(bench.start(time_ms=NOW_MS - 1001)) == ("applied", "")


def test_a_request_that_was_served_is_answered_with_its_run() -> None:
    bench = Bench(a_definition(WAIT))
    (started, *_) = bench.take(a_request(bench.plan)).transitions
    again = bench.take(a_request(bench.plan))
    assert outcome(again) == ("duplicate", "run_exists")
    (answer,) = again.effects
    assert isinstance(answer, RecordRejection)
    assert (answer.run, answer.state) == (started.run, {"run": started.run})
    bench.take(CancelRun("c", started.run))
    assert outcome(bench.take(a_request(bench.plan))) == ("duplicate", "run_exists")
    assert outcome(bench.take(a_request(bench.plan, id="r2"))) == ("applied", "")


@pytest.mark.parametrize("policy", ["one", "join"])
def test_a_request_is_refused_while_a_run_is_open(policy: str) -> None:
    bench = Bench(a_definition(WAIT, runs=policy))
    bench.start()
    decision = bench.take(a_request(bench.plan))
    assert outcome(decision) == ("rejected", "run_open")
    assert decision.effects[0].state == {"run": bench.run()}  # type: ignore[union-attr]


@pytest.mark.parametrize(("key", "id"), [("k" * 1001, "e1"), ("é" * 501, "e1"), ("k1", "e" * 1001)])
def test_a_key_or_an_event_id_that_is_too_long_is_a_dead_letter(key: str, id: str) -> None:
    bench = Bench(a_definition(WAIT))
    assert outcome(bench.start(key=key, id=id)) == ("dead", "name_too_long")
    assert outcome(bench.offer("paid", id=id, key=key)) == ("dead", "name_too_long")
    assert bench.kinds() == {"own"}
    assert outcome(bench.start(key="é" * 500)) == ("applied", "")


@pytest.mark.parametrize(
    "request_of", [CancelRun, FailRun, lambda id, run: RetryStep(id, run, "w"), lambda id, run: SkipStep(id, run, "w")]
)
def test_a_request_about_a_run_that_is_not_open_is_answered(request_of: Any) -> None:
    bench = Bench(a_definition(WAIT))
    unknown = bench.take(request_of("c1", "00000000-nothing"))
    assert outcome(unknown) == ("rejected", "run_unknown")
    bench.start()
    bench.take(CancelRun("c2", bench.run(), "enough"))
    ended = bench.take(request_of("c3", bench.run()))
    assert outcome(ended) == ("rejected", "run_unknown")
    (answer,) = ended.effects
    assert isinstance(answer, RecordRejection)
    assert (answer.command_id, answer.code, answer.run) == ("c3", "run_unknown", bench.run())


def test_only_a_parked_run_is_failed() -> None:
    bench = Bench(a_definition(WAIT, BAD), a_definition(WAIT, name="other"))
    bench.start()
    bench.take(a_start(bench.plan_of("other"), an_event(id="o1"), origin=an_origin(1)))
    other = bench.transitions[-1].run
    assert outcome(bench.take(FailRun("f", other))) == ("rejected", "not_parked")
    decision = bench.take(FailRun("f", bench.run(), "lost"))
    assert [t.data for t in decision.transitions] == [RunFailed("lost")]
    assert bench.own().parked == 0


def test_a_cancelled_parked_run_is_not_counted_as_parked() -> None:
    bench = Bench(a_definition(BAD))
    bench.start()
    assert bench.own().parked == 1
    bench.take(CancelRun("c", bench.run()))
    assert bench.own().parked == 0


def test_an_undecidable_record_is_counted_and_kept() -> None:
    own = PartitionState(
        applied=4,
        time_ms=100,
        counts=Counts(read=5, applied=5),
        reasons={"x": 1},
        watermarks={},
        parked=2,
        topic_id="t",
    )
    decision = undecidable(own, 50, 5, "bad_command", "expected a command")
    assert (decision.outcome, decision.effects, decision.transitions) == (
        "dead",
        [DeadLetter("bad_command", "expected a command")],
        [],
    )
    assert decision.changes == {
        "own": PartitionState(
            applied=5,
            time_ms=100,
            counts=Counts(read=6, applied=5, rejected=0, duplicate=0, dead=1),
            reasons={"x": 1, "bad_command": 1},
            watermarks={},
            parked=2,
            topic_id="t",
        )
    }


# -- accounts and time


def test_every_command_is_counted_once() -> None:
    bench = Bench(a_definition(WAIT))
    bench.start()
    bench.start()
    bench.offer("nothing")
    bench.take(AdvanceWatermark(id="wm", topic="paids", partitions=1, at_ms={"0": 1}))
    bench.take(
        msgspec.structs.replace(
            a_start(bench.plan, an_event(id="x"), origin=an_origin(7)), start=DefinitionRef("0" * 64, 0)
        )
    )
    own = bench.own()
    assert own.counts == Counts(read=5, applied=2, rejected=1, duplicate=1, dead=1)
    assert own.reasons == {"seen": 1, "unclaimed": 1, "unknown_definition": 1}
    assert own.applied == 4


def test_the_partitions_time_does_not_go_back() -> None:
    bench = Bench(a_definition(WAIT))
    bench.start(id="e1")
    bench.now_ms -= 5000
    decision = bench.start(id="e2", time_ms=NOW_MS)
    assert {t.at_ms for t in decision.transitions} == {NOW_MS}
    assert bench.own().time_ms == NOW_MS


# -- what open runs pin


def test_a_revision_is_counted_per_open_run_and_forgotten_at_zero() -> None:
    bench = Bench(a_definition(WAIT))
    bench.start(id="e1")
    bench.start(id="e2")
    assert bench.own().revisions == {REVISION: 2}
    bench.take(CancelRun("c", bench.run("e1")))
    assert bench.own().revisions == {REVISION: 1}
    bench.take(CancelRun("c", bench.run("e2")))
    assert bench.own().revisions == {}


def test_a_content_leaves_some_time_after_its_last_run() -> None:
    newer = a_definition(WAIT, {"id": "p", "print": {"text": "'x'"}}, version="2")
    bench = Bench(a_definition(WAIT), newer, limits=Limits(unused_content_ms=1000))
    bench.start(id="e1")
    bench.take(CancelRun("c", bench.run("e1")))
    bench.now_ms += 1000
    bench.start(id="e2", plan=bench.plan_of("order", "2"))
    assert bench.overlay.get(f"content/{bench.plan.sha}") is not None
    bench.now_ms += 1
    bench.start(id="e3", plan=bench.plan_of("order", "2"))
    assert bench.overlay.get(f"content/{bench.plan.sha}") is None
    assert outcome(bench.start(id="e4")) == ("applied", "")


# -- a function


COMMANDS: list[Any] = [
    lambda b: a_start(b.plan, origin=an_origin(1)),
    lambda b: a_start(b.plan, an_event(id="e2"), origin=an_origin(2)),
    lambda b: a_delivery(an_event("paid", "p1"), origin=an_origin(3)),
    lambda b: FireTimer(id="t", run=b.run("e2"), address="w", due_ms=NOW_MS + 10_000),
    lambda b: RetryStep("r", b.run("e2"), "bad"),
    lambda b: SkipStep("s", b.run("e2"), "bad"),
    lambda b: Continue("c", b.run("e2"), 3),
    lambda b: FailRun("f", b.run("e2")),
    lambda b: CancelRun("c", b.run("e2")),
    lambda b: AdvanceWatermark(id="wm", topic="paids", partitions=1, at_ms={"0": NOW_MS}),
    lambda b: a_start(b.plan, an_event(id="e1"), origin=an_origin(9, committed=8)),
]


def in_bytes(decision: Any) -> bytes:
    changes = {key: None if record is None else encode_record(record) for key, record in decision.changes.items()}
    return msgspec.json.encode(
        (decision.outcome, decision.reason, decision.transitions, decision.effects, changes), order="sorted"
    )


@pytest.mark.parametrize("stored", [False, True])
def test_deciding_twice_gives_the_same_and_touches_nothing(stored: bool) -> None:
    bench = Bench(a_definition(WAIT, BAD), limits=Limits(window_ms=5000))
    for make in COMMANDS:
        for command in (make(bench), make(bench)):
            before = bench.state()
            first = bench.consider(command)
            assert bench.state() == before
            assert in_bytes(bench.consider(command)) == in_bytes(first)
            assert in_bytes(bench.take(command)) == in_bytes(first)
        if stored:
            bench.checkpoint()
        bench.now_ms += 1500
    bench.assert_heads_are_folds()


def test_a_decision_does_not_depend_on_where_the_state_lies() -> None:
    definition = a_definition(WAIT, BAD)
    one, other = Bench(definition), Bench(definition)
    for make in COMMANDS:
        assert in_bytes(one.take(make(one))) == in_bytes(other.take(make(other)))
        other.checkpoint()
    assert one.state() == other.state()


def test_a_refused_command_changes_the_partitions_own_record_only() -> None:
    bench = Bench(a_definition(WAIT, runs="one"))
    bench.start()
    refused: list[Command] = [
        a_request(bench.plan),
        FireTimer(id="t", run=bench.run(), address="w", due_ms=NOW_MS + 10_000),
        FailRun("f", bench.run()),
    ]
    for command in refused:
        decision = bench.take(command)
        assert decision.outcome == "rejected"
        assert set(decision.changes) == {"own"}
        assert facts(decision) == []


TRACE = Trace("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")


def test_a_start_names_its_trigger_and_a_trace_goes_with_what_it_emits() -> None:
    bench = Bench(a_definition({"id": "t", "emit": {"event": "told"}}))
    start = msgspec.structs.replace(a_start(bench.plan), trace=TRACE)
    decision = decide(bench.overlay, _contents(bench), bench.own(), start, NOW_MS, 0, bench.limits)
    assert decision.effects[0].trace == TRACE  # type: ignore[union-attr]
    assert decision.transitions[0].data.trigger == "placed"


def _contents(bench: Bench) -> Any:
    class Contents:
        content = staticmethod(bench.content)
        plan = staticmethod(bench.plan_for)

    return Contents()
