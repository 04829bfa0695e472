"""Child runs: what they are given, what comes back, and how they end with their parent."""

from __future__ import annotations

from typing import Any

import pytest

from streamflow.definition.catalog import ChildSpec
from streamflow.definition.model import Definition
from streamflow.engine.attempt_transitions import ChildRequested
from streamflow.engine.builder import Limits
from streamflow.engine.commands import SuspendAttempt
from streamflow.engine.transitions import RunCompleted, StepParked
from streamflow.ids import partition_of_run
from streamflow.simulation.driver import Simulation
from tests.builders import a_definition
from tests.unit.engine.outside import ended, failing, left_behind, of, publish, started


def with_child(child: Definition, *steps: dict[str, Any], **more: Any) -> Simulation:
    simulation = Simulation(operations=more.pop("operations", None), partitions=3, limits=more.pop("limits", None))
    sha = publish(simulation, child)
    publish(simulation, a_definition(*steps, **more), ChildSpec(name=child.name, version=child.version, sha=sha))
    return simulation


def a_child(*steps: dict[str, Any], **more: Any) -> Definition:
    raw = {"name": "refund", "version": "1", "input": {"type": "object"}, "steps": list(steps), **more}
    return Definition.model_validate(raw)


RUN: dict[str, Any] = {
    "id": "child",
    "run": {
        "definition": "refund",
        "version": "1",
        "key": "'other-' + run.key",
        "with": [{"name": "n", "expr": "trigger.n"}],
    },
}


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
    sorry = {
        "id": "sorry",
        "needs": ["child.failure"],
        "set": [{"name": "why", "expr": "errors.child.code + ' ' + errors.child.message"}],
    }
    simulation = with_child(child, RUN, sorry, output="sorry")
    parent = started(simulation, {"n": 4})
    why = ended(simulation, parent).output["why"]
    assert why.startswith("child_failed")
    assert why.endswith(": never")


def test_a_child_whose_start_is_refused_is_a_failure_too() -> None:
    child = a_child({"id": "hold", "delay": {"for": "1h"}}, runs="one")
    simulation = with_child(
        child,
        RUN,
        {"id": "sorry", "needs": ["child.failure"], "set": [{"name": "why", "expr": "errors.child.code"}]},
        output="sorry",
    )
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
    simulation = with_child(child, {"id": "child", "run": {**RUN["run"], "within": "1m"}})
    first = started(simulation, {"n": 1})
    simulation.cancel(first)
    simulation.send("placed", {"n": 2}, key="k1")
    simulation.advance("2m")
    assert [simulation.history(run)[-1].type for run in simulation.runs()].count("RunCancelled") == 3
    (second,) = [run for run in simulation.runs() if of(simulation, run, StepParked)]
    assert of(simulation, second, StepParked) == [StepParked("deadline_passed", "call")]


def test_what_no_command_takes_is_not_sent_to_a_child_nor_to_a_parent() -> None:
    child = a_child({"id": "big", "set": [{"name": "text", "expr": "trigger.n + trigger.n"}]}, output="big")
    last = {"id": "end", "needs": ["child"], "set": [{"name": "got", "expr": "steps.child.output == null"}]}
    given = {"name": "n", "expr": "trigger.n.size() > 9950 ? trigger.n + trigger.n : trigger.n"}
    run = {"id": "child", "run": {**RUN["run"], "with": [given]}}
    simulation = with_child(child, run, last, output="end", limits=Limits(record_bytes=20_000))
    parent = started(simulation, {"n": "x" * 9_900})  # fits the child's start, and as its output not the answer
    (part,) = [one for one in simulation.runs() if one != parent]
    assert [(fact.code, fact.at) for fact in of(simulation, part, StepParked)] == [("output_too_large", "output")]
    simulation.skip(part, "big")
    simulation.run_until_quiet()
    assert ended(simulation, parent).output == {"got": True}
    assert left_behind(simulation) == []
    simulation.send("placed", {"n": "x" * 9_960}, key="k1")
    simulation.run_until_quiet()
    parked = [t.data for t in simulation.transitions() if isinstance(t.data, StepParked)]
    assert [(fact.code, fact.at) for fact in parked[1:]] == [("too_large", "with")]


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


def test_no_size_of_what_a_child_is_given_or_gives_back_stops_a_run_unseen() -> None:
    many = [
        {"id": f"a_very_long_name_of_a_step_{n:03d}_that_ends_its_run_in_the_end", "set": [{"name": "n", "expr": "1"}]}
        for n in range(80)
    ]
    child = a_child({"id": "big", "set": [{"name": "text", "expr": "trigger.n"}]}, *many, output="big")
    keyed = {"id": "child", "run": {**RUN["run"], "key": "trigger.key"}}
    ends = set()
    for size in (*range(7_000, 16_000, 500), *range(18_500, 18_700, 5)):
        simulation = with_child(child, keyed, limits=Limits(record_bytes=20_000))
        for key in ("k", '"' * 1000):
            simulation.start("order", {"n": "x" * (size - len(key)), "key": key}, key=f"k{len(key)}", id="e")
        simulation.run_until_quiet()
        last = {run: simulation.history(run)[-1].data for run in simulation.runs()}
        waiting = {data.child for data in last.values() if isinstance(data, ChildRequested)}
        assert {type(last[child]) for child in waiting} <= {StepParked}
        ends |= {type(data) for data in last.values()}
    assert ends == {RunCompleted, StepParked, ChildRequested}


def test_a_child_whose_start_cannot_be_decided_is_a_failure_too(monkeypatch: pytest.MonkeyPatch) -> None:
    child = a_child({"id": "no", "fail": {"reason": "'never'"}})
    simulation = with_child(
        child,
        RUN,
        {"id": "sorry", "needs": ["child.failure"], "set": [{"name": "why", "expr": "errors.child.code"}]},
        output="sorry",
    )
    monkeypatch.setattr(
        "streamflow.core.reading.belongs", lambda command, place, **_: not getattr(command, "parent", None)
    )
    parent = started(simulation, {"n": 4})
    assert ended(simulation, parent).output == {"why": "misrouted"}


def test_a_child_run_cannot_be_handed_over() -> None:
    simulation = with_child(a_child({"id": "hold", "delay": {"for": "1h"}}), RUN)
    parent = started(simulation, {"n": 4})
    simulation.append(SuspendAttempt(id="s", run=parent, address="child", attempt=1, for_ms=1000))
    simulation.cancel(parent)
    simulation.run_until_quiet()
    assert [simulation.history(run)[-1].type for run in simulation.runs()] == ["RunCancelled", "RunCancelled"]
    assert simulation.own(partition_of_run(parent, 3)).reasons == {"attempt_unknown": 1}


def test_a_parent_undoes_its_steps_after_its_child_has_undone_its_own() -> None:
    inner = {"id": "inner", "call": {"operation": "book"}, "undo": {"operation": "unbook"}}
    first = {"id": "first", "call": {"operation": "pay"}, "undo": {"operation": "unpay"}}
    operations: dict[str, Any] = {name: (lambda input, task: {}) for name in ("pay", "unpay")}
    simulation = with_child(a_child(inner), first, {**RUN, "needs": ["first"]}, operations=operations)
    parent = started(simulation, {"n": 1})
    (booking,) = simulation.tasks.open.values()
    simulation.tasks.complete(booking, {})
    simulation.run_until_quiet()
    assert simulation.history(parent)[-1].type == "RunCompleted"

    slow = a_child(inner, {"id": "hold", "needs": ["inner"], "delay": {"for": "1h"}})
    simulation = with_child(slow, first, {**RUN, "needs": ["first"]}, operations=operations)
    parent = started(simulation, {"n": 1})
    (booking,) = simulation.tasks.open.values()
    simulation.tasks.complete(booking, {})
    simulation.run_until_quiet()
    simulation.cancel(parent)
    simulation.run_until_quiet()
    (unbooking,) = simulation.tasks.open.values()
    assert unbooking.operation == "unbook"
    assert [task.operation for task in simulation.tasks.calls] == ["pay"]
    assert simulation.head(parent) is not None
    simulation.tasks.complete(unbooking, {})
    simulation.run_until_quiet()
    assert [task.operation for task in simulation.tasks.calls] == ["pay", "unpay"]
    assert {simulation.history(run)[-1].type for run in simulation.runs()} == {"RunCancelled"}
    assert left_behind(simulation) == []


def test_a_parent_without_anything_to_undo_ends_after_its_child() -> None:
    inner = {"id": "inner", "call": {"operation": "book"}, "undo": {"operation": "unbook"}}
    slow = a_child(inner, {"id": "hold", "needs": ["inner"], "delay": {"for": "1h"}})
    simulation = with_child(slow, RUN, operations={"book": lambda input, task: {}})
    parent = started(simulation, {"n": 1})
    simulation.cancel(parent)
    simulation.run_until_quiet()
    (unbooking,) = simulation.tasks.open.values()
    assert simulation.head(parent) is not None
    simulation.tasks.complete(unbooking, {})
    simulation.run_until_quiet()
    assert simulation.head(parent) is None
    assert left_behind(simulation) == []


@pytest.mark.parametrize("how", ["time", "cancel"])
def test_a_parent_does_not_give_up_the_undo_of_its_child(how: str) -> None:
    pay = {"id": "pay", "call": {"operation": "pay"}, "undo": {"operation": "unpay", "retry": {"attempts": 1}}}
    child = a_child(pay, {"id": "no", "needs": ["pay"], "fail": {"reason": "'no'"}})
    late = {"id": "late", "needs": ["child.timeout"], "set": [{"name": "x", "expr": "1"}]}
    operations = {"pay": lambda input, task: {}, "unpay": failing(1)}
    simulation = with_child(child, {**RUN, "run": {**RUN["run"], "within": "1h"}}, late, operations=operations)
    parent = started(simulation, {"n": 1})
    (part,) = [run for run in simulation.runs() if run != parent]
    assert simulation.head(part).parked  # type: ignore[union-attr]
    if how == "time":
        simulation.advance("2h")
        assert simulation.history(parent)[-1].type == "RunCompleted"
    else:
        simulation.cancel(parent)
        simulation.run_until_quiet()
        assert simulation.head(parent) is not None
    assert simulation.head(part).parked  # type: ignore[union-attr]
    assert simulation.dead_letters() == []
    simulation.retry(part, "pay.undo")
    simulation.run_until_quiet()
    assert [task.operation for task in simulation.tasks.calls] == ["pay", "unpay", "unpay"]
    assert simulation.history(part)[-1].type == "RunFailed"
    assert simulation.head(parent) is None
    assert left_behind(simulation) == []
