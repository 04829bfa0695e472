"""Calls: attempts, retries, limits and failure paths, by what the simulation shows."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from streamflow.engine.attempt_transitions import AttemptFailed, CallRequested
from streamflow.engine.builder import Limits
from streamflow.engine.commands import CompleteAttempt, SuspendAttempt
from streamflow.engine.transitions import RunCompleted, StepParked
from streamflow.simulation.tasks import Handed, Silent
from tests.unit.engine.outside import CALL, cancelled_tasks, ended, facts, failing, left_behind, of, started, world


def test_a_call_is_a_task_and_its_output_is_the_steps() -> None:
    simulation = world(
        {"id": "pay", "call": {**CALL, "with": [{"name": "cents", "expr": "trigger.cents"}]}},
        {"id": "done", "needs": ["pay"], "set": [{"name": "receipt", "expr": "steps.pay.receipt"}]},
        output="done",
        operations={"pay": lambda input, task: {"receipt": f"r{input['cents']}"}},
    )
    run = started(simulation, {"cents": 7})
    (task,) = simulation.tasks.calls
    assert (task.id, task.idempotency_key, task.operation, task.input) == (
        f"{run}/pay/1",
        f"{run}/pay",
        "pay",
        {"cents": 7},
    )
    assert facts(simulation, run) == [
        "RunStarted",
        "CallRequested pay",
        "AttemptSucceeded pay",
        "ValuesSet done",
        "RunCompleted",
    ]
    assert ended(simulation, run) == RunCompleted(("done",), {"receipt": "r7"})
    assert [t.attempt for t in simulation.history(run)] == [None, 1, 1, None, None]


def test_a_run_leaves_nothing_of_its_calls_in_the_state() -> None:
    simulation = world(
        {"id": "pay", "call": {**CALL, "within": "1h"}},
        {"id": "many", "each": {"items": "[1, 2, 3]"}, "call": {"operation": "pay", "within": "1h"}},
        {"id": "last", "needs": ["many"], "set": [{"name": "n", "expr": "size(steps.many)"}]},
        operations={"pay": lambda input, task: {}},
    )
    run = started(simulation)
    assert isinstance(ended(simulation, run), RunCompleted)
    assert left_behind(simulation) == []


def test_a_failed_attempt_is_tried_again_after_a_growing_pause_under_the_same_key() -> None:
    simulation = world(
        {"id": "pay", "call": {**CALL, "retry": {"attempts": 4, "backoff": "10s"}}}, operations={"pay": failing(3)}
    )
    run = started(simulation)
    simulation.advance("1h")
    calls = simulation.tasks.calls
    assert [task.attempt for task in calls] == [1, 2, 3, 4]
    assert {task.idempotency_key for task in calls} == {f"{run}/pay"}
    at = [t.at_ms for t in simulation.history(run) if isinstance(t.data, CallRequested)]
    pauses = [after - before for before, after in pairwise(at)]
    for pause, full in zip(pauses, (10_000, 20_000, 40_000), strict=True):
        assert full / 2 <= pause <= full
    assert pauses != [5_000, 10_000, 20_000]  # the jitter is no constant
    assert isinstance(ended(simulation, run), RunCompleted)


def test_all_attempts_are_given_the_same_input() -> None:
    with_now = {**CALL, "with": [{"name": "at", "expr": "now"}]}
    simulation = world({"id": "pay", "call": with_now}, operations={"pay": failing(2)})
    started(simulation)
    simulation.advance("1h")
    inputs = [task.input for task in simulation.tasks.calls]
    assert len(inputs) == 3
    assert inputs[1:] == inputs[:-1]


def test_an_error_that_says_when_is_not_asked_before() -> None:
    simulation = world({"id": "pay", "call": CALL}, operations={"pay": failing(1, retry_after_s=120.0)})
    run = started(simulation)
    simulation.advance("119s")
    assert len(simulation.tasks.calls) == 1
    simulation.advance("2s")
    assert isinstance(ended(simulation, run), RunCompleted)


def test_a_step_may_have_attempts_of_its_own_for_a_code() -> None:
    retry = {"attempts": 9, "codes": [{"id": "broke", "attempts": 2}]}
    simulation = world(
        {"id": "pay", "call": {**CALL, "retry": retry}},
        {
            "id": "sorry",
            "needs": ["pay.failure"],
            "set": [{"name": "why", "expr": "errors.pay.code + ' after ' + string(errors.pay.attempts)"}],
        },
        output="sorry",
        operations={"pay": failing(9, "broke", retryable=False)},
    )
    run = started(simulation)
    simulation.advance("1h")
    assert ended(simulation, run) == RunCompleted(("sorry",), {"why": "broke after 2"})


def test_an_error_that_is_not_retryable_is_not_tried_again() -> None:
    simulation = world({"id": "pay", "call": CALL}, operations={"pay": failing(1, "refused", retryable=False)})
    run = started(simulation)
    assert of(simulation, run, StepParked) == [StepParked("refused", "call")]
    assert len(simulation.tasks.calls) == 1


def test_a_person_gives_a_parked_call_as_many_attempts_again() -> None:
    simulation = world(
        {"id": "pay", "call": {**CALL, "retry": {"attempts": 2, "backoff": "1s"}}}, operations={"pay": failing(3)}
    )
    run = started(simulation)
    simulation.advance("1m")
    assert simulation.head(run).parked  # type: ignore[union-attr]
    simulation.retry(run, "pay")
    simulation.advance("1m")
    assert [task.attempt for task in simulation.tasks.calls] == [1, 2, 3, 4]
    assert isinstance(ended(simulation, run), RunCompleted)
    assert left_behind(simulation) == []


def test_an_attempt_of_which_nothing_is_heard_is_lost_and_made_again() -> None:
    answers: list[Any] = [Silent(), {"ok": True}]
    simulation = world(
        {"id": "pay", "call": {**CALL, "timeout": "10s", "queue": "1m"}},
        operations={"pay": lambda input, task: answers.pop(0)},
    )
    run = started(simulation)
    simulation.advance("129s")  # queue, attempt, and a minute in which a result may be under way
    assert len(simulation.tasks.calls) == 1
    simulation.advance("3s")
    assert [f.code for f in of(simulation, run, AttemptFailed)] == ["attempt_lost"]
    assert isinstance(ended(simulation, run), RunCompleted)


def test_a_late_result_of_an_old_attempt_is_refused_and_changes_nothing() -> None:
    simulation = world(
        {"id": "pay", "call": {**CALL, "timeout": "10s", "queue": "1m"}},
        {"id": "end", "needs": ["pay"], "delay": {"for": "1d"}},
    )
    simulation.tasks.busy.add(str(CALL["operation"]))
    run = started(simulation)
    (old,) = simulation.tasks.open.values()
    simulation.advance("3m")
    simulation.tasks.complete(old, {"old": True})
    simulation.run_until_quiet()
    assert simulation.own().reasons["late_result"] == 1
    (new,) = simulation.tasks.open.values()
    assert new.attempt == 2
    for _ in range(2):
        simulation.tasks.complete(new, {"new": True})
    simulation.run_until_quiet()
    assert simulation.own().reasons["attempt_ended"] == 1
    simulation.tasks.complete(old, {"old": True})
    simulation.append(CompleteAttempt(id="x", run=run, address="end", attempt=1, output={}))
    simulation.append(CompleteAttempt(id="x", run=run, address="nothing", attempt=1, output={}))
    simulation.append(CompleteAttempt(id="x", run=run[:8] + "-nobody", address="pay", attempt=1, output={}))
    simulation.run_until_quiet()
    reasons = simulation.own().reasons
    assert (reasons["late_result"], reasons["attempt_unknown"], reasons["run_unknown"]) == (3, 1, 1)
    assert facts(simulation, run).count("AttemptSucceeded pay") == 1


def test_a_step_that_is_out_of_time_takes_the_path_for_it() -> None:
    steps: list[dict[str, Any]] = [
        {"id": "pay", "call": {**CALL, "within": "30s", "retry": {"attempts": 100, "backoff": "20s"}}},
        {"id": "late", "needs": ["pay.timeout"], "set": [{"name": "code", "expr": "errors.pay.code"}]},
        {"id": "bad", "needs": ["pay.failure"], "print": {"text": "'bad'"}},
    ]
    simulation = world(*steps, output="late", operations={"pay": failing(9)})
    run = started(simulation)
    simulation.advance("31s")
    assert ended(simulation, run) == RunCompleted(("late",), {"code": "deadline_passed"})
    assert simulation.history(run)[-1].at_ms - simulation.history(run)[0].at_ms == 30_000


def test_without_a_path_for_time_the_path_for_failure_is_taken() -> None:
    steps = [
        {"id": "pay", "call": {**CALL, "within": "30s"}},
        {"id": "bad", "needs": ["pay.failure"], "print": {"text": "'bad'"}},
    ]
    simulation = world(*steps)
    run = started(simulation)
    (task,) = simulation.tasks.open.values()
    simulation.advance("31s")
    assert ended(simulation, run) == RunCompleted(("bad",))
    assert cancelled_tasks(simulation) == [task.id]


def test_an_attempt_may_be_handed_over_and_answered_by_a_call_back() -> None:
    simulation = world(
        {"id": "pay", "call": {**CALL, "timeout": "5s", "queue": "5s"}},
        operations={"pay": lambda input, task: Handed(3_600_000)},
    )
    run = started(simulation)
    simulation.advance("50m")
    (task,) = simulation.tasks.open.values()
    assert task.attempt == 1
    simulation.tasks.complete(task, {"said": "yes"})
    simulation.run_until_quiet()
    assert isinstance(ended(simulation, run), RunCompleted)
    assert left_behind(simulation) == []


def test_a_call_back_that_does_not_come_is_a_failed_attempt() -> None:
    simulation = world(
        {"id": "pay", "call": {**CALL, "retry": {"attempts": 1}}},
        operations={"pay": lambda input, task: Handed(60_000)},
    )
    run = started(simulation)
    simulation.advance("61s")
    assert of(simulation, run, StepParked) == [StepParked("callback_missed", "call")]


def test_a_hand_over_that_comes_after_the_answer_is_refused() -> None:
    simulation = world({"id": "pay", "call": CALL})
    run = started(simulation)
    (task,) = simulation.tasks.open.values()
    simulation.tasks.complete(task, {})
    simulation.append(SuspendAttempt(id="s", run=run, address="pay", attempt=1, for_ms=1000))
    simulation.run_until_quiet()
    assert isinstance(ended(simulation, run), RunCompleted)


def test_an_output_that_no_record_takes_is_a_failure_of_the_operation() -> None:
    simulation = world({"id": "pay", "call": CALL}, limits=Limits(record_bytes=2000))
    run = started(simulation)
    (task,) = simulation.tasks.open.values()
    simulation.tasks.complete(task, "x" * 1995)
    simulation.run_until_quiet()
    assert [dead["reason"] for dead in simulation.dead_letters()] == ["too_large"]
    simulation.tasks.complete(task, "x" * 1700)
    simulation.run_until_quiet()
    assert isinstance(ended(simulation, run), RunCompleted)


def test_a_timer_that_is_armed_again_for_the_same_time_is_gone_with_its_step() -> None:
    simulation = world({"id": "pay", "call": {**CALL, "within": "1m"}})
    run = started(simulation)  # the timer of the deadline is in the store
    simulation.append(SuspendAttempt(id="s", run=run, address="pay", attempt=1, for_ms=3_600_000))
    simulation.append(CompleteAttempt(id="c", run=run, address="pay", attempt=1, output={}))
    simulation.run_until_quiet()
    assert isinstance(ended(simulation, run), RunCompleted)
    assert left_behind(simulation) == []


def test_a_pause_of_no_length_is_over_at_once_and_not_never() -> None:
    call = {**CALL, "timeout": "1s", "queue": "1s", "retry": {"attempts": 4, "backoff": "0s"}}
    simulation = world({"id": "pay", "call": call}, operations={"pay": lambda input, task: Silent()})
    started(simulation)
    simulation.advance("1d")
    assert [task.attempt for task in simulation.tasks.calls] == [1, 2, 3, 4]


GATE = {"id": "gate", "wait": {"events": [{"id": "go", "event": "go"}], "forever": True}}
EITHER = {"needs": ["a", "gate"], "join": "any"}


def _late(**more: Any) -> dict[str, Any]:
    """A call that is begun before a step that it may read has ended."""
    seen = "has(steps.gate) ? steps.gate.data.text : 'nothing'"
    return {"id": "pay", **EITHER, "call": {**CALL, "with": [{"name": "text", "expr": seen}]}, **more}


@pytest.mark.parametrize("each", [{}, {"each": {"items": "[1, 2, 3]", "at_once": 2}}])
def test_what_ends_between_two_attempts_changes_nothing_for_the_second(each: dict[str, Any]) -> None:
    first = {"id": "a", "set": [{"name": "x", "expr": "1"}]}
    last = {"id": "last", "needs": ["pay", "gate"], "set": [{"name": "text", "expr": "steps.gate.data.text"}]}
    simulation = world(first, GATE, _late(**each), last, operations={"pay": failing(1)}, output="last")
    run = started(simulation)
    simulation.send("go", {"text": "hello"}, key="k1")
    simulation.advance("1m")
    inputs = [task.input for task in simulation.tasks.calls]
    assert inputs == [{"text": "nothing"}] * (6 if each else 2)
    assert ended(simulation, run).output == {"text": "hello"}
    assert left_behind(simulation) == []


def test_a_person_s_retry_is_given_what_the_first_attempt_was() -> None:
    first = {"id": "a", "set": [{"name": "x", "expr": "1"}]}
    call = {**_late(), "call": {**_late()["call"], "retry": {"attempts": 1}}}
    simulation = world(first, GATE, call, operations={"pay": failing(1)})
    run = started(simulation)
    simulation.send("go", {"text": "hello"}, key="k1")
    simulation.retry(run, "pay")
    simulation.run_until_quiet()
    assert [task.input for task in simulation.tasks.calls] == [{"text": "nothing"}] * 2
    assert isinstance(ended(simulation, run), RunCompleted)


@pytest.mark.parametrize("each", [{}, {"each": {"items": "[1, 2]", "at_once": 2}}])
def test_an_attempt_that_can_no_longer_be_prepared_leaves_no_timer_and_no_item_behind(each: dict[str, Any]) -> None:
    """Only other limits can do that to a second attempt."""
    step = {"id": "pay", **each, "call": {**CALL, "with": [{"name": "text", "expr": "trigger.text"}]}}
    simulation = world(step, operations={"pay": failing(1)}, limits=Limits(record_bytes=20_000))
    run = started(simulation, {"text": "x" * 12_000})
    worker = simulation.workers["worker"]
    worker.limits = Limits(record_bytes=10_000)
    simulation.assign(0, "worker")  # limits are fixed when a partition is opened
    simulation.advance("1m")
    detail = "it has 12011 bytes, and a record takes 10000"
    assert of(simulation, run, StepParked) == [
        StepParked("items_failed", "each") if each else StepParked("too_large", "with", detail)
    ]
    if each:
        assert of(simulation, run, AttemptFailed)[-1].message == (
            f"The values of item 0 could not be computed: with failed. I{detail[1:]}."
        )
    worker.limits = Limits(record_bytes=20_000)
    simulation.assign(0, "worker")
    simulation.retry(run, "pay")
    simulation.advance("1m")
    assert [task.attempt for task in simulation.tasks.calls] == ([1, 1, 2, 2] if each else [1, 2])
    assert isinstance(ended(simulation, run), RunCompleted)
    assert left_behind(simulation) == []


def _nested(levels: int) -> Any:
    data: Any = 1
    for _ in range(levels):
        data = [data]
    return {"deep": data}


@pytest.mark.parametrize(("levels", "code"), [(99, None), (100, "output_invalid"), (120, "output_invalid")])
def test_how_deep_an_output_may_be_is_no_matter_of_a_process_s_stack(levels: int, code: str | None) -> None:
    last = {"id": "last", "needs": ["pay"], "set": [{"name": "v", "expr": "steps.pay.deep"}]}
    simulation = world({"id": "pay", "call": CALL}, last, operations={"pay": lambda input, task: _nested(levels)})
    run = started(simulation)
    assert [found.code for found in of(simulation, run, StepParked)] == ([code] if code else [])
    assert isinstance(ended(simulation, run), StepParked if code else RunCompleted)
    assert simulation.dead_letters() == []
