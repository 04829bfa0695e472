"""Why a step of a run ran, did not run, or waits: from its needs, its condition and what happened, with the events that
came near to what it waits for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Literal

from streamflow.definition.model import Definition, Step
from streamflow.definition.plan import NO_OUTCOME, NeedPlan
from streamflow.engine import transitions as t
from streamflow.engine.steps.kind import STATUS_WORDS
from streamflow.engine.transitions import Transition
from streamflow.errors import Rejected
from streamflow.kafka.unknown_names import remedy
from streamflow.ops.steps import OPEN, StepProgress, progress_of
from streamflow.ops.unclaimed import UnclaimedEvent

Verdict = Literal["ran", "did_not_run", "waits", "not_yet", "parked"]
NEAR = 20  # misses that are listed, the latest


def explain(
    definition: Definition,
    history: list[Transition],
    step: str,
    *,
    unclaimed: Iterable[UnclaimedEvent] = (),
    topics: Mapping[str, tuple[str, ...]] = MappingProxyType({}),
) -> dict[str, Any]:
    """What `step` of the run of `history` does and why, as JSON data. `definition` is what the run follows,
    `unclaimed` are events under its business key that no run took, `topics` the topics of events by name.

    `verdict`: `ran` (it has ended), `did_not_run` (it was skipped, or the run ended before), `waits` (it has begun and
    waits for something), `parked` (a person has to decide), `not_yet` (it has not begun). `sentence` says it in
    English, with times in UTC. `needs` has each need with what has become of it.

    Raises Rejected (`step_unknown`)."""
    written = {one.id: one for one in definition.steps}
    steps = progress_of(history)
    undoing = step.endswith(".undo")
    part = written.get(step.removesuffix(".undo"))
    if part is None or (undoing and part.undo is None):
        raise Rejected(
            "step_unknown",
            f"The definition {definition.name}@{definition.version} has no step {step}. "
            f"{remedy(step, list(written), 'steps')}",
        )
    progress = steps.get(step)
    needs = [] if undoing else [_need(text, steps) for text in part.needs]
    explanation: dict[str, Any] = {
        "step": step,
        "state": progress.state if progress is not None else None,
        "needs": needs,
    }
    if part.if_ is not None and not undoing:
        explanation["condition"] = part.if_
    verdict, sentence = _verdict(part, step, progress, needs, history)
    explanation |= {"verdict": verdict, "sentence": sentence}
    since = _since(history, step)
    if progress is not None and progress.state in OPEN:
        explanation |= {"since_ms": since, "until_ms": progress.until_ms}
    if progress is not None and progress.state == "waiting" and part.wait is not None:
        explanation["waits_for"] = [
            {
                "id": one.id,
                "event": one.event,
                "where": one.where,
                "key": history[0].key,
                "topics": list(topics.get(one.event, ())),
            }
            for one in part.wait.events
        ]
        wanted = {one.event for one in part.wait.events}
        explanation["near_misses"] = _near(unclaimed, history[0], step, wanted)
        if explanation["near_misses"]:
            latest = explanation["near_misses"][0]
            explanation["sentence"] += f" {latest['event']} came at {time_text(latest['at_ms'])}, but {latest['why']}."
    if progress is not None and progress.state == "awaiting_approval" and progress.approval is not None:
        explanation["who"] = list(progress.approval.who)
    return explanation


def time_text(ms: int) -> str:
    """A time in epoch milliseconds as people read it, in UTC, to the second."""
    try:
        return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (OverflowError, OSError, ValueError):
        return f"{ms} ms"  # beyond the year 9999


def _need(text: str, steps: Mapping[str, StepProgress]) -> dict[str, Any]:
    name, _, outcome = text.partition(".")
    progress = steps.get(name)
    over = progress is not None and progress.state in ("done", "skipped")
    accepted = NeedPlan(name, outcome or None).accepts
    met = progress is not None and progress.state == "done" and accepted(progress.outcome or "")
    return {
        "step": name,
        "outcome": outcome or None,
        "state": progress.state if progress is not None else None,
        "ended": progress.outcome if progress is not None else None,
        "met": True if met else False if over else None,
    }


def _verdict(
    part: Step, name: str, progress: StepProgress | None, needs: list[dict[str, Any]], history: list[Transition]
) -> tuple[Verdict, str]:
    if progress is None:
        return _not_begun(part, name, needs, history)
    if progress.state == "skipped":
        return "did_not_run", _skipped(part, name, needs, history)
    if progress.state == "done":
        outcome = progress.outcome if progress.outcome not in (None, "done") else ""
        how = f" and ended as {outcome}" if outcome else " and is done"
        if progress.outcome in NO_OUTCOME and progress.error is not None:
            how += f" after {progress.error.code}: {_stripped(progress.error.message)}"
        return "ran", f"{name} ran{_because(part, needs)}{how}."
    if progress.state == "parked":
        detail = f" ({progress.parked_detail})" if progress.parked_detail else ""
        return "parked", f"{name} is parked with {progress.parked}{detail}. Retry it, skip it, or fail the run."
    until = f" until {time_text(progress.until_ms)}" if progress.until_ms is not None else ""
    since = _since(history, name)
    since_text = f" since {time_text(since)}" if since is not None else ""
    describe = _WAITING.get(progress.state)
    words = describe(progress, part) if describe is not None else STATUS_WORDS[progress.state]
    return "waits", f"{name} {words}{since_text}{until}."


def _not_begun(part: Step, name: str, needs: list[dict[str, Any]], history: list[Transition]) -> tuple[Verdict, str]:
    if isinstance(history[-1].data, t.ENDINGS):
        return "did_not_run", f"{name} did not run: the run ended before it began."
    if any(isinstance(one.data, t.RunStopping) for one in history):
        return "did_not_run", f"{name} does not run: the run is being stopped, and no further step starts."
    if name.endswith(".undo"):
        return "not_yet", f"{name} has not begun: the run has not been stopped, so nothing is undone."
    left = [_wanted(need) for need in needs if need["met"] is None]
    word = " or ".join(left) if part.join == "any" else " and ".join(left)
    return "not_yet", f"{name} has not begun: it needs {word or 'nothing more'}."


def _skipped(part: Step, name: str, needs: list[dict[str, Any]], history: list[Transition]) -> str:
    parked = stopped = False
    for one in history:
        parked = parked or (isinstance(one.data, t.StepParked) and one.address == name)
        if isinstance(one.data, t.StepsSkipped) and name in one.data.steps:
            break
        if isinstance(one.data, t.RunStopping | t.RunFailed | t.RunCancelled):
            stopped = True
            break
    if stopped:
        return f"{name} did not come to its end: the run was stopped."
    if parked:
        return f"{name} was parked, and a person skipped it."
    unmet = [need for need in needs if need["met"] is False]
    dead = unmet if part.join == "all" else unmet if len(unmet) == len(needs) else []
    if dead:
        return f"{name} did not run: it needs {_wanted(dead[0])}, but {dead[0]['step']} {_became(dead[0])}."
    return f"{name} did not run: its condition `{part.if_}` did not hold."


def _because(part: Step, needs: list[dict[str, Any]]) -> str:
    met = [need for need in needs if need["met"]]
    reasons = [f"{need['step']} {_became(need)}" for need in (met[:1] if part.join == "any" else met)]
    if part.if_ is not None:
        reasons.append(f"its condition `{part.if_}` held")
    return f" because {' and '.join(reasons)}" if reasons else ""


def _wanted(need: Mapping[str, Any]) -> str:
    return f"{need['step']}.{need['outcome']}" if need["outcome"] else str(need["step"])


def _became(need: Mapping[str, Any]) -> str:
    if need["state"] == "skipped":
        return "was skipped"
    return "is done" if need["ended"] in (None, "done") else f"ended as {need['ended']}"


def _since(history: list[Transition], name: str) -> int | None:
    """When the latest transition of the step was."""
    return next((one.at_ms for one in reversed(history) if one.address == name), None)


def _near(unclaimed: Iterable[UnclaimedEvent], run: Transition, step: str, wanted: set[str]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = [
        {
            "event": one.event.event,
            "event_id": one.event.id,
            "source": one.event.source,
            "at_ms": one.event.arrived_ms,
            "outcome": one.event.outcome,
            "reason": one.event.reason,
            "why": one.reason_words(),
        }
        for one in unclaimed
        if (one.event.definition, one.event.key) == (run.definition, run.key)
        and one.event.event in wanted
        and (one.event.run, one.event.step) in ((run.run, step), (run.run, None), (None, None))
    ]
    return sorted(found, key=lambda miss: -miss["at_ms"])[:NEAR]


def _stripped(text: str) -> str:
    return text.rstrip(". ")


def _waits(_progress: StepProgress, part: Step) -> str:
    events = [one.event for one in part.wait.events] if part.wait is not None else []
    return f"waits for {' or '.join(events)}"


def _calls(progress: StepProgress, _part: Step) -> str:
    if progress.children:
        return f"waits for the end of the run {progress.children[-1]}"
    return f"waits for the answer of {progress.operation or 'its operation'}, attempt {max(1, progress.attempts)},"


def _retries(progress: StepProgress, _part: Step) -> str:
    error = progress.error
    return f"waits for the next attempt after {error.code}" if error is not None else "waits for the next attempt"


def _asks(progress: StepProgress, _part: Step) -> str:
    who = ", ".join(progress.approval.who) if progress.approval is not None else ""
    return f"waits for a decision of {who}"


def _lists(progress: StepProgress, _part: Step) -> str:
    return f"has ended {progress.done + progress.failed} of {progress.total} items,"


_WAITING: dict[str, Callable[[StepProgress, Step], str]] = {
    "waiting": _waits,
    "delayed": lambda _progress, _part: "is delayed",
    "calling": _calls,
    "retrying": _retries,
    "suspended": lambda progress, _part: f"waits for the callback of {progress.operation or 'its operation'}",
    "listing": _lists,
    "awaiting_approval": _asks,
}
