"""Calls: attempts, retries, limits, failure paths, lists, child runs, approvals and undoing, by what the simulation shows."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest

from streamflow.definition.catalog import Catalog, ChildSpec
from streamflow.definition.model import Definition
from streamflow.engine.commands import CompleteAttempt, FailAttempt, SuspendAttempt
from streamflow.engine.draft import Limits
from streamflow.engine.tasks import CancelTask, Task
from streamflow.engine.transitions import AttemptFailed, CallRequested, ItemsEnded, RunCompleted, RunFailed, RunStopping, StepParked
from streamflow.errors import OperationError
from streamflow.simulation.driver import Simulation
from streamflow.simulation.tasks import Handed, Silent
from streamflow.wire.tasks import decode_task
from tests.builders import a_catalog, a_definition, events_of, operations_of

CALL = {"operation": "pay"}


def world(*steps: dict[str, Any], operations: dict[str, Callable[..., Any]] | None = None, **more: Any) -> Simulation:
    simulation = Simulation(operations=operations, limits=more.pop("limits", None))
    publish(simulation, a_definition(*steps, **more))
    return simulation


def publish(simulation: Simulation, definition: Definition, *children: ChildSpec) -> str:
    catalog = a_catalog(*events_of(definition), operations=operations_of(definition))
    return simulation.publish(definition, Catalog(events=catalog.events, operations=catalog.operations, definitions=list(children)))


def started(simulation: Simulation, data: Any = None) -> str:
    simulation.send("placed", data if data is not None else {}, key="k1")
    simulation.run_until_quiet()
    return next(t.run for t in simulation.transitions() if t.definition == "order")


def facts(simulation: Simulation, run: str) -> list[str]:
    return [f"{t.type} {t.step}" if t.step else t.type for t in simulation.history(run)]


def of(simulation: Simulation, run: str, kind: type) -> list[Any]:
    return [t.data for t in simulation.history(run) if isinstance(t.data, kind)]


def ended(simulation: Simulation, run: str) -> Any:
    return simulation.history(run)[-1].data


def cancelled_tasks(simulation: Simulation) -> list[str]:
    records = [record for name, topic in simulation.log.topics.items() if name.startswith("tasks.") for record in topic.records()]
    return [task.id for record in records if isinstance(task := decode_task(record.value or b""), CancelTask)]


def test_a_call_is_a_task_and_its_output_is_the_steps() -> None:
    simulation = world(
        {"id": "pay", "call": {**CALL, "with": [{"name": "cents", "expr": "trigger.cents"}]}},
        {"id": "done", "needs": ["pay"], "set": [{"name": "receipt", "expr": "steps.pay.receipt"}]},
        output="done",
        operations={"pay": lambda input, task: {"receipt": f"r{input['cents']}"}},
    )
    run = started(simulation, {"cents": 7})
    (task,) = simulation.tasks.calls
    assert (task.id, task.idempotency_key, task.operation, task.input) == (f"{run}/pay/1", f"{run}/pay", "pay", {"cents": 7})
    assert facts(simulation, run) == ["RunStarted", "CallRequested pay", "AttemptSucceeded pay", "ValuesSet done", "RunCompleted"]
    assert ended(simulation, run) == RunCompleted(("done",), {"receipt": "r7"})
    assert [t.attempt for t in simulation.history(run)] == [None, 1, 1, None, None]


def left_behind(simulation: Simulation) -> list[str]:
    """The records of the state that no run should leave behind."""
    simulation.checkpoint()
    kept = ("own", "content/", "mark/", "key/", "done/", "expiry/")
    return [key for change in simulation.log.changelogs for key, found in change.records.items() if found.value is not None and not key.startswith(kept)]


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


def failing(times: int, code: str = "busy", **more: Any) -> Callable[[Any, Task], Any]:
    """An operation that fails so many times."""

    def run(input: Any, task: Task) -> Any:
        if task.attempt <= times:
            raise OperationError(code, "try later", **more)
        return {"attempt": task.attempt}

    return run


def test_a_failed_attempt_is_tried_again_after_a_growing_pause_under_the_same_key() -> None:
    simulation = world({"id": "pay", "call": {**CALL, "retry": {"attempts": 4, "backoff": "10s"}}}, operations={"pay": failing(3)})
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
        {"id": "sorry", "needs": ["pay.failure"], "set": [{"name": "why", "expr": "errors.pay.code + ' after ' + string(errors.pay.attempts)"}]},
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
    simulation = world({"id": "pay", "call": {**CALL, "retry": {"attempts": 2, "backoff": "1s"}}}, operations={"pay": failing(3)})
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
    simulation = world({"id": "pay", "call": {**CALL, "timeout": "10s", "queue": "1m"}}, operations={"pay": lambda input, task: answers.pop(0)})
    run = started(simulation)
    simulation.advance("129s")  # queue, attempt, and a minute in which a result may be under way
    assert len(simulation.tasks.calls) == 1
    simulation.advance("3s")
    assert [f.code for f in of(simulation, run, AttemptFailed)] == ["attempt_lost"]
    assert isinstance(ended(simulation, run), RunCompleted)


def test_a_late_result_of_an_old_attempt_is_refused_and_changes_nothing() -> None:
    simulation = world({"id": "pay", "call": {**CALL, "timeout": "10s", "queue": "1m"}}, {"id": "end", "needs": ["pay"], "delay": {"for": "1d"}})
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
    simulation.append(CompleteAttempt("x", run, "end", 1, {}))
    simulation.append(CompleteAttempt("x", run, "nothing", 1, {}))
    simulation.append(CompleteAttempt("x", run[:8] + "-nobody", "pay", 1, {}))
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
    steps = [{"id": "pay", "call": {**CALL, "within": "30s"}}, {"id": "bad", "needs": ["pay.failure"], "print": {"text": "'bad'"}}]
    simulation = world(*steps)
    run = started(simulation)
    (task,) = simulation.tasks.open.values()
    simulation.advance("31s")
    assert ended(simulation, run) == RunCompleted(("bad",))
    assert cancelled_tasks(simulation) == [task.id]


def test_an_attempt_may_be_handed_over_and_answered_by_a_call_back() -> None:
    simulation = world({"id": "pay", "call": {**CALL, "timeout": "5s", "queue": "5s"}}, operations={"pay": lambda input, task: Handed(3_600_000)})
    run = started(simulation)
    simulation.advance("50m")
    (task,) = simulation.tasks.open.values()
    assert task.attempt == 1
    simulation.tasks.complete(task, {"said": "yes"})
    simulation.run_until_quiet()
    assert isinstance(ended(simulation, run), RunCompleted)
    assert left_behind(simulation) == []


def test_a_call_back_that_does_not_come_is_a_failed_attempt() -> None:
    simulation = world({"id": "pay", "call": {**CALL, "retry": {"attempts": 1}}}, operations={"pay": lambda input, task: Handed(60_000)})
    run = started(simulation)
    simulation.advance("61s")
    assert of(simulation, run, StepParked) == [StepParked("callback_missed", "call")]


def test_a_hand_over_that_comes_after_the_answer_is_refused() -> None:
    simulation = world({"id": "pay", "call": CALL})
    run = started(simulation)
    (task,) = simulation.tasks.open.values()
    simulation.tasks.complete(task, {})
    simulation.append(SuspendAttempt("s", run, "pay", 1, 1000))
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


# -- lists


def a_list(items: str = "trigger.ids", at_once: int = 2, **call: Any) -> dict[str, Any]:
    values = [{"name": "id", "expr": "item"}, {"name": "index", "expr": "index"}]
    return {"id": "each", "each": {"items": items, "at_once": at_once}, "call": {"operation": "pay", "with": values, **call}}


def test_a_list_is_worked_through_with_a_bound_and_its_outputs_are_in_order() -> None:
    last = {"id": "sum", "needs": ["each"], "set": [{"name": "all", "expr": "steps.each"}]}
    simulation = world(a_list(), last, output="sum")
    run = started(simulation, {"ids": ["a", "b", "c", "d"]})
    assert sorted(simulation.tasks.open) == [f"{run}/each/0/1", f"{run}/each/1/1"]
    done = []
    while simulation.tasks.open:
        assert len(simulation.tasks.open) <= 2
        task = list(simulation.tasks.open.values())[-1]  # out of order
        done.append(task.idempotency_key)
        simulation.tasks.complete(task, f"{task.input['id']}{task.input['index']}")
        simulation.run_until_quiet()
    assert len(done) == 4
    assert ended(simulation, run).output == {"all": ["a0", "b1", "c2", "d3"]}
    assert left_behind(simulation) == []


def test_an_empty_list_is_done_at_once() -> None:
    simulation = world(a_list("[]"), {"id": "sum", "needs": ["each"], "set": [{"name": "n", "expr": "size(steps.each)"}]}, output="sum")
    assert ended(simulation, started(simulation)).output == {"n": 0}


def test_when_an_item_fails_the_others_are_done_and_a_retry_does_what_failed_once_more() -> None:
    broken = {"b", "d"}

    def pay(input: Any, task: Task) -> Any:
        if input["id"] in broken:
            raise OperationError("refused", "no", retryable=False)
        return input["id"]

    last = {"id": "sum", "needs": ["each"], "set": [{"name": "all", "expr": "steps.each"}]}
    simulation = world(a_list(), last, output="sum", operations={"pay": pay})
    run = started(simulation, {"ids": ["a", "b", "c", "d", "e"]})
    assert of(simulation, run, ItemsEnded) == [ItemsEnded(5, 2, None)]
    assert of(simulation, run, StepParked) == [StepParked("items_failed", "each")]
    broken.discard("b")
    simulation.retry(run, "each")
    simulation.run_until_quiet()
    assert of(simulation, run, ItemsEnded)[-1] == ItemsEnded(5, 1, None)
    broken.clear()
    simulation.retry(run, "each")
    simulation.run_until_quiet()
    assert ended(simulation, run).output == {"all": ["a", "b", "c", "d", "e"]}
    assert sorted(task.id.removeprefix(run) for task in simulation.tasks.calls) == [
        "/each/0/1",
        "/each/1/1",
        "/each/1/2",
        "/each/2/1",
        "/each/3/1",
        "/each/3/2",
        "/each/3/3",
        "/each/4/1",
    ]
    assert left_behind(simulation) == []


def test_items_are_tried_again_by_themselves() -> None:
    simulation = world(a_list(retry={"attempts": 3, "backoff": "1s"}), operations={"pay": failing(2)})
    run = started(simulation, {"ids": list(range(5))})
    simulation.advance("1m")
    assert isinstance(ended(simulation, run), RunCompleted)
    assert len(simulation.tasks.calls) == 15
    assert left_behind(simulation) == []


def test_a_list_that_fails_takes_the_path_for_it() -> None:
    steps: list[dict[str, Any]] = [a_list(), {"id": "sorry", "needs": ["each.failure"], "set": [{"name": "code", "expr": "errors.each.code + ': ' + errors.each.message"}]}]
    simulation = world(*steps, output="sorry", operations={"pay": failing(9, retryable=False)})
    run = started(simulation, {"ids": [1, 2]})
    assert ended(simulation, run).output == {"code": "items_failed: 2 of 2 items failed"}
    assert left_behind(simulation) == []


def test_an_item_whose_values_have_faults_fails_alone() -> None:
    simulation = world({**a_list(), "call": {"operation": "pay", "with": [{"name": "n", "expr": "10 / item"}]}}, operations={"pay": lambda i, t: i})
    run = started(simulation, {"ids": [1, 0, 5]})
    assert of(simulation, run, ItemsEnded) == [ItemsEnded(3, 1, None)]
    simulation.skip(run, "each")
    simulation.run_until_quiet()
    assert isinstance(ended(simulation, run), RunCompleted)
    assert left_behind(simulation) == []


@pytest.mark.parametrize("handled", [True, False])
def test_a_list_that_is_out_of_time_ends_what_is_under_way(handled: bool) -> None:
    late = [{"id": "late", "needs": ["each.timeout"], "print": {"text": "errors.each.code"}}] if handled else []
    simulation = world(a_list(within="1m"), *late)
    run = started(simulation, {"ids": ["a", "b", "c", "d"]})
    first = simulation.tasks.open[f"{run}/each/0/1"]
    simulation.tasks.complete(first, "a")
    simulation.advance("61s")
    assert of(simulation, run, ItemsEnded)[-1] == ItemsEnded(4, 3, "timeout" if handled else None)
    assert sorted(cancelled_tasks(simulation)) == [f"{run}/each/1/1", f"{run}/each/2/1"]
    if not handled:
        simulation.retry(run, "each")
        simulation.run_until_quiet()
        while simulation.tasks.open:
            simulation.tasks.complete(next(iter(simulation.tasks.open.values())), "x")
            simulation.run_until_quiet()
    assert isinstance(ended(simulation, run), RunCompleted)
    assert left_behind(simulation) == []


def test_a_list_of_very_many_items_is_refused_with_a_code() -> None:
    simulation = world(a_list(), limits=Limits(record_bytes=2_000_000))
    run = started(simulation, {"ids": list(range(100_000))})
    assert of(simulation, run, StepParked) == [StepParked("too_many_items", "each")]


def test_a_long_list_makes_no_long_decision() -> None:
    simulation = world(a_list("trigger.ids", at_once=100), operations={"pay": lambda i, t: {}}, limits=Limits(transitions=20))
    run = started(simulation, {"ids": list(range(300))})
    by_cause: dict[str, int] = {}
    for transition in simulation.history(run):
        by_cause[transition.cause] = by_cause.get(transition.cause, 0) + 1
    assert max(by_cause.values()) <= 22
    assert isinstance(ended(simulation, run), RunCompleted)
    assert left_behind(simulation) == []


# -- child runs


def with_child(child: Definition, *steps: dict[str, Any], **more: Any) -> Simulation:
    simulation = Simulation(operations=more.pop("operations", None), partitions=3, limits=more.pop("limits", None))
    sha = publish(simulation, child)
    at = simulation.definitions.contents[sha][1]
    publish(simulation, a_definition(*steps, **more), ChildSpec(name=child.name, version=child.version, sha=sha, at=at))
    return simulation


def a_child(*steps: dict[str, Any], **more: Any) -> Definition:
    raw = {"name": "refund", "version": "1", "input": {"type": "object"}, "steps": list(steps), **more}
    return Definition.model_validate(raw)


RUN = {"id": "child", "run": {"definition": "refund", "version": "1", "key": "'other-' + run.key", "with": [{"name": "n", "expr": "trigger.n"}]}}


def test_a_child_run_starts_under_its_key_and_its_output_comes_back() -> None:
    child = a_child({"id": "twice", "set": [{"name": "n", "expr": "trigger.n * 2"}]}, output="twice")
    last = {"id": "end", "needs": ["child"], "set": [{"name": "got", "expr": "steps.child.output.n"}]}
    simulation = with_child(child, RUN, last, output="end")
    parent = started(simulation, {"n": 4})
    assert ended(simulation, parent).output == {"got": 8}
    (run,) = [r for r in simulation.runs() if r != parent]
    assert simulation.history(run)[0].key == "other-k1"
    assert simulation.history(run)[0].data.parent.run == parent
    assert left_behind(simulation) == []


def test_a_child_that_fails_is_a_failure_of_the_step() -> None:
    child = a_child({"id": "no", "fail": {"reason": "'never'"}})
    sorry = {"id": "sorry", "needs": ["child.failure"], "set": [{"name": "why", "expr": "errors.child.code + ' ' + errors.child.message"}]}
    simulation = with_child(child, RUN, sorry, output="sorry")
    parent = started(simulation, {"n": 4})
    why = ended(simulation, parent).output["why"]
    assert why.startswith("child_failed")
    assert why.endswith(": never")


def test_a_child_whose_start_is_refused_is_a_failure_too() -> None:
    child = a_child({"id": "hold", "delay": {"for": "1h"}}, runs="one")
    simulation = with_child(child, RUN, {"id": "sorry", "needs": ["child.failure"], "set": [{"name": "why", "expr": "errors.child.code"}]}, output="sorry")
    for number in range(2):
        simulation.send("placed", {"n": number}, key="k1")
    simulation.run_until_quiet()
    ends = [simulation.history(run)[-1].data for run in simulation.runs()]
    assert [end.output for end in ends if isinstance(end, RunCompleted)] == [{"why": "run_open"}]
    simulation.advance("1h")
    ends = [simulation.history(run)[-1].data for run in simulation.runs()]
    assert all(isinstance(end, RunCompleted) for end in ends)


def test_a_cancelled_parent_cancels_its_child_and_time_ends_one() -> None:
    child = a_child({"id": "hold", "delay": {"for": "1h"}})
    simulation = with_child(child, {"id": "child", "run": {**RUN["run"], "within": "1m"}})  # type: ignore[dict-item]
    first = started(simulation, {"n": 1})
    simulation.cancel(first)
    simulation.send("placed", {"n": 2}, key="k1")
    simulation.advance("2m")
    assert [simulation.history(run)[-1].type for run in simulation.runs()].count("RunCancelled") == 3
    (second,) = [run for run in simulation.runs() if of(simulation, run, StepParked)]
    assert of(simulation, second, StepParked) == [StepParked("deadline_passed", "call")]


def test_what_no_command_takes_is_not_sent_to_a_child_nor_to_a_parent() -> None:
    child = a_child({"id": "big", "set": [{"name": "text", "expr": "trigger.n"}]}, output="big")
    last = {"id": "end", "needs": ["child"], "set": [{"name": "got", "expr": "steps.child.output == null"}]}
    simulation = with_child(child, RUN, last, output="end", limits=Limits(record_bytes=20_000))
    parent = started(simulation, {"n": "x" * 15_990})  # fits the child's start, and as its output not the answer
    assert ended(simulation, parent).output == {"got": True}
    simulation.send("placed", {"n": "x" * 16_100}, key="k1")
    simulation.run_until_quiet()
    parked = [t.data for t in simulation.transitions() if isinstance(t.data, StepParked)]
    assert parked == [StepParked("too_large", "with")]


def test_a_list_of_children() -> None:
    child = a_child({"id": "twice", "set": [{"name": "n", "expr": "trigger.n * 2"}]}, output="twice")
    step = {
        "id": "all",
        "each": {"items": "trigger.ns"},
        "run": {"definition": "refund", "version": "1", "key": "string(item)", "with": [{"name": "n", "expr": "item"}]},
    }
    last = {"id": "end", "needs": ["all"], "set": [{"name": "ns", "expr": "steps.all.map(x, x.output.n)"}]}
    simulation = with_child(child, step, last, output="end")
    assert ended(simulation, started(simulation, {"ns": [1, 2, 3]})).output == {"ns": [2, 4, 6]}
    assert left_behind(simulation) == []


# -- approvals


def test_an_approval_waits_for_a_person() -> None:
    steps: list[dict[str, Any]] = [
        {"id": "ask", "approval": {"text": "'pay ' + string(trigger.n) + '?'", "who": ["boss"], "within": "1h"}},
        {"id": "yes", "needs": ["ask.approved"], "set": [{"name": "by", "expr": "steps.ask.by + ' ' + steps.ask.data.why"}]},
        {"id": "no", "needs": ["ask.rejected"], "print": {"text": "'no'"}},
        {"id": "late", "needs": ["ask.timeout"], "print": {"text": "'late'"}},
    ]
    simulation = world(*steps, output="yes")
    run = started(simulation, {"n": 5})
    simulation.decide(run, "ask", "approved", "ann", {"why": "fine"})
    simulation.decide(run, "ask", "rejected", "bob")
    simulation.run_until_quiet()
    assert ended(simulation, run).output == {"by": "ann fine"}
    assert simulation.dead_letters()[0]["code"] == "run_ended"
    simulation.send("placed", {"n": 6}, key="k1")
    simulation.advance("61m")
    late = simulation.runs()[1]
    assert ended(simulation, late).ended == ("late",)
    assert left_behind(simulation) == []


def test_an_answer_to_a_step_that_does_not_ask_is_refused() -> None:
    simulation = world({"id": "hold", "delay": {"for": "1h"}})
    run = started(simulation)
    simulation.decide(run, "hold", "approved", "ann")
    simulation.run_until_quiet()
    assert simulation.dead_letters()[0]["code"] == "not_approving"


# -- stopping


def undone(id_: str, *needs: str, **more: Any) -> dict[str, Any]:
    return {"id": id_, "needs": list(needs), "call": {"operation": f"do_{id_}"}, "undo": {"operation": f"undo_{id_}"}, **more}


DO: dict[str, Callable[..., Any]] = {name: (lambda input, task: {}) for name in ("do_a", "do_b", "do_c", "undo_a", "undo_b", "undo_c")}


def operations_called(simulation: Simulation) -> list[str]:
    return [task.operation for task in simulation.tasks.calls]


def test_a_cancelled_run_undoes_what_was_done_last_step_first() -> None:
    simulation = world(undone("a"), undone("b", "a"), {"id": "hold", "needs": ["b"], "delay": {"for": "1h"}}, operations=DO)
    run = started(simulation)
    simulation.cancel(run, "changed our mind")
    simulation.run_until_quiet()
    assert operations_called(simulation) == ["do_a", "do_b", "undo_b", "undo_a"]
    assert of(simulation, run, RunStopping) == [RunStopping("cancelled", "changed our mind", ("b", "a"))]
    assert simulation.history(run)[-1].type == "RunCancelled"
    assert left_behind(simulation) == []


def test_a_run_that_fails_undoes_also_what_may_have_been_done() -> None:
    no = {"id": "no", "needs": ["c.failure"], "fail": {"reason": "errors.c.code"}}
    operations = {**DO, "do_c": failing(1, "refused", retryable=False), "do_b": lambda input, task: Silent()}
    simulation = world(undone("a"), undone("b", "a"), undone("c", "a"), no, operations=operations)
    run = started(simulation)
    assert ended(simulation, run) == RunFailed("refused")
    assert operations_called(simulation) == ["do_a", "do_b", "do_c", "undo_c", "undo_b", "undo_a"]
    assert cancelled_tasks(simulation) == [f"{run}/b/1"]
    assert left_behind(simulation) == []


def test_undoing_is_tried_again_and_parks_and_a_second_stop_ends_it() -> None:
    simulation = world(undone("a"), {"id": "hold", "needs": ["a"], "delay": {"for": "1h"}}, operations={**DO, "undo_a": failing(6)})
    run = started(simulation)
    simulation.cancel(run)
    simulation.run_until_quiet()
    simulation.cancel(run)
    simulation.run_until_quiet()
    assert simulation.dead_letters()[0]["code"] == "run_stopping"
    simulation.advance("1h")
    assert operations_called(simulation) == ["do_a"] + 5 * ["undo_a"]
    assert simulation.head(run).parked  # type: ignore[union-attr]
    simulation.retry(run, "a.undo")
    simulation.advance("1h")
    assert simulation.history(run)[-1].type == "RunCancelled"
    assert left_behind(simulation) == []


@pytest.mark.parametrize("how", ["skip", "fail", "cancel"])
def test_undoing_that_is_parked_may_be_given_up(how: str) -> None:
    simulation = world(undone("a"), undone("b", "a"), {"id": "hold", "needs": ["b"], "delay": {"for": "1h"}}, operations={**DO, "undo_b": failing(99)})
    run = started(simulation)
    simulation.cancel(run)
    simulation.advance("1h")
    if how == "skip":
        simulation.skip(run, "b.undo")
    elif how == "fail":
        simulation.fail(run, "enough")
    else:
        simulation.cancel(run)
    simulation.run_until_quiet()
    assert ("undo_a" in operations_called(simulation)) == (how == "skip")
    assert simulation.history(run)[-1].type == ("RunFailed" if how == "fail" else "RunCancelled")
    assert left_behind(simulation) == []


def test_a_stopping_run_takes_no_more_events() -> None:
    wait = {"id": "wait", "needs": ["a"], "wait": {"forever": True, "events": [{"id": "paid", "event": "paid"}]}}
    simulation = world(undone("a"), wait, operations={**DO, "undo_a": lambda input, task: Silent()})
    run = started(simulation)
    simulation.cancel(run)
    simulation.run_until_quiet()
    simulation.send("paid", {}, key="k1")
    simulation.run_until_quiet()
    assert simulation.own().reasons["unclaimed"] == 1


def test_a_list_that_is_cancelled_calls_off_its_items() -> None:
    simulation = world(a_list())
    run = started(simulation, {"ids": [1, 2, 3]})
    simulation.cancel(run)
    simulation.run_until_quiet()
    assert sorted(cancelled_tasks(simulation)) == [f"{run}/each/0/1", f"{run}/each/1/1"]
    assert left_behind(simulation) == []
    simulation.append(FailAttempt("late", run, "each", 1, "x", "", item=0))
    simulation.run_until_quiet()
    assert simulation.own().reasons["run_ended"] >= 1
