"""Lists: every item has its attempts, a bound, and one end for all."""

from __future__ import annotations

from typing import Any

import pytest

from streamflow.engine.attempt_transitions import ItemsEnded
from streamflow.engine.builder import Limits
from streamflow.engine.commands import CompleteAttempt, Continue
from streamflow.engine.effects import AppendCommand
from streamflow.engine.tasks import Task
from streamflow.engine.transitions import RunCompleted, StepParked
from streamflow.errors import OperationError
from streamflow.simulation.tasks import Silent
from tests.builders import a_definition
from tests.unit.engine.bench import Bench
from tests.unit.engine.bench import facts as facts_of
from tests.unit.engine.outside import a_list, cancelled_tasks, ended, facts, failing, left_behind, of, started, world


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
    simulation = world(
        a_list("[]"), {"id": "sum", "needs": ["each"], "set": [{"name": "n", "expr": "size(steps.each)"}]}, output="sum"
    )
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
    steps: list[dict[str, Any]] = [
        a_list(),
        {
            "id": "sorry",
            "needs": ["each.failure"],
            "set": [{"name": "code", "expr": "errors.each.code + ': ' + errors.each.message"}],
        },
    ]
    simulation = world(*steps, output="sorry", operations={"pay": failing(9, retryable=False)})
    run = started(simulation, {"ids": [1, 2]})
    assert ended(simulation, run).output == {"code": "items_failed: 2 of 2 items failed"}
    assert left_behind(simulation) == []


def test_an_item_whose_values_have_faults_fails_alone() -> None:
    simulation = world(
        {**a_list(), "call": {"operation": "pay", "with": [{"name": "n", "expr": "10 / item"}]}},
        operations={"pay": lambda i, t: i},
    )
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
    run = started(simulation, {"ids": list(range(10_001))})
    assert of(simulation, run, StepParked) == [
        StepParked("too_many_items", "each", "it has 10001 items, and 10000 are allowed")
    ]


def test_a_long_list_makes_no_long_decision() -> None:
    simulation = world(
        a_list("trigger.ids", at_once=100), operations={"pay": lambda i, t: {}}, limits=Limits(transitions=20)
    )
    run = started(simulation, {"ids": list(range(300))})
    by_cause: dict[str, int] = {}
    for transition in simulation.history(run):
        by_cause[transition.cause] = by_cause.get(transition.cause, 0) + 1
    assert max(by_cause.values()) <= 22
    assert isinstance(ended(simulation, run), RunCompleted)
    assert left_behind(simulation) == []


def test_a_list_that_is_retried_has_its_time_once_more() -> None:
    simulation = world(
        a_list(within="1m", retry={"attempts": 1}),
        operations={"pay": lambda input, task: Silent() if input["index"] else {}},
    )
    run = started(simulation, {"ids": [1, 2, 3]})
    for _ in range(2):
        simulation.advance("59s")
        simulation.run_until_quiet()
        assert simulation.head(run).steps["each"].status == "listing"  # type: ignore[union-attr]
        simulation.advance("2s")
        assert facts(simulation, run)[-2:] == ["ItemsEnded each", "StepParked each"]
        simulation.retry(run, "each")
    simulation.tasks.operations["pay"] = lambda input, task: {}
    simulation.advance("2m")
    simulation.retry(run, "each")
    simulation.run_until_quiet()
    assert isinstance(ended(simulation, run), RunCompleted)
    assert left_behind(simulation) == []


def test_lists_are_continued_in_the_order_of_the_plan_also_after_they_were_stored() -> None:
    first, second = (
        {"id": id_, "each": {"items": "[1, 2]", "at_once": at_once}, "call": {"operation": "pay"}}
        for id_, at_once in (("b", 1), ("a", 2))
    )
    bench = Bench(a_definition(first, second), limits=Limits(transitions=1))
    decision = bench.start()
    run = bench.run()
    again = Continue(id="c", run=run, seq=1)
    while ("CallRequested", "a") not in facts_of(decision):
        decision = bench.take(again)
    bench.take(CompleteAttempt(id="d", run=run, address="b", attempt=1, output={}, item=0))
    before = bench.consider(again)
    assert facts_of(before) == [("CallRequested", "b")]  # of both lists an item could begin
    bench.checkpoint()
    bench.reopen()
    assert bench.consider(again).transitions == before.transitions


def test_one_further_command_is_asked_for_however_many_lists_have_more_to_do() -> None:
    lists = [
        {"id": id_, "each": {"items": "[1, 2, 3, 4]", "at_once": 4}, "call": {"operation": "pay"}} for id_ in "abc"
    ]
    bench = Bench(a_definition(*lists), limits=Limits(transitions=2))
    pending = [bench.start()]
    commands = 0
    while pending:
        again = [e.command for e in pending.pop().effects if isinstance(e, AppendCommand)]
        assert len(again) <= 1
        pending = [bench.take(command) for command in again]
        commands += 1
    assert commands == 8  # 16 transitions: the start, three lists, and twelve calls
