"""What the engine needs to know of a kind of step, and of each fact about a step."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from streamflow.engine.state import ItemState, PartitionState, RunState, Status, StepState
from streamflow.engine.transitions import Transition

if TYPE_CHECKING:
    from streamflow.definition.plan import StepPlan
    from streamflow.engine.builder import RunBuilder

Change = tuple[str, Any]
"""The key of a state record, and the record (None deletes it)."""

FormatTime = Callable[[int], str]
"""Writes a time in epoch milliseconds as people read it."""

DONE = StepState(status="done", outcome="done")
SKIPPED = StepState(status="skipped")
_LONG = 160

STATUS_WORDS: dict[Status, str] = {
    "waiting": "waiting",
    "delayed": "delayed",
    "calling": "calling",
    "retrying": "retrying",
    "suspended": "waits for a callback",
    "listing": "items",
    "awaiting_approval": "awaiting approval",
    "parked": "parked",
    "done": "done",
    "skipped": "skipped",
}
"""Every status of a step, as people read it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FactRule:
    """What one type of fact does. All functions are pure, see no plan, and never refuse: the fact has happened."""

    words: Callable[[Any, FormatTime], str]
    """The fact (its data) in a few words, for a timeline."""

    step: Callable[[StepState | None, Transition], StepState] | None = None
    """The state of the fact's step after it, from the state before (None: not begun). The step's timer follows from
    the two states."""

    run: Callable[[RunState, Transition], dict[str, Any]] | None = None
    """Further fields of the run's head that change, with their new values."""

    output: Callable[[Any], Any] | None = None
    """The output of the step, from the fact's data; kept only if an expression of the plan reads it."""

    records: Callable[[RunState, Transition, frozenset[str]], Iterable[Change]] | None = None
    """Further records that change: from the head before, the transition, and the steps whose outputs are read."""

    outcome: Callable[[Any], str | None] | None = None
    """The outcome with which the step ended (None: it did not end), from the fact's data."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FiredTimer:
    """A timer that is due."""

    due_ms: int
    """When it was due, in epoch milliseconds."""

    state: StepState | ItemState
    """The state of the step, or of its item, that armed it."""

    item: int | None
    """The item of a list that it is for."""

    own: PartitionState
    """The partition's own record, with its watermarks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepKind:
    """One kind of step."""

    name: str
    """Its field in a definition."""

    plan: type
    """The class of its work in a plan."""

    begin: Callable[[RunBuilder, StepPlan, Any], None]
    """Begin the step, given its work. Raises ParkStep for what a person has to correct."""

    expire: Callable[[RunBuilder, StepPlan, FiredTimer], None] | None = None
    """What the step does when its timer is due (None: it arms none). Raises Refused."""

    facts: dict[type, FactRule] = field(default_factory=dict)
    """The facts that steps of this kind make, and what each does. Kinds may share a fact."""

    statuses: tuple[Status, ...] = ()
    """The statuses that such a step may have, apart from `parked`, `done` and `skipped`."""


def short(value: Any) -> str:
    """`value` as JSON on one line, cut when it is long."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _LONG else text[: _LONG - 1] + "…"


def done(before: StepState | None, transition: Transition) -> StepState:
    """The state of a step that ended with its only outcome."""
    return DONE


def timed_out(before: StepState | None, transition: Transition) -> StepState:
    """The state of a step whose time is over."""
    return StepState(status="done", outcome="timeout")


def ended(outcome: str) -> Callable[[Any], str]:
    """A rule's `outcome`: always this one."""
    return lambda data: outcome
