"""Transitions in words."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from streamflow.cli.output import local_time
from streamflow.engine import transitions as t
from streamflow.engine.transitions import Transition

_LONG = 160


def told(transition: Transition) -> str:
    """What happened, in a few words and on one line. Attempts after the first one say which they are."""
    said = " ".join(_TOLD[type(transition.data)](transition.data).splitlines())
    return (
        f"attempt {transition.attempt}: {said}" if transition.attempt is not None and transition.attempt > 1 else said
    )


def short(value: Any) -> str:
    """`value` as JSON on one line, cut when it is long."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _LONG else text[: _LONG - 1] + "…"


def _started(data: t.RunStarted) -> str:
    by = (
        f"by trigger {data.trigger}"
        if data.trigger
        else f"by step {data.parent.step} of run {data.parent.run}"
        if data.parent
        else "as asked for"
    )
    return f"started {by}: " + (f"{data.event.name} " if data.event.name else "") + short(data.event.data)


def _waits(data: t.WaitStarted) -> str:
    limit = "for ever" if data.due_ms is None else f"until {local_time(data.due_ms)}"
    return f"waits for {' or '.join(data.events)}, {limit}"


def _kept(data: t.EventKept) -> str:
    until = "as long as the run is open" if data.until_ms is None else f"until {local_time(data.until_ms)}"
    return f"{data.event.name} came ahead of its wait, kept {until}"


def _parked(data: t.StepParked) -> str:
    return f"PARKED at {data.at}: {data.code}; retry, skip or fail it with `streamflow runs`"


def _of_item(item: int | None) -> str:
    return "" if item is None else f"item {item}: "


def _listed(data: t.ItemsListed) -> str:
    limit = "" if data.deadline_ms is None else f", until {local_time(data.deadline_ms)}"
    return f"for each of {len(data.items)} items{limit}"


def _child(data: t.ChildRequested) -> str:
    return (
        f"{_of_item(data.item)}child run {data.child} of {data.definition}@{data.version} for {data.key}: "
        f"{short(data.input)}"
    )


def _failed(data: t.AttemptFailed) -> str:
    if data.retry_ms is not None:
        then = f"; tried again at {local_time(data.retry_ms)}"
    else:
        then = "; not tried again" if data.outcome is None else f"; ended with {data.outcome}"
    return f"{_of_item(data.item)}FAILED with {data.code}: {data.message}{then}"


def _items_ended(data: t.ItemsEnded) -> str:
    return f"{data.total - data.failed} of {data.total} items done" + (
        f", {data.failed} in vain" if data.failed else ""
    )


def _asked(data: t.ApprovalRequested) -> str:
    limit = "without limit" if data.due_ms is None else f"until {local_time(data.due_ms)}"
    return f"asks {' or '.join(data.who)}, {limit}: {data.text}"


def _stopping(data: t.RunStopping) -> str:
    return (
        f"ends as {data.ending} ({data.reason or 'no reason given'}) once {', '.join(data.undo)} "
        f"{'is' if len(data.undo) == 1 else 'are'} undone"
    )


_TOLD: dict[type, Callable[[Any], str]] = {
    t.RunStarted: _started,
    t.WaitStarted: _waits,
    t.WaitSatisfied: lambda data: f"{data.outcome}: {data.event.name} {short(data.event.data)}",
    t.WaitTimedOut: lambda data: f"timeout: nothing came before {local_time(data.due_ms)}",
    t.EventKept: _kept,
    t.BranchChosen: lambda data: f"chose {data.branch}" if data.branch else "no branch fits",
    t.ValuesSet: lambda data: f"set {short(data.values)}",
    t.EventEmitted: lambda data: f"emitted {data.event}: {short(data.data)}",
    t.DelayStarted: lambda data: f"goes on at {local_time(data.until_ms)}",
    t.DelayElapsed: lambda data: "goes on",
    t.LinePrinted: lambda data: f"printed {short(data.text)}",
    t.ItemsListed: _listed,
    t.CallRequested: lambda data: (
        f"{_of_item(data.item)}calls {data.operation} in lane {data.lane}: {short(data.input)}"
    ),
    t.ChildRequested: _child,
    t.AttemptSuspended: lambda data: f"{_of_item(data.item)}waits for a callback until {local_time(data.due_ms)}",
    t.AttemptSucceeded: lambda data: f"{_of_item(data.item)}gave {short(data.output)}",
    t.AttemptFailed: _failed,
    t.ItemsEnded: _items_ended,
    t.ApprovalRequested: _asked,
    t.ApprovalGiven: lambda data: (
        f"{data.decision} by {data.by}" + (f": {short(data.data)}" if data.data is not None else "")
    ),
    t.ApprovalExpired: lambda data: f"nobody decided before {local_time(data.due_ms)}",
    t.RunStopping: _stopping,
    t.StepsSkipped: lambda data: f"skipped {', '.join(data.steps)}",
    t.StepParked: _parked,
    t.StepRetried: lambda data: "tried again",
    t.RunCompleted: lambda data: (
        f"completed: {', '.join(data.ended)}" + (f"; output {short(data.output)}" if data.output is not None else "")
    ),
    t.RunFailed: lambda data: f"failed: {data.reason or 'no reason given'}",
    t.RunCancelled: lambda data: f"cancelled: {data.reason or 'no reason given'}",
}
