"""Stopping: what is under way is called off, what was done is undone, last step first."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from streamflow.engine.commands import FailAttempt
from streamflow.engine.transitions import RunFailed, RunStopping
from streamflow.simulation.driver import Simulation
from streamflow.simulation.tasks import Silent
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
