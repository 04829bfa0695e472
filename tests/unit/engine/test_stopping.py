"""Stopping: what is under way is called off, what was done is undone, last step first."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from streamflow.engine.builder import Limits
from streamflow.engine.commands import CancelRun, FailAttempt, FireTimer
from streamflow.engine.transitions import RunFailed, RunStopping
from streamflow.errors import OperationError
from streamflow.simulation.driver import Simulation
from streamflow.simulation.tasks import Handed, Silent
from tests.builders import a_definition
from tests.unit.engine.bench import Bench
from tests.unit.engine.outside import a_list, cancelled_tasks, ended, failing, left_behind, of, started, world


def undone(id_: str, *needs: str, **more: Any) -> dict[str, Any]:
    return {
        "id": id_,
        "needs": list(needs),
        "call": {"operation": f"do_{id_}"},
        "undo": {"operation": f"undo_{id_}"},
        **more,
    }


DO: dict[str, Callable[..., Any]] = {
    name: (lambda input, task: {}) for name in ("do_a", "do_b", "do_c", "undo_a", "undo_b", "undo_c")
}


def operations_called(simulation: Simulation) -> list[str]:
    return [task.operation for task in simulation.tasks.calls]


def noting(given: list[Any], name: str) -> Any:
    """An operation that adds what it is given as `name` to a list."""

    def do(input: Any, task: Any) -> Any:
        given.append(input[name])
        return {}

    return do


def test_a_cancelled_run_undoes_what_was_done_last_step_first() -> None:
    simulation = world(
        undone("a"), undone("b", "a"), {"id": "hold", "needs": ["b"], "delay": {"for": "1h"}}, operations=DO
    )
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
    simulation = world(
        undone("a"), {"id": "hold", "needs": ["a"], "delay": {"for": "1h"}}, operations={**DO, "undo_a": failing(6)}
    )
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
    simulation = world(
        undone("a"),
        undone("b", "a"),
        {"id": "hold", "needs": ["b"], "delay": {"for": "1h"}},
        operations={**DO, "undo_b": failing(99)},
    )
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
    simulation.append(FailAttempt(id="late", run=run, address="each", attempt=1, code="x", message="", item=0))
    simulation.run_until_quiet()
    assert simulation.own().reasons["run_unknown"] >= 1


# -- the order of a saga


HOLD = {"id": "hold", "needs": ["a"], "delay": {"for": "1h"}}


def busy(*steps: dict[str, Any], **operations: Any) -> Simulation:
    """A world in which `do_b` has no answer yet, and goes on although it is cancelled."""
    simulation = world(*steps, operations={name: do for name, do in DO.items() if name != "do_b"} | operations)
    simulation.tasks.busy.add("do_b")
    return simulation


def test_a_call_under_way_is_answered_before_it_is_undone() -> None:
    simulation = busy(undone("a"), undone("b", "a"))
    run = started(simulation)
    (call,) = simulation.tasks.open.values()
    simulation.cancel(run)
    simulation.run_until_quiet()
    assert operations_called(simulation) == ["do_a"]
    assert cancelled_tasks(simulation) == [f"{run}/b/1"]
    simulation.tasks.complete(call, {"charge": 7})
    simulation.run_until_quiet()
    assert operations_called(simulation) == ["do_a", "undo_b", "undo_a"]
    assert simulation.history(run)[-1].type == "RunCancelled"
    assert left_behind(simulation) == []


def test_what_came_while_the_run_was_stopping_reaches_the_undo() -> None:
    undo = {"operation": "undo_b", "with": [{"name": "charge", "expr": "steps.b.charge"}]}
    simulation = busy(undone("a"), undone("b", "a", undo=undo))
    run = started(simulation)
    (call,) = simulation.tasks.open.values()
    simulation.cancel(run)
    simulation.run_until_quiet()
    simulation.tasks.complete(call, {"charge": 7})
    simulation.run_until_quiet()
    assert [task.input for task in simulation.tasks.calls if task.operation == "undo_b"] == [{"charge": 7}]
    assert simulation.history(run)[-1].type == "RunCancelled"


def test_an_attempt_that_never_answers_is_waited_for_until_it_counts_as_lost() -> None:
    simulation = busy(undone("a"), undone("b", "a"))
    run = started(simulation)
    simulation.cancel(run)
    simulation.advance("1m")
    assert operations_called(simulation) == ["do_a"]
    simulation.advance("30d")
    assert operations_called(simulation) == ["do_a", "undo_b", "undo_a"]
    assert simulation.history(run)[-1].type == "RunCancelled"
    assert left_behind(simulation) == []


def test_the_end_of_a_step_is_no_end_of_its_attempt() -> None:
    call = {"operation": "do_b", "within": "1m", "timeout": "10m", "queue": "10m"}
    simulation = busy(undone("a"), undone("b", "a", call=call))
    run = started(simulation)
    simulation.cancel(run)
    simulation.advance("2m")
    assert operations_called(simulation) == ["do_a"]
    simulation.advance("1h")
    assert operations_called(simulation) == ["do_a", "undo_b", "undo_a"]
    assert simulation.history(run)[-1].type == "RunCancelled"


def test_a_step_after_which_nothing_is_under_way_is_undone_at_once() -> None:
    simulation = busy(undone("b"), undone("c"), operations_after())
    run = started(simulation)
    simulation.cancel(run)
    simulation.run_until_quiet()
    assert operations_called(simulation) == ["do_c", "undo_c"]  # b, called before it, is waited for
    assert simulation.head(run) is not None


def operations_after() -> dict[str, Any]:
    return {"id": "hold", "needs": ["c"], "delay": {"for": "1h"}}


def test_a_failed_attempt_is_not_tried_again_while_the_run_is_stopping() -> None:
    simulation = busy(undone("a"), undone("b", "a"))
    run = started(simulation)
    (call,) = simulation.tasks.open.values()
    simulation.cancel(run)
    simulation.run_until_quiet()
    simulation.tasks.fail(call, "busy")
    simulation.run_until_quiet()
    assert operations_called(simulation) == ["do_a", "undo_b", "undo_a"]
    assert simulation.history(run)[-1].type == "RunCancelled"


def test_a_person_may_give_up_waiting() -> None:
    simulation = busy(undone("a"), undone("b", "a"))
    run = started(simulation)
    simulation.cancel(run)
    simulation.run_until_quiet()
    simulation.skip(run, "b")
    simulation.run_until_quiet()
    assert operations_called(simulation) == ["do_a", "undo_b", "undo_a"]
    assert simulation.history(run)[-1].type == "RunCancelled"
    assert left_behind(simulation) == []


def test_a_callback_that_is_awaited_is_waited_for() -> None:
    simulation = world(undone("a"), undone("b", "a"), operations={**DO, "do_b": lambda input, task: Handed(600_000)})
    run = started(simulation)
    (call,) = simulation.tasks.open.values()
    simulation.cancel(run)
    simulation.advance("1m")
    assert operations_called(simulation) == ["do_a", "do_b"]
    simulation.tasks.complete(call, {})
    simulation.run_until_quiet()
    assert operations_called(simulation) == ["do_a", "do_b", "undo_b", "undo_a"]


def test_items_under_way_are_answered_before_their_list_is_undone() -> None:
    each = {"items": "[1, 2, 3]", "at_once": 2}
    simulation = busy(undone("a"), undone("b", "a", each=each), HOLD)
    run = started(simulation)
    first, second = simulation.tasks.open.values()
    simulation.cancel(run)
    simulation.run_until_quiet()
    simulation.tasks.complete(first, {"n": 1})
    simulation.run_until_quiet()
    assert operations_called(simulation) == ["do_a"]
    simulation.tasks.fail(second, "busy")
    simulation.run_until_quiet()
    assert operations_called(simulation) == ["do_a", "undo_b", "undo_a"]
    assert simulation.history(run)[-1].type == "RunCancelled"
    assert left_behind(simulation) == []


def test_items_that_wait_for_their_next_attempt_are_not_waited_for() -> None:
    each = {"items": "[1, 2, 3]", "at_once": 2}
    simulation = world(undone("a"), undone("b", "a", each=each), HOLD, operations={**DO, "do_b": failing(99)})
    run = started(simulation)
    simulation.cancel(run)
    simulation.run_until_quiet()
    assert simulation.history(run)[-1].type == "RunCancelled"
    assert left_behind(simulation) == []


def charges(outcome: Callable[[int], Any], **more: Any) -> tuple[Simulation, list[Any]]:
    """A run that charges items 1 and 2, of which the second has `outcome`, and what its undo was given."""
    given: list[Any] = []
    operations = {
        "pay": lambda input, task: {"charged": input["id"]} if input["id"] == 1 else outcome(task.attempt),
        "unpay": noting(given, "had"),
    }
    undo = {"operation": "unpay", "with": [{"name": "had", "expr": "has(steps.each) ? steps.each : []"}]}
    return world({**a_list(**more), "undo": undo}, operations=operations), given


def refusing(retryable: bool) -> Callable[[int], Any]:
    def outcome(attempt: int) -> Any:
        raise OperationError("busy", "try later", retryable=retryable)

    return outcome


@pytest.mark.parametrize("how", ["between attempts", "parked", "given up"])
def test_what_a_list_has_done_is_undone_whatever_its_other_items_do(how: str) -> None:
    outcome = {
        "between attempts": refusing(True),
        "parked": refusing(False),
        "given up": lambda attempt: Silent(lost=True),
    }[how]
    simulation, given = charges(outcome, retry={"attempts": 9, "backoff": "1h"})
    run = started(simulation, {"ids": [1, 2]})
    simulation.cancel(run)
    simulation.run_until_quiet()
    if how == "given up":
        assert given == []
        simulation.skip(run, "each")
        simulation.run_until_quiet()
    assert given == [[{"charged": 1}, None]]
    assert simulation.history(run)[-1].type == "RunCancelled"
    assert left_behind(simulation) == []


def test_a_list_with_whose_output_the_run_could_not_end_is_undone_with_it() -> None:
    given: list[Any] = []
    operations = {"pay": lambda input, task: "x" * 900, "unpay": noting(given, "had")}
    undo = {"operation": "unpay", "with": [{"name": "had", "expr": "size(steps.each)"}]}
    limits = Limits(record_bytes=1500)  # a record takes the output of one item, and not that of the list
    simulation = world({**a_list(), "undo": undo}, operations=operations, limits=limits, output="each")
    run = started(simulation, {"ids": [1, 2]})
    assert simulation.head(run).parked  # type: ignore[union-attr]
    simulation.fail(run)
    simulation.run_until_quiet()
    assert given == [2]
    assert simulation.history(run)[-1].type == "RunFailed"
    assert left_behind(simulation) == []


def test_a_run_is_stopped_the_same_way_before_and_after_it_was_stored() -> None:
    bench = Bench(a_definition(undone("b"), undone("a", "pause"), {"id": "pause", "delay": {"for": "1s"}}))
    bench.start()
    bench.now_ms += 1000
    run = bench.run()
    bench.take(FireTimer(id="t", run=run, address="pause", due_ms=bench.now_ms))
    cancel = CancelRun(id="x", run=run)
    before = bench.consider(cancel)
    bench.checkpoint()
    bench.reopen()
    after = bench.consider(cancel)
    assert before.transitions == after.transitions
    assert before.effects == after.effects
    assert [one.address for one in before.transitions[0].data.under_way] == ["a", "b"]
