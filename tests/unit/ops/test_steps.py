"""How far steps are: calls with attempts and errors, lists, child runs, approvals, undoing."""

from __future__ import annotations

from typing import Any

import pytest

from streamflow.definition.catalog import Catalog
from streamflow.engine import transitions as t
from streamflow.engine.attempt_transitions import (
    AttemptFailed,
    AttemptSucceeded,
    AttemptSuspended,
    CallRequested,
    ChildRequested,
    ItemsEnded,
    ItemsListed,
)
from streamflow.engine.commands import Event
from streamflow.engine.transitions import Transition
from streamflow.errors import OperationError
from streamflow.ops.history import described, summary_of
from streamflow.ops.outputs import outputs_of
from streamflow.ops.steps import StepProgress, progress_of, step_states
from streamflow.simulation.driver import Simulation
from streamflow.simulation.tasks import Handed
from tests.builders import a_catalog, a_definition

STARTED = t.RunStarted(trigger="", event=Event(name="", id="e1", time_ms=0, data={}), sha="sha", revision="1")
CALL = CallRequested(operation="card.charge", lane="default", input={}, due_ms=60_000)


def history(*facts: tuple[str | None, Any] | tuple[str | None, Any, int]) -> list[Transition]:
    """A run's transitions, numbered: (step, fact, attempt)."""
    whole = [(None, STARTED), *facts]
    return [
        Transition(
            run="00000001-a",
            definition="order",
            version="1",
            key="A-1",
            seq=seq,
            at_ms=1000 + seq,
            cause="c",
            data=fact[1],
            step=fact[0],
            attempt=fact[2] if len(fact) > 2 else None,
        )
        for seq, fact in enumerate(whole, 1)
    ]


def step(*facts: Any, attempt: int = 1) -> StepProgress:
    return progress_of(history(*(("charge", fact, attempt) for fact in facts)))["charge"]


def test_a_call_counts_its_attempts_and_tells_its_last_error() -> None:
    failed = AttemptFailed(code="http_unreachable", message="nobody is there", retry_ms=5000)
    found = progress_of(history(("charge", CALL, 1), ("charge", failed, 1), ("charge", CALL, 2)))["charge"]

    assert (found.state, found.attempts, found.operation, found.words()) == ("calling", 2, "card.charge", "attempt 2")
    assert found.facts()["error"] == {
        "attempt": 1,
        "code": "http_unreachable",
        "message": "nobody is there",
        "item": None,
        "retry_ms": 5000,
    }


@pytest.mark.parametrize(
    ("facts", "state", "words"),
    [
        ((CALL,), "calling", "calling"),
        ((CALL, AttemptFailed(code="busy", message="", retry_ms=9)), "retrying", "retrying after busy"),
        ((CALL, AttemptSuspended(due_ms=9)), "suspended", "waits for a callback"),
        ((CALL, AttemptFailed(code="declined", message="", retry_ms=None, outcome="failure")), "done", "done"),
        (
            (CALL, AttemptFailed(code="declined", message=""), t.StepParked("declined", "call")),
            "parked",
            "parked: declined",
        ),
        ((CALL, AttemptSucceeded({})), "done", "done"),
        (
            (ChildRequested(child="00000002-b", definition="parcel", version="1", key="P", input={}),),
            "calling",
            "child run",
        ),
        (
            (t.ApprovalRequested(text="?", who=("alice",), form=None, due_ms=None),),
            "awaiting_approval",
            "awaiting approval",
        ),
        ((t.ApprovalRequested(text="?", who=("alice",), form=None, due_ms=5), t.ApprovalExpired(5)), "done", "done"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_state_of_a_step_follows_its_facts(facts: tuple[Any, ...], state: str, words: str) -> None:
    found = step(*facts)

    assert (found.state, found.words()) == (state, words)


def test_a_list_tells_how_many_of_its_items_are_done() -> None:
    items = [CallRequested(operation="card.charge", lane="default", input={}, due_ms=1, item=item) for item in range(3)]
    found = step(
        ItemsListed((1, 2, 3), None),
        *items,
        AttemptSucceeded("a", item=0),
        AttemptFailed(code="x", message="", retry_ms=5, item=1),
        AttemptFailed(code="x", message="", item=2),
    )

    assert (found.state, found.words()) == ("listing", "2 of 3 items, 1 failed")
    assert found.facts()["items"] == {"total": 3, "done": 1, "failed": 1}


def test_a_parked_list_goes_on_with_the_items_that_failed() -> None:
    ended = (
        AttemptSucceeded("a", item=0),
        AttemptFailed(code="x", message="", item=1),
        ItemsEnded(2, 1, None),
        t.StepParked("x", "each"),
    )
    again = (t.StepRetried(), CallRequested(operation="card.charge", lane="default", input={}, due_ms=1, item=1))
    found = step(ItemsListed((1, 2), None), *ended, *again)

    assert (found.state, found.words()) == ("listing", "1 of 2 items")
    assert (
        step(ItemsListed((1, 2), None), *ended, *again, AttemptSucceeded("b", item=1), ItemsEnded(2, 0, "done")).state
        == "done"
    )


def test_a_run_that_stops_shows_what_is_being_undone() -> None:
    told = history(
        ("charge", CALL, 1),
        ("wait", t.DelayStarted(9)),
        (None, t.RunStopping("cancelled", "no", ("charge",))),
        ("charge.undo", CALL, 1),
    )

    summary = summary_of(told)
    assert (summary.status, summary.stopping, summary.at) == ("open", "cancelled", {"charge.undo": "calling"})
    assert step_states(told) == {"charge": "skipped", "wait": "skipped", "charge.undo": "waiting"}


def test_outputs_are_those_of_calls_lists_values_and_the_run() -> None:
    told = history(
        ("charge", AttemptSucceeded({"id": 1})),
        ("each", ItemsListed((1, 2), None)),
        ("each", AttemptSucceeded("b", item=1)),
        ("sums", t.ValuesSet({"total": 5})),
        (None, t.RunCompleted(("sums",), {"id": 1})),
    )

    assert outputs_of(told) == {"charge": {"id": 1}, "each": [None, "b"], "sums": {"total": 5}, "output": {"id": 1}}
    assert described(told)["output"] == {"id": 1}


def test_no_fact_of_the_engine_is_too_much_for_it() -> None:
    """Runs of the real engine through all that can happen to calls: what the fold shows is where the run is."""
    done: list[int] = []

    def charge(input: Any, task: Any) -> Any:
        if task.attempt < 3:
            raise OperationError("busy", "later")
        return {"charged": task.attempt}

    operations = {
        "card.charge": charge,
        "card.refund": lambda input, task: done.append(1),
        "work.later": lambda input, task: Handed(60_000),
    }
    simulation = Simulation(operations=operations)
    definition = a_definition(
        {"id": "charge", "call": {"operation": "card.charge"}, "undo": {"operation": "card.refund"}},
        {"id": "all", "needs": ["charge"], "each": {"items": "[1, 2, 3]"}, "call": {"operation": "work.later"}},
        {"id": "ask", "needs": ["charge"], "approval": {"text": "'?'", "who": ["alice"], "forever": True}},
    )
    catalog: Catalog = a_catalog("placed", operations=["card.charge", "card.refund", "work.later"])
    simulation.publish(definition, catalog)
    simulation.send("placed", {}, key="k")
    simulation.advance("1m")
    (run,) = simulation.runs()

    steps = progress_of(simulation.history(run))
    assert {name: found.words() for name, found in steps.items()} == {
        "charge": "done",
        "all": "0 of 3 items",
        "ask": "awaiting approval",
    }
    assert (steps["charge"].attempts, steps["all"].attempts) == (3, 3)
    simulation.cancel(run, "enough")
    simulation.advance("1m")
    assert summary_of(simulation.history(run)).status == "cancelled"
    assert done == [1]
    assert progress_of(simulation.history(run))["charge.undo"].state == "done"


def test_a_list_of_steps_names_the_code_and_json_the_operand() -> None:
    detail = "`/` was given `trigger.items` (a whole number) and `0`"
    found = step(t.StepParked(code="division_by_zero", at="share", detail=detail))
    assert found.words() == "parked: division_by_zero"
    assert found.facts()["parked_detail"] == detail
