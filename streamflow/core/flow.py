"""What transitions mean for the flow through a definition: runs that begin and end, and steps that runs go into, out
of, or get stuck in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from streamflow.engine import attempt_transitions as a
from streamflow.engine import transitions as t
from streamflow.engine.address import split_address

IN, OUT, FAILED, PARKED, SKIPPED, RETRIED = "in", "out", "failed", "parked", "skipped", "retried"

_BEGINS = (t.WaitStarted, t.DelayStarted, a.ItemsListed, t.ApprovalRequested)
_ENDS = (t.WaitSatisfied, t.WaitTimedOut, t.DelayElapsed, t.ApprovalGiven, t.ApprovalExpired)
_INSTANT = (t.BranchChosen, t.ValuesSet, t.EventEmitted, t.LinePrinted, t.RequirementMet)
_NOTHING = (a.AttemptSuspended, t.RunStopping, t.StepRetried)

# Facts of which the class says all.
_STEPS: dict[type, tuple[str, ...]] = {
    **dict.fromkeys(_BEGINS, (IN,)),
    **dict.fromkeys(_ENDS, (OUT,)),
    **dict.fromkeys(_INSTANT, (IN, OUT)),
    **dict.fromkeys(_NOTHING, ()),
    t.StepParked: (PARKED,),
}
_RUNS: dict[type, str] = {
    t.RunStarted: "started",
    t.RunCompleted: "completed",
    t.RunFailed: "failed",
    t.RunCancelled: "cancelled",
}


class Moved(NamedTuple):
    """One count: of a run (`step` is None; `flow` is `started`, `completed`, `failed` or `cancelled`) or of a step."""

    step: str | None
    flow: str


BY_CLASS = frozenset({*_STEPS, *_RUNS})
"""Facts that always count for the same, whatever they hold."""


def _requested(data: a.CallRequested | a.ChildRequested, attempt: int | None) -> str | None:
    return IN if attempt == 1 and data.item is None else None


def _succeeded(data: a.AttemptSucceeded, attempt: int | None) -> str | None:
    return OUT if data.item is None else None


def _failed(data: a.AttemptFailed, attempt: int | None) -> str | None:
    if data.item is not None:
        return None
    return FAILED if data.outcome is not None else RETRIED if data.retry_ms is not None else None


def _items_ended(data: a.ItemsEnded, attempt: int | None) -> str | None:
    return None if data.outcome is None else OUT if data.outcome == "done" else FAILED


BY_ATTEMPT: Mapping[type, Callable[[Any, int | None], str | None]] = MappingProxyType(
    {
        a.CallRequested: _requested,
        a.ChildRequested: _requested,
        a.AttemptSucceeded: _succeeded,
        a.AttemptFailed: _failed,
        a.ItemsEnded: _items_ended,
    }
)
"""Facts about attempts: what happened to their step, by what they hold and the number of the attempt; None: nothing.
Items of a list count for nothing by themselves, as their step does."""

BY_CONTENT = frozenset({t.StepsSkipped, *BY_ATTEMPT})
"""Facts that count for what they hold."""


def moved(transition: t.Transition) -> tuple[Moved, ...]:
    """What a transition counts for."""
    data, step = transition.data, transition.step or ""
    kind = type(data)
    if (known := _STEPS.get(kind)) is not None:
        return tuple(Moved(step, flow) for flow in known)
    if (run := _RUNS.get(kind)) is not None:
        return (Moved(None, run),)
    if isinstance(data, t.StepsSkipped):
        return tuple(Moved(split_address(address)[1], SKIPPED) for address in data.steps)
    if (of_attempt := BY_ATTEMPT.get(kind)) is not None:
        flow = of_attempt(data, transition.attempt)
        return () if flow is None else (Moved(step, flow),)
    return ()
