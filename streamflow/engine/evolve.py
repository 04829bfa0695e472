"""Evolving: (state, transition) -> state. Never refuses a recorded fact, never looks at a plan.

`records_of` gives the records beside the head that a transition writes or deletes: outputs and timers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from streamflow.definition.plan import START
from streamflow.engine.evolve_attempts import (
    APPROVAL_FACTS,
    ATTEMPT_FACTS,
    attempt_records,
    parked_after,
    retried_after,
    step_after,
    step_forgotten,
)
from streamflow.engine.state import Ending, KeptEvent, RunState, StepState, Timer, out_key, timer_key
from streamflow.engine.transitions import (
    ENDINGS,
    ApprovalExpired,
    ApprovalGiven,
    ApprovalRequested,
    BranchChosen,
    CallRequested,
    ChildRequested,
    DelayElapsed,
    DelayStarted,
    EventEmitted,
    EventKept,
    LinePrinted,
    RunStarted,
    RunStopping,
    StepParked,
    StepRetried,
    StepsSkipped,
    Transition,
    ValuesSet,
    WaitSatisfied,
    WaitStarted,
    WaitTimedOut,
)

DONE = StepState("done", "done")
SKIPPED = StepState("skipped")


def evolve(state: RunState | None, transition: Transition) -> RunState:
    """The head of the run after `transition`; `state` is None before a RunStarted."""
    data = transition.data
    if state is None:
        return RunState(
            run=transition.run,
            definition=transition.definition,
            version=transition.version,
            sha=data.sha,
            revision=data.revision,
            key=transition.key,
            seq=transition.seq,
            started_ms=transition.at_ms,
            trigger=data.trigger,
            steps={},
            seen=(),
            parent=data.parent,
        )
    kind = type(data)
    steps, seen, kept = _EVOLVE[kind](state, transition, data)
    stopping, called = state.stopping, state.called
    if kind is RunStopping:
        stopping = Ending(data.ending, data.reason, data.undo)
    elif (kind is CallRequested or kind is ChildRequested) and stopping is None and transition.step not in called:
        called = (*called, transition.step or "")
    return RunState(
        state.run,
        state.definition,
        state.version,
        state.sha,
        state.revision,
        state.key,
        transition.seq,
        state.started_ms,
        state.trigger,
        steps,
        seen,
        kept,
        state.parent,
        stopping,
        called,
    )


Evolved = tuple[dict[str, StepState], tuple[str, ...], tuple[KeptEvent, ...]]


def _step(state: RunState, transition: Transition, step: StepState) -> Evolved:
    return {**state.steps, transition.step or "": step}, state.seen, state.kept


def _done(state: RunState, transition: Transition, data: Any) -> Evolved:
    return _step(state, transition, DONE)


def _branch_chosen(state: RunState, transition: Transition, data: BranchChosen) -> Evolved:
    return _step(state, transition, StepState("done", data.branch or "none"))


def _wait_started(state: RunState, transition: Transition, data: WaitStarted) -> Evolved:
    began_ms = transition.at_ms if data.since_offset is not None else 0
    waiting = StepState("waiting", None, data.due_ms, began_ms=began_ms, since_offset=data.since_offset)
    return _step(state, transition, waiting)


def _wait_satisfied(state: RunState, transition: Transition, data: WaitSatisfied) -> Evolved:
    return _step(state, transition, StepState("done", data.outcome))


def _wait_timed_out(state: RunState, transition: Transition, data: WaitTimedOut) -> Evolved:
    return _step(state, transition, StepState("done", "timeout"))


def _event_kept(state: RunState, transition: Transition, data: EventKept) -> Evolved:
    seen, kept = _still_kept(state, transition.at_ms)
    return state.steps, (*seen, data.event.id), (*kept, KeptEvent(data.event, data.until_ms))


def _still_kept(state: RunState, at_ms: int) -> tuple[tuple[str, ...], tuple[KeptEvent, ...]]:
    """`seen` and `kept` without the events whose time is over; nobody consumed those, so they need not be known
    again."""
    gone = {k.event.id for k in state.kept if not k.lasts(at_ms)}
    if not gone:
        return state.seen, state.kept
    return tuple(id_ for id_ in state.seen if id_ not in gone), tuple(k for k in state.kept if k.event.id not in gone)


def _delay_started(state: RunState, transition: Transition, data: DelayStarted) -> Evolved:
    return _step(state, transition, StepState("delaying", None, data.until_ms))


def _steps_skipped(state: RunState, transition: Transition, data: StepsSkipped) -> Evolved:
    return {**state.steps, **dict.fromkeys(data.steps, SKIPPED)}, state.seen, state.kept


def _step_parked(state: RunState, transition: Transition, data: StepParked) -> Evolved:
    seen, kept = _still_kept(state, transition.at_ms)  # what is kept now outlasts the trouble
    parked = parked_after(state.steps.get(transition.step or ""))
    return {**state.steps, transition.step or "": parked}, seen, tuple(KeptEvent(k.event) for k in kept)


def _step_retried(state: RunState, transition: Transition, data: StepRetried) -> Evolved:
    again = retried_after(state.steps[transition.step or ""], data.deadline_ms)
    if again is not None:
        return _step(state, transition, again)
    return {name: step for name, step in state.steps.items() if name != transition.step}, state.seen, state.kept


def _attempt(state: RunState, transition: Transition, data: Any) -> Evolved:
    return _step(state, transition, step_after(state.steps.get(transition.step or ""), transition))


def _approval_requested(state: RunState, transition: Transition, data: ApprovalRequested) -> Evolved:
    return _step(state, transition, StepState("approving", None, data.due_ms))


def _approval_given(state: RunState, transition: Transition, data: ApprovalGiven) -> Evolved:
    return _step(state, transition, StepState("done", data.decision))


def _run_stopping(state: RunState, transition: Transition, data: RunStopping) -> Evolved:
    return (
        {name: step if step.status in ("done", "skipped") else SKIPPED for name, step in state.steps.items()},
        state.seen,
        (),
    )


def _ended(state: RunState, transition: Transition, data: Any) -> Evolved:
    return state.steps, state.seen, ()


_EVOLVE: dict[type, Callable[[RunState, Transition, Any], Evolved]] = {
    WaitStarted: _wait_started,
    WaitSatisfied: _wait_satisfied,
    WaitTimedOut: _wait_timed_out,
    EventKept: _event_kept,
    BranchChosen: _branch_chosen,
    ValuesSet: _done,
    EventEmitted: _done,
    DelayStarted: _delay_started,
    DelayElapsed: _done,
    LinePrinted: _done,
    StepsSkipped: _steps_skipped,
    StepParked: _step_parked,
    StepRetried: _step_retried,
    **dict.fromkeys(ATTEMPT_FACTS, _attempt),
    ApprovalRequested: _approval_requested,
    ApprovalGiven: _approval_given,
    ApprovalExpired: _wait_timed_out,
    RunStopping: _run_stopping,
    **dict.fromkeys(ENDINGS, _ended),
}

_OUTPUTS: dict[type, Callable[[Any], Any]] = {
    WaitSatisfied: lambda d: {
        "event": d.event.name,
        "source": d.event.source,
        "id": d.event.id,
        "time_ms": d.event.time_ms,
        "data": d.event.data,
    },
    BranchChosen: lambda d: {"branch": d.branch},
    ValuesSet: lambda d: d.values,
    EventEmitted: lambda d: {"id": d.id, "topic": d.topic},
    DelayElapsed: lambda d: {"until_ms": d.until_ms},
    LinePrinted: lambda d: {"text": d.text},
}


def records_of(before: RunState | None, transition: Transition, reads: frozenset[str]) -> list[tuple[str, Any]]:
    """(key, record or None to delete) for the outputs and timers that `transition` writes beside the head of its run.
    Outputs that no expression of the plan reads (`reads`) are in `runs` only."""
    data, run, step = transition.data, transition.run, transition.step or START
    kind = type(data)
    records: list[tuple[str, Any]] = []
    if step in reads:
        if kind is RunStarted:
            records.append((out_key(run, START), data.event.data))
        elif output := _OUTPUTS.get(kind):
            records.append((out_key(run, step), output(data)))
    if kind in _OUTSIDE:
        records += attempt_records(before.steps.get(step) if before is not None else None, transition, step in reads)
    elif kind is WaitStarted:
        if data.due_ms is not None:
            records.append((timer_key(data.due_ms, run, step), Timer(run, step, data.due_ms)))
    elif kind is DelayStarted:
        records.append((timer_key(data.until_ms, run, step), Timer(run, step, data.until_ms)))
    elif kind is StepRetried:
        if data.deadline_ms is not None:
            records.append((timer_key(data.deadline_ms, run, step), Timer(run, step, data.deadline_ms)))
    elif before is not None and kind in _DISARMING:
        state = before.steps.get(step)
        if state is not None and (armed := state.due_ms) is not None:
            records.append((timer_key(armed, run, step), None))
    elif before is not None and kind is StepsSkipped:
        for name in data.steps:
            if (skipped := before.steps.get(name)) is not None:  # it was parked
                records += step_forgotten(run, name, skipped, name in reads)
    elif before is not None and kind is RunStopping:
        for name, state in before.steps.items():
            if state.status not in ("done", "skipped"):
                records += step_forgotten(run, name, state, name in reads)
    elif before is not None and kind in ENDINGS:
        records += forgotten(before, reads)
    return records


_DISARMING = frozenset({WaitSatisfied, WaitTimedOut, DelayElapsed, StepParked})
_OUTSIDE = frozenset({*ATTEMPT_FACTS, *APPROVAL_FACTS})


def forgotten(state: RunState, reads: frozenset[str]) -> Iterator[tuple[str, None]]:
    """The deletion of every record of a run that ends, but its head."""
    if START in reads:
        yield out_key(state.run, START), None
    for name, step in state.steps.items():
        yield from step_forgotten(state.run, name, step, name in reads)
