"""What each kind of step does when it begins, and what follows from how it ends."""

from __future__ import annotations

import gc
from typing import Any

import msgspec
import pytest

from streamflow.engine.builder import Limits
from streamflow.engine.commands import FireTimer, RetryStep, SkipStep
from streamflow.engine.effects import AppendCommand, PrintLine, PublishEvent
from streamflow.engine.trace import RunTrace, Trace
from streamflow.engine.transitions import (
    BranchChosen,
    EventEmitted,
    LinePrinted,
    RunCompleted,
    StepParked,
    StepsSkipped,
    ValuesSet,
)
from tests.builders import NOW_MS, a_definition, a_start
from tests.unit.engine.bench import Bench, facts, outcome

PRINT = {"print": {"text": "'x'"}}


def one(decision: Any, kind: type) -> Any:
    (found,) = [t.data for t in decision.transitions if isinstance(t.data, kind)]
    return found


def test_a_run_of_steps_without_outside_effects_is_one_decision() -> None:
    bench = Bench(
        a_definition(
            {"id": "a", "set": [{"name": "n", "expr": "trigger.n + 1"}]},
            {"id": "b", "needs": ["a"], "print": {"text": "'n is ' + string(steps.a.n)"}},
        )
    )
    decision = bench.start({"n": 1})
    assert outcome(decision) == ("applied", "")
    assert facts(decision) == ["RunStarted", ("ValuesSet", "a"), ("LinePrinted", "b"), "RunCompleted"]
    assert one(decision, ValuesSet).values == {"n": 2}
    assert decision.effects == [PrintLine(bench.run(), "", "b", "n is 2")]
    assert one(decision, RunCompleted).ended == ("b",)
    assert [t.seq for t in decision.transitions] == [1, 2, 3, 4]
    assert {t.cause for t in decision.transitions} == {"start/e1"}
    assert {t.at_ms for t in decision.transitions} == {NOW_MS}


def test_an_expression_sees_the_time_of_the_decision_and_the_run() -> None:
    bench = Bench(
        a_definition(
            {"id": "s", "set": [{"name": "now", "expr": "now"}, {"name": "run", "expr": "run.trigger + run.id"}]}
        )
    )
    assert one(bench.start(), ValuesSet).values == {"now": "2026-01-01T00:00:00Z", "run": "placed" + bench.run()}


def test_a_decision_leaves_nothing_that_only_the_garbage_collector_can_free() -> None:
    bench = Bench(a_definition({"id": "w", "wait": {"events": [{"id": "paid", "event": "paid"}]}}))
    gc.collect()
    gc.disable()
    try:
        bench.start()
        bench.start()  # refused, and drafted again
        assert gc.collect() == 0
    finally:
        gc.enable()


def test_an_emit_publishes_under_the_id_of_its_transition() -> None:
    bench = Bench(a_definition({"id": "tell", "emit": {"event": "told", "data": [{"name": "who", "expr": "run.key"}]}}))
    decision = bench.start()
    fact = one(decision, EventEmitted)
    assert fact.id == f"{bench.run()}/2"
    assert (fact.event, fact.key, fact.data) == ("told", "k1", {"who": "k1"})
    assert decision.effects == [
        PublishEvent(
            key="k1",
            id=fact.id,
            type="told",
            at_ms=NOW_MS,
            data={"who": "k1"},
            definition="order",
            run=bench.run(),
            trace=None,
        )
    ]


def test_an_emit_may_have_a_key_of_its_own() -> None:
    bench = Bench(a_definition({"id": "tell", "emit": {"event": "told", "key": "trigger.n"}}))
    assert one(bench.start({"n": 7}), EventEmitted).key == "7"
    assert one(bench.start({"n": True}, id="e2"), StepParked) == StepParked(
        "not_a_key", "emit/key", "it is true or false"
    )
    assert one(bench.start({"n": "x" * 1001}, id="e3"), StepParked) == StepParked(
        "too_large", "emit/key", "the key has 1001 bytes, and 1000 are allowed"
    )


def test_a_choose_takes_the_first_branch_that_holds_and_the_others_die() -> None:
    bench = Bench(
        a_definition(
            {
                "id": "c",
                "choose": [{"id": "big", "if": "trigger.n > 5"}, {"id": "some", "if": "trigger.n > 1"}, {"id": "rest"}],
            },
            {"id": "x", "needs": ["c.big"], **PRINT},
            {"id": "y", "needs": ["c.some"], **PRINT},
            {"id": "z", "needs": ["c.rest"], **PRINT},
        )
    )
    decision = bench.start({"n": 3})
    assert one(decision, BranchChosen).branch == "some"
    skipped = [step for t in decision.transitions if isinstance(t.data, StepsSkipped) for step in t.data.steps]
    assert skipped == ["x", "z"]
    assert one(decision, RunCompleted).ended == ("y",)


def test_a_choose_without_a_branch_that_holds_ends_with_none() -> None:
    bench = Bench(
        a_definition(
            {"id": "c", "choose": [{"id": "big", "if": "trigger.n > 5"}]},
            {"id": "x", "needs": ["c.big"], **PRINT},
            {"id": "after", "needs": ["c"], **PRINT},
        )
    )
    decision = bench.start({"n": 3})
    assert one(decision, BranchChosen).branch is None
    assert one(decision, StepsSkipped).steps == ("x",)
    assert one(decision, RunCompleted).ended == ("after",)


def test_dead_paths_are_skipped_to_their_end() -> None:
    bench = Bench(
        a_definition(
            {"id": "a", "if": "false", **PRINT},
            {"id": "b", "needs": ["a"], **PRINT},
            {"id": "c", "needs": ["b"], **PRINT},
            {"id": "d", **PRINT},
            {"id": "e", "needs": ["c", "d"], "join": "any", **PRINT},
            {"id": "f", "needs": ["c", "d"], **PRINT},
        )
    )
    decision = bench.start()
    assert facts(decision) == [
        "RunStarted",
        "StepsSkipped",
        ("LinePrinted", "d"),
        ("LinePrinted", "e"),
        "StepsSkipped",
        "RunCompleted",
    ]
    skipped = [step for t in decision.transitions if isinstance(t.data, StepsSkipped) for step in t.data.steps]
    assert sorted(skipped) == ["a", "b", "c", "f"]
    assert one(decision, RunCompleted).ended == ("e",)


def test_a_join_of_all_waits_for_all_and_a_join_of_any_for_the_first() -> None:
    bench = Bench(
        a_definition(
            {"id": "one", "wait": {"events": [{"id": "a", "event": "a"}], "forever": True}},
            {"id": "two", "wait": {"events": [{"id": "b", "event": "b"}], "forever": True}},
            {"id": "all", "needs": ["one", "two"], **PRINT},
            {"id": "any", "needs": ["one", "two"], "join": "any", **PRINT},
        )
    )
    assert facts(bench.start()) == ["RunStarted", ("WaitStarted", "one"), ("WaitStarted", "two")]
    assert facts(bench.offer("a")) == [("WaitSatisfied", "one"), ("LinePrinted", "any")]
    assert facts(bench.offer("b")) == [("WaitSatisfied", "two"), ("LinePrinted", "all"), "RunCompleted"]
    bench.assert_heads_are_folds()


def test_a_plain_need_does_not_accept_a_timeout() -> None:
    bench = Bench(
        a_definition(
            {"id": "w", "wait": {"events": [{"id": "a", "event": "a"}], "within": "10s"}},
            {"id": "then", "needs": ["w"], **PRINT},
            {"id": "late", "needs": ["w.timeout"], **PRINT},
        )
    )
    bench.start()
    bench.now_ms += 10_000
    assert outcome(bench.take(FireTimer(id="t", run=bench.run(), address="w", due_ms=NOW_MS + 10_000))) == (
        "rejected",
        "behind",
    )


def test_a_delay_goes_on_at_its_time_and_one_in_the_past_at_once() -> None:
    bench = Bench(a_definition({"id": "d", "delay": {"for": "10s"}}, {"id": "p", "needs": ["d"], **PRINT}))
    assert facts(bench.start()) == ["RunStarted", ("DelayStarted", "d")]
    assert "timer" in bench.kinds()
    bench.now_ms += 10_000
    assert facts(bench.take(FireTimer(id="t", run=bench.run(), address="d", due_ms=NOW_MS + 10_000))) == [
        ("DelayElapsed", "d"),
        ("LinePrinted", "p"),
        "RunCompleted",
    ]
    assert "timer" not in bench.kinds()

    past = Bench(a_definition({"id": "d", "delay": {"until": "trigger.at"}}))
    assert facts(past.start({"at": "2020-01-01T00:00:00Z"})) == [
        "RunStarted",
        ("DelayStarted", "d"),
        ("DelayElapsed", "d"),
        "RunCompleted",
    ]
    assert not any(key.startswith("timer/") for key in past.overlay.dirty)


NO_FIELD = "`trigger` has no field `none`"


@pytest.mark.parametrize(
    ("step", "data", "code", "at", "detail"),
    [
        ({"set": [{"name": "v", "expr": "trigger.none"}]}, {}, "missing_field", "set/v", NO_FIELD),
        (
            {"set": [{"name": "v", "expr": "1 / trigger.n"}]},
            {"n": 0},
            "division_by_zero",
            "set/v",
            "`/` was given `1` and `trigger.n` (a whole number)",
        ),
        (
            {"if": "trigger.n", "print": {"text": "'x'"}},
            {"n": 1},
            "not_boolean",
            "if",
            "`trigger.n` gives a whole number",
        ),
        ({"choose": [{"id": "a", "if": "trigger.none > 1"}]}, {}, "missing_field", "choose/a", NO_FIELD),
        ({"print": {"text": "trigger.none"}}, {}, "missing_field", "print/text", NO_FIELD),
        ({"delay": {"until": "trigger.n"}}, {"n": "soon"}, "not_a_time", "delay/until", "`trigger.n` gives a text"),
        (
            {"emit": {"event": "told", "data": [{"name": "v", "expr": "trigger.none"}]}},
            {},
            "missing_field",
            "emit/v",
            NO_FIELD,
        ),
    ],
)
def test_an_expression_that_fails_parks_the_step_and_says_where(
    step: dict[str, Any], data: Any, code: str, at: str, detail: str
) -> None:
    bench = Bench(a_definition({"id": "s", **step}))
    decision = bench.start(data)
    assert facts(decision) == ["RunStarted", ("StepParked", "s")]
    assert decision.transitions[-1].data == StepParked(code, at, detail)
    assert bench.own().parked == 1
    assert decision.effects == []


def test_a_value_too_large_for_a_record_parks_the_step() -> None:
    bench = Bench(
        a_definition({"id": "s", "set": [{"name": "v", "expr": "trigger.t + trigger.t"}]}),
        limits=Limits(record_bytes=1000),
    )
    assert one(bench.start({"t": "x" * 600}), StepParked) == StepParked(
        "too_large", "set", "it has 1208 bytes, and a record takes 1000"
    )


def test_a_parked_run_goes_on_elsewhere_and_ends_only_when_the_step_is_skipped_or_done() -> None:
    bench = Bench(
        a_definition(
            {"id": "bad", "set": [{"name": "v", "expr": "trigger.none"}]},
            {"id": "good", **PRINT},
            {"id": "after", "needs": ["bad"], **PRINT},
        )
    )
    assert facts(bench.start()) == ["RunStarted", ("StepParked", "bad"), ("LinePrinted", "good")]
    assert facts(bench.take(RetryStep("r", bench.run(), "bad"))) == [("StepRetried", "bad"), ("StepParked", "bad")]
    assert bench.own().parked == 1
    decision = bench.take(SkipStep("s", bench.run(), "bad"))
    assert facts(decision) == ["StepsSkipped", "StepsSkipped", "RunCompleted"]
    assert one(decision, RunCompleted).ended == ("good",)
    assert bench.own().parked == 0
    bench.assert_heads_are_folds()


def test_a_line_is_cut_and_a_value_is_printed_as_json() -> None:
    bench = Bench(a_definition({"id": "p", "print": {"text": "trigger"}}))
    assert one(bench.start({"b": 1, "a": "é" * 5000}), LinePrinted).text[:8] == '{"a":"éé'
    assert len(one(bench.start({"a": "x" * 5000}, id="e2"), LinePrinted).text) == 4000


def test_a_decision_stops_at_its_limit_and_goes_on_in_a_command_of_its_own() -> None:
    steps: list[dict[str, Any]] = [{"id": f"s{n}", **PRINT} for n in range(10)]
    bench = Bench(a_definition(*steps, {"id": "end", "needs": ["s9"], **PRINT}), limits=Limits(transitions=4))
    decisions = bench.take_all(a_start(bench.plan))
    assert [len(d.transitions) for d in decisions] == [4, 4, 5]
    first = decisions[0].effects[-1]
    assert isinstance(first, AppendCommand)
    assert (first.key, first.command.id) == ("k1", f"continue/{bench.run()}/4")
    assert bench.transitions[-1].type == "RunCompleted"
    assert [t.step for t in bench.transitions if t.step] == [*(f"s{n}" for n in range(10)), "end"]
    bench.assert_heads_are_folds()


TRACE = Trace("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "vendor=1")


def test_what_a_timer_leads_to_has_the_trace_of_the_runs_start() -> None:
    bench = Bench(
        a_definition(
            {"id": "pause", "delay": {"for": "10s"}},
            {"id": "tell", "needs": ["pause"], "emit": {"event": "told"}},
        )
    )
    started = bench.take(msgspec.structs.replace(a_start(bench.plan), trace=TRACE))
    assert started.traces == {started.transitions[0].run: RunTrace(TRACE, TRACE)}
    bench.now_ms += 10_000
    run = started.transitions[0].run
    decision = bench.take(FireTimer(id="t", run=run, address="pause", due_ms=bench.now_ms))
    assert decision.traces == {run: RunTrace(TRACE, TRACE)}
    assert [effect.trace for effect in decision.effects if isinstance(effect, PublishEvent)] == [TRACE]


def test_a_branch_is_never_taken_because_none_is() -> None:
    """The check refuses a branch of this name; the engine does not rely on it."""
    bench = Bench(
        a_definition(
            {"id": "way", "choose": [{"id": "none", "if": "false"}, {"id": "some", "if": "false"}]},
            {"id": "taken", "needs": ["way.none"], **PRINT},
        )
    )
    decision = bench.start()
    assert one(decision, BranchChosen).branch is None
    assert one(decision, StepsSkipped).steps == ("taken",)


def test_what_a_step_requires_holds_or_parks_it_until_a_person_decides() -> None:
    bench = Bench(
        a_definition(
            {"id": "must", "require": {"that": "trigger.n > 0"}},
            {"id": "after", "needs": ["must"], "set": [{"name": "met", "expr": "steps.must.met"}]},
        )
    )
    assert one(bench.start({"n": 1}), ValuesSet).values == {"met": True}
    decision = bench.start({"n": 0}, id="e2", key="k2")
    assert one(decision, StepParked) == StepParked("requirement_not_met", "require/that")
    run = decision.transitions[0].run
    assert one(bench.take(RetryStep("r", run, "must")), StepParked).code == "requirement_not_met"
    assert one(bench.take(SkipStep("s", run, "must")), RunCompleted).ended == ()
    assert one(bench.start({}, id="e3", key="k3"), StepParked).code != "requirement_not_met"
