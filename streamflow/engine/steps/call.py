"""`call`: an operation, done by a task worker."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from streamflow.definition.plan import CallPlan, StepPlan
from streamflow.engine.attempt_transitions import CallRequested
from streamflow.engine.state import RunState, StepState
from streamflow.engine.steps import attempts
from streamflow.engine.steps.attempt_facts import ATTEMPT_FACTS, item_requested, note_called, of_item, requested
from streamflow.engine.steps.kind import Change, FactRule, FormatTime, StepKind, short
from streamflow.engine.transitions import Transition

if TYPE_CHECKING:
    from streamflow.engine.builder import RunBuilder


def begin(run: RunBuilder, step: StepPlan, work: CallPlan) -> None:
    attempts.begin_attempt(run, step, 1)


def _requested(before: StepState | None, transition: Transition) -> StepState:
    return requested(before, transition, deadline_ms=transition.data.deadline_ms)


def _records(state: RunState, transition: Transition, reads: frozenset[str]) -> Iterator[Change]:
    return item_requested(transition, armed_ms=transition.data.armed_ms)


def _words(data: CallRequested, time: FormatTime) -> str:
    return f"{of_item(data.item)}calls {data.operation} in lane {data.lane}: {short(data.input)}"


CALL = StepKind(
    name="call",
    plan=CallPlan,
    begin=begin,
    expire=attempts.expire,
    statuses=("calling", "suspended", "retrying"),
    facts={CallRequested: FactRule(words=_words, step=_requested, run=note_called, records=_records), **ATTEMPT_FACTS},
)
