"""The law of a saga's order can be broken, and is broken by nothing else."""

from __future__ import annotations

from typing import Any

import pytest

from streamflow.engine import compensation
from streamflow.engine import transitions as t
from streamflow.engine.attempt_transitions import AttemptSucceeded, CallRequested
from streamflow.engine.commands import Event
from streamflow.engine.transitions import Transition
from tests.property.protocol import Protocol
from tests.property.undo_order import UndoneTooEarly, UndoOrder
from tests.property.walk import walk

STARTED = t.RunStarted(trigger="", event=Event(name="", id="e", time_ms=0, data={}), sha="s", revision="1")
CALL = CallRequested(operation="o", lane="default", input={}, due_ms=1)
DONE = AttemptSucceeded({})


def follow(*facts: tuple[str, Any]) -> None:
    order = UndoOrder()
    for seq, (step, data) in enumerate([("", STARTED), *facts], 1):
        order.take(
            Transition(
                run="r", definition="d", version="1", key="k", seq=seq, at_ms=0, cause="c", data=data, step=step or None
            )
        )


def test_undoing_after_all_answers_is_in_order() -> None:
    follow(("a", CALL), ("b", CALL), ("b", DONE), ("a", DONE), ("b.undo", CALL), ("b.undo", DONE), ("a.undo", CALL))


def test_an_earlier_step_may_be_under_way() -> None:
    follow(("a", CALL), ("b", CALL), ("b", DONE), ("b.undo", CALL))


@pytest.mark.parametrize(
    "facts",
    [
        [("a", CALL), ("a.undo", CALL)],
        [("a", CALL), ("b", CALL), ("a", DONE), ("a.undo", CALL)],
        [("a", CallRequested(operation="o", lane="l", input={}, due_ms=1, item=3)), ("a.undo", CALL)],
    ],
    ids=["its own attempt", "a later step's attempt", "an item's attempt"],
)
def test_undoing_before_an_answer_is_found(facts: list[tuple[str, Any]]) -> None:
    with pytest.raises(UndoneTooEarly):
        follow(*facts)


def walk_on(seeds: range) -> None:
    for seed in seeds:
        walk(Protocol, seed, 60, ("tasks_are_done", "someone_asks", "goes_well", "goes_well", "all_fire"))


def test_a_saga_that_waits_for_no_answer_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    walk_on(range(10))
    monkeypatch.setattr(compensation, "UNDER_WAY", frozenset())
    with pytest.raises(UndoneTooEarly):
        walk_on(range(100))
