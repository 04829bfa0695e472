"""`run`: a run of another definition, and waiting for its end."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from streamflow.definition.plan import ChildPlan, StepPlan
from streamflow.engine.state import ChildRef, ItemState, RunState, StepState
from streamflow.engine.steps import attempts
from streamflow.engine.steps.attempt_facts import ATTEMPT_FACTS, counted, item_changes, note_called, of_item
from streamflow.engine.steps.kind import Change, FactRule, FormatTime, StepKind, short
from streamflow.engine.transitions import AttemptFailed, AttemptSucceeded, ChildRequested, Transition

if TYPE_CHECKING:
    from streamflow.engine.builder import RunBuilder


def begin(run: RunBuilder, step: StepPlan, work: ChildPlan) -> None:
    attempts.begin_attempt(run, step, 1)


def _requested(before: StepState | None, transition: Transition) -> StepState:
    data, attempt = transition.data, transition.attempt or 0
    if data.item is not None:
        return counted(before, begun=attempt == data.attempts_before_retry + 1, item=data.item)
    return StepState(
        status="calling",
        due_ms=data.due_ms,
        attempt=attempt,
        attempts_before_retry=data.attempts_before_retry,
        first_attempt_ms=before.first_attempt_ms if before is not None else transition.at_ms,
        deadline_ms=data.due_ms,
        child=ChildRef(run=data.child, key=data.key),
        inputs_not_ready=before.inputs_not_ready if before is not None else data.inputs_not_ready,
    )


def _records(state: RunState, transition: Transition, reads: frozenset[str]) -> Iterator[Change]:
    data = transition.data
    if data.item is not None:
        after = ItemState(
            status="calling",
            attempt=transition.attempt or 0,
            attempts_before_retry=data.attempts_before_retry,
            due_ms=data.due_ms,
            child=ChildRef(run=data.child, key=data.key),
        )
        yield from item_changes(transition, after, armed_ms=None, due_ms=data.due_ms)


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
