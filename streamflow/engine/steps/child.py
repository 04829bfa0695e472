"""`run`: a run of another definition, and waiting for its end."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from streamflow.definition.plan import ChildPlan, StepPlan
from streamflow.engine.attempt_transitions import AttemptFailed, AttemptSucceeded, ChildRequested
from streamflow.engine.state import ChildRef, RunState, StepState
from streamflow.engine.steps import attempts
from streamflow.engine.steps.attempt_facts import ATTEMPT_FACTS, item_requested, note_called, of_item, requested
from streamflow.engine.steps.kind import Change, FactRule, FormatTime, StepKind, short
from streamflow.engine.transitions import Transition

if TYPE_CHECKING:
    from streamflow.engine.builder import RunBuilder


def begin(run: RunBuilder, step: StepPlan, work: ChildPlan) -> None:
    attempts.begin_attempt(run, step, 1)


def _requested(before: StepState | None, transition: Transition) -> StepState:
    return requested(before, transition, deadline_ms=transition.data.due_ms, child=_child(transition.data))


def _records(state: RunState, transition: Transition, reads: frozenset[str]) -> Iterator[Change]:
    return item_requested(transition, armed_ms=None, child=_child(transition.data))


def _child(data: ChildRequested) -> ChildRef:
    return ChildRef(run=data.child, key=data.key)


def _words(data: ChildRequested, time: FormatTime) -> str:
    child = f"child run {data.child} of {data.definition}@{data.version} for {data.key}"
    return f"{of_item(data.item)}{child}: {short(data.input)}"


CHILD = StepKind(
    name="run",
    plan=ChildPlan,
    begin=begin,
    expire=attempts.expire,
    statuses=("calling", "retrying"),
    facts={
        ChildRequested: FactRule(words=_words, step=_requested, run=note_called, records=_records),
        AttemptSucceeded: ATTEMPT_FACTS[AttemptSucceeded],
        AttemptFailed: ATTEMPT_FACTS[AttemptFailed],
    },
)
