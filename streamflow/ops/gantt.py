"""When each step of a run did what, as rows of bars: a summary that stays small however long the run is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from streamflow.engine import transitions as t
from streamflow.engine.transitions import Transition
from streamflow.ops.steps import OPEN, StepProgress, take

BARS = 100  # of a row; a step that has more shows its first and last ones
IDLE_PART = 20  # a pause is idle time when it is longer than this part of the whole
_WORKING = ("calling", "listing")  # while a step does this, time is not idle
_WHOLE = (t.RunStopping, t.RunFailed, t.RunCancelled)  # facts that may end every open step


@dataclass(slots=True, kw_only=True)
class Bar:
    """A period in which a step had one state."""

    state: str
    """The state, as `GET /runs/{run}` names it."""

    from_ms: int
    """When it began, in epoch milliseconds."""

    to_ms: int | None = None
    """When it ended; None: it continues."""


@dataclass(slots=True, kw_only=True)
class Row:
    """A step. A list is one row, however many items it has."""

    step: str
    """Its address."""

    bars: list[Bar] = field(default_factory=list)
    """Its states in order, without those in which nothing happens (done, skipped)."""

    begun_ms: int
    """When it began, in epoch milliseconds."""

    ended_ms: int | None = None
    """When it ended; None: it is open."""

    left_out: int = 0
    """How many bars in the middle are left out."""


def gantt(history: list[Transition]) -> dict[str, Any]:
    """The rows of a run in the order in which its steps began, each with its state, outcome and attempts; and its idle
    times: pauses without a call under way, longer than a twentieth of the whole, at most 20 of them. `to_ms` is the
    time of the latest transition. Times are epoch milliseconds."""
    rows: dict[str, Row] = {}
    steps: dict[str, StepProgress] = {}
    idle: list[tuple[int, int]] = []
    begun, last = history[0].at_ms, history[-1]
    least = max(1, (last.at_ms - begun) // IDLE_PART)
    working: set[str] = set()
    before = begun
    for transition in history:
        if not working and transition.at_ms - before >= least:
            idle.append((before, transition.at_ms))
        before = transition.at_ms
        take(steps, transition)
        for name in _touched(transition, rows):
            _take(rows, name, steps.get(name), transition.at_ms)
            step = steps.get(name)
            (working.add if step is not None and step.state in _WORKING else working.discard)(name)
    ended = isinstance(last.data, t.ENDINGS)
    return {
        "run": last.run,
        "from_ms": begun,
        "to_ms": last.at_ms,
        "ended": ended,
        "rows": [_facts(row, steps.get(name)) for name, row in rows.items()],
        "idle": [{"from_ms": start, "to_ms": end} for start, end in idle],
    }


def _touched(transition: Transition, rows: Iterable[str]) -> Iterator[str]:
    """The steps whose state may be another one after `transition`."""
    data = transition.data
    if isinstance(data, t.StepsSkipped):
        yield from data.steps
    elif isinstance(data, _WHOLE):
        yield from list(rows)
    elif transition.address:
        yield transition.address


def _take(rows: dict[str, Row], name: str, step: StepProgress | None, at_ms: int) -> None:
    row = rows.get(name)
    if row is None:
        row = rows[name] = Row(step=name, begun_ms=at_ms)
    state = step.state if step is not None else None
    bar = row.bars[-1] if row.bars and row.bars[-1].to_ms is None else None
    if bar is not None and bar.state != state:
        bar.to_ms = at_ms
        bar = None
    if state is None:
        return
    if state in OPEN:
        row.ended_ms = None
        if bar is None:
            row.bars.append(Bar(state=state, from_ms=at_ms))
            if len(row.bars) > BARS:
                del row.bars[BARS // 2]
                row.left_out += 1
    elif row.ended_ms is None:
        row.ended_ms = at_ms


def _facts(row: Row, step: StepProgress | None) -> dict[str, Any]:
    facts = {} if step is None else step.facts()
    kept = ("state", "outcome", "operation", "attempts", "items", "children", "parked")
    shown = {name: facts[name] for name in kept if name in facts}
    if step is not None and step.error is not None:
        shown["error_code"] = step.error.code
    return {
        "step": row.step,
        "start_ms": row.begun_ms,
        "end_ms": row.ended_ms,
        "bars": [asdict(bar) for bar in row.bars],
        "left_out": row.left_out,
        **shown,
    }
