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
    """What happened, in a few words and on one line."""
    return _TOLD[type(transition.data)](transition.data)


def short(value: Any) -> str:
    """`value` as JSON on one line, cut when it is long."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _LONG else text[: _LONG - 1] + "…"


def _started(data: t.RunStarted) -> str:
    by = f"by trigger {data.trigger}" if data.trigger else "as asked for"
    return f"started {by}: {data.event.name} {short(data.event.data)}"


def _waits(data: t.WaitStarted) -> str:
    limit = "for ever" if data.due_ms is None else f"until {local_time(data.due_ms)}"
    return f"waits for {' or '.join(data.events)}, {limit}"


def _kept(data: t.EventKept) -> str:
    until = "as long as the run is open" if data.until_ms is None else f"until {local_time(data.until_ms)}"
    return f"{data.event.name} came ahead of its wait, kept {until}"


def _parked(data: t.StepParked) -> str:
    return f"PARKED at {data.at}: {data.code}; retry, skip or fail it with `streamflow runs`"


_TOLD: dict[type, Callable[[Any], str]] = {
    t.RunStarted: _started,
    t.WaitStarted: _waits,
    t.WaitSatisfied: lambda data: f"{data.outcome}: {data.event.name} {short(data.event.data)}",
    t.WaitTimedOut: lambda data: f"timeout: nothing came before {local_time(data.due_ms)}",
    t.EventKept: _kept,
    t.BranchChosen: lambda data: f"chose {data.branch}" if data.branch else "no branch fits",
    t.ValuesSet: lambda data: f"set {short(data.values)}",
    t.EventEmitted: lambda data: f"emitted {data.event} to {data.topic}: {short(data.data)}",
    t.DelayStarted: lambda data: f"goes on at {local_time(data.until_ms)}",
    t.DelayElapsed: lambda data: "goes on",
    t.LinePrinted: lambda data: f"printed {short(data.text)}",
    t.StepsSkipped: lambda data: f"skipped {', '.join(data.steps)}",
    t.StepParked: _parked,
    t.StepRetried: lambda data: "tried again",
    t.RunCompleted: lambda data: f"completed: {', '.join(data.ended)}",
    t.RunFailed: lambda data: f"failed: {data.reason or 'no reason given'}",
    t.RunCancelled: lambda data: f"cancelled: {data.reason or 'no reason given'}",
}
