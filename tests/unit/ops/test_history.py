"""What transitions say about a run."""

from __future__ import annotations

from typing import Any

from streamflow.engine import transitions as t
from streamflow.engine.commands import Event
from streamflow.engine.transitions import Transition
from streamflow.ops.history import Runs, RunSummary
from streamflow.ops.steps import step_states

EVENT = Event(name="order.placed", id="e1", time_ms=0, data={})
STARTED = t.RunStarted(trigger="placed", event=EVENT, sha="sha", revision="1")
WAITS = t.WaitStarted(("payment.received",), None)


def fact(seq: int, data: Any, step: str | None = None, run: str = "00000001-a") -> Transition:
    return Transition(
        run=run, definition="order", version="1", key="A-1", seq=seq, at_ms=1000 + seq, cause="c", data=data, step=step
    )


def told(*facts: Transition) -> RunSummary:
    runs = Runs()
    for one in facts:
        runs.take(one)
    return runs.by_id["00000001-a"]


def test_an_open_run_is_where_it_waits() -> None:
    run = told(fact(1, STARTED), fact(2, t.ValuesSet({}), "totals"), fact(3, WAITS, "payment"))

    assert (run.status, run.at, run.seq) == ("open", {"payment": "waiting"}, 3)
    assert (run.started_ms, run.last_ms) == (1001, 1003)


def test_a_completed_run_says_how_it_ended_and_waits_nowhere() -> None:
    run = told(
        fact(1, STARTED),
        fact(2, WAITS, "payment"),
        fact(3, t.WaitSatisfied(outcome="paid", event=EVENT), "payment"),
        fact(4, t.RunCompleted(("payment.paid",))),
    )

    assert (run.status, run.at, run.ended) == ("completed", {}, "payment.paid")


def test_a_parked_run_is_open_again_after_a_retry() -> None:
    parked = fact(2, t.StepParked("division_by_zero", "set/each"), "share")

    assert told(fact(1, STARTED), parked).status == "parked"
    assert told(fact(1, STARTED), parked, fact(3, t.StepRetried(), "share")).status == "open"
    assert told(fact(1, STARTED), parked, fact(3, t.StepsSkipped(("share",)))).status == "open"
    assert told(fact(1, STARTED), parked, fact(3, t.RunFailed("empty"))).status == "failed"


def test_a_copy_changes_nothing_and_is_counted() -> None:
    run = told(fact(1, STARTED), fact(2, WAITS, "payment"), fact(1, STARTED), fact(2, WAITS, "payment"))

    assert (run.seq, run.copies, run.gaps) == (2, 2, 0)


def test_a_gap_is_counted() -> None:
    assert told(fact(1, STARTED), fact(3, WAITS, "payment")).gaps == 1


def test_runs_are_counted_by_status() -> None:
    runs = Runs()
    for one in (fact(1, STARTED), fact(1, STARTED, run="00000002-b"), fact(2, t.RunCancelled(""), run="00000002-b")):
        runs.take(one)

    assert runs.counts() == {"open": 1, "parked": 0, "completed": 0, "failed": 0, "cancelled": 1}


def test_step_states_tell_how_far_each_step_is() -> None:
    history = [
        fact(1, STARTED),
        fact(2, t.ValuesSet({}), "totals"),
        fact(3, WAITS, "payment"),
        fact(4, t.DelayStarted(9), "pack"),
        fact(5, t.StepsSkipped(("note",))),
        fact(6, t.StepParked("x", "emit"), "ship"),
    ]

    assert step_states(history) == {
        "totals": "done",
        "payment": "waiting",
        "pack": "waiting",
        "note": "skipped",
        "ship": "parked",
    }
    assert step_states([*history, fact(7, t.RunFailed(""))])["ship"] == "failed"
    assert step_states([*history, fact(7, t.RunCancelled(""))])["payment"] == "skipped"
