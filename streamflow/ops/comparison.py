"""Two runs side by side: step by step, and where they part."""

from __future__ import annotations

from typing import Any, NamedTuple

from streamflow.engine import transitions as t
from streamflow.engine.attempt_transitions import CallRequested, ChildRequested
from streamflow.engine.transitions import RunStarted, Transition
from streamflow.ops.history import summary_of
from streamflow.ops.outputs import outputs_of
from streamflow.ops.steps import StepProgress, progress_of

PLACES = 20  # of differences within one value
_DEPTH = 12


class _Step(NamedTuple):
    """What is compared of a step."""

    progress: StepProgress
    input: Any
    output: Any
    seq: int  # of its first transition
    begun_ms: int
    ended_ms: int | None


def compare(left: list[Transition], right: list[Transition]) -> dict[str, Any]:
    """How two runs differ: what they were started with, each step that began in one of them (in the order of the left
    one, then those of the right one alone), how they ended, and the first divergence. That is the start, or the step
    that began first among those with another input, outcome or output; times are shown and are no difference.

    Places in values are JSON pointers, at most 20 for each value."""
    one, other = _steps(left), _steps(right)
    started = places(_start(left), _start(right))
    rows: list[dict[str, Any]] = []
    first: dict[str, Any] | None = None
    for name in dict.fromkeys((*one, *other)):
        mine, theirs = one.get(name), other.get(name)
        differs = _differences(mine, theirs)
        rows.append(
            {"step": name, "left": _facts(mine), "right": _facts(theirs), "same": not differs, "differs": differs}
        )
        if differs:
            seq = min(step.seq for step in (mine, theirs) if step is not None)
            if first is None or seq < first["seq"]:
                first = {"step": name, "seq": seq, "differs": differs, "reason": _sentence(name, differs[0])}
    if started:
        first = {
            "step": None,
            "seq": 1,
            "differs": [{"what": "start", "places": started}],
            "reason": f"The runs were started with other data, first at {started[0] or '/'}.",
        }
    ends = summary_of(left), summary_of(right)
    return {
        "left": ends[0].facts(),
        "right": ends[1].facts(),
        "same_version": (ends[0].definition, ends[0].version) == (ends[1].definition, ends[1].version),
        "same": first is None and ends[0].status == ends[1].status,
        "first": first,
        "rows": rows,
    }


def places(left: Any, right: Any) -> list[str]:
    """JSON pointers to what differs between two values, at most 20 of them; the empty pointer is the value as a
    whole."""
    found: list[str] = []
    _places(left, right, "", 0, found)
    return found


def _places(left: Any, right: Any, at: str, depth: int, found: list[str]) -> None:
    if len(found) >= PLACES:
        return
    if depth < _DEPTH and isinstance(left, dict) and isinstance(right, dict):
        for name in dict.fromkeys((*left, *right)):
            pointer = f"{at}/{str(name).replace('~', '~0').replace('/', '~1')}"
            if name in left and name in right:
                _places(left[name], right[name], pointer, depth + 1, found)
            elif len(found) < PLACES:
                found.append(pointer)
    elif depth < _DEPTH and isinstance(left, list) and isinstance(right, list) and len(left) == len(right):
        for number, (mine, theirs) in enumerate(zip(left, right, strict=True)):
            _places(mine, theirs, f"{at}/{number}", depth + 1, found)
    elif left != right or isinstance(left, bool) != isinstance(right, bool):
        found.append(at)


def _start(history: list[Transition]) -> Any:
    data = history[0].data
    return data.event.data if isinstance(data, RunStarted) else None


def _steps(history: list[Transition]) -> dict[str, _Step]:
    outputs = outputs_of(history)
    inputs: dict[str, Any] = {}
    first: dict[str, Transition] = {}
    last: dict[str, Transition] = {}
    for transition in history:
        data = transition.data
        named = data.steps if isinstance(data, t.StepsSkipped) else (transition.address,)
        for name in named:
            first.setdefault(name, transition)
            last[name] = transition
        if isinstance(data, CallRequested | ChildRequested) and data.item is None:
            inputs[transition.address] = data.input
    found = {}
    for name, progress in progress_of(history).items():
        over = progress.state in ("done", "skipped")
        found[name] = _Step(
            progress,
            inputs.get(name),
            outputs.get(name),
            first[name].seq,
            first[name].at_ms,
            last[name].at_ms if over else None,
        )
    return found


def _differences(left: _Step | None, right: _Step | None) -> list[dict[str, Any]]:
    """In the order in which one leads to the next: whether it began, its input, how it ended, what it gave."""
    if left is None or right is None:
        return [{"what": "begun", "left": left is not None, "right": right is not None}]
    found: list[dict[str, Any]] = []
    if changed := places(left.input, right.input):
        found.append({"what": "input", "places": changed})
    ends = [(step.progress.state, step.progress.outcome) for step in (left, right)]
    if ends[0] != ends[1]:
        found.append({"what": "outcome", "left": _end(left), "right": _end(right)})
    if changed := places(left.output, right.output):
        found.append({"what": "output", "places": changed})
    return found


def _end(step: _Step) -> str:
    return step.progress.outcome or step.progress.state


def _facts(step: _Step | None) -> dict[str, Any] | None:
    if step is None:
        return None
    took = step.ended_ms - step.begun_ms if step.ended_ms is not None else None
    progress = step.progress
    return {
        "state": progress.state,
        "outcome": progress.outcome,
        "attempts": progress.attempts or None,
        "error_code": progress.error.code if progress.error is not None else None,
        "duration_ms": took,
        "seq": step.seq,
    }


def _sentence(name: str, difference: dict[str, Any]) -> str:
    what = difference["what"]
    if what == "begun":
        which = "left" if difference["left"] else "right"
        return f"The step {name} began in the {which} run alone."
    if what == "outcome":
        left, right = difference["left"], difference["right"]
        return f"The step {name} ended as {left} in the left run and as {right} in the right one."
    return f"The step {name} has another {what}, first at {difference['places'][0] or '/'}."
