"""How far each step of a run is, as its transitions say: attempts, errors, items of a list, child runs, approvals."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

from streamflow.engine import transitions as t
from streamflow.engine.transitions import Transition

State = Literal[
    "waiting",
    "delayed",
    "calling",
    "pausing",
    "suspended",
    "child",
    "items",
    "approval",
    "parked",
    "done",
    "failed",
    "skipped",
]

OPEN: frozenset[State] = frozenset(
    {"waiting", "delayed", "calling", "pausing", "suspended", "child", "items", "approval", "parked"}
)


@dataclass(frozen=True, slots=True)
class StepError:
    """An attempt that failed: of which item of a list, and when it is tried again (None: it is not)."""

    attempt: int | None
    code: str
    message: str
    item: int | None
    retry_ms: int | None


@dataclass(slots=True)
class StepProgress:
    """A step that has begun. `outcome` is how it ended; `until_ms` the end of what it waits for now. `parked` is why it
    cannot go on.

    Of a list, `total` are its items, `done` and `failed` those that have ended, `attempts` those of all items
    together."""

    state: State
    outcome: str | None = None
    until_ms: int | None = None
    operation: str | None = None
    attempts: int = 0
    error: StepError | None = None
    total: int | None = None
    done: int = 0
    failed: int = 0
    children: list[str] = field(default_factory=list)
    approval: t.ApprovalRequested | None = None
    decided: t.ApprovalGiven | None = None
    parked: str | None = None

    def words(self) -> str:
        """The state in a few words."""
        if self.state == "parked":
            return f"parked: {self.parked}"
        if self.state == "items":
            return f"{self.done + self.failed} of {self.total} items" + (
                f", {self.failed} failed" if self.failed else ""
            )
        if self.state == "calling":
            return f"attempt {self.attempts}" if self.attempts > 1 else "calling"
        if self.state == "pausing":
            return f"failed: {self.error.code}, tried again" if self.error is not None else "tried again"
        return {"child": "child run", "approval": "approval", "suspended": "waits for a callback"}.get(
            self.state, self.state
        )

    def facts(self) -> dict[str, Any]:
        """The progress as JSON would have it; what does not apply is left out."""
        found: dict[str, Any] = {
            "state": self.state,
            "outcome": self.outcome,
            "until_ms": self.until_ms,
            "operation": self.operation,
        }
        found |= {"attempts": self.attempts or None, "parked": self.parked, "children": self.children or None}
        if self.error is not None:
            error = self.error
            found["error"] = {
                "attempt": error.attempt,
                "code": error.code,
                "message": error.message,
                "item": error.item,
                "retry_ms": error.retry_ms,
            }
        if self.total is not None:
            found["items"] = {"total": self.total, "done": self.done, "failed": self.failed}
        if self.approval is not None:
            found["approval"] = {
                "text": self.approval.text,
                "who": list(self.approval.who),
                "form": self.approval.form,
                "due_ms": self.approval.due_ms,
            }
        if self.decided is not None:
            found["decision"] = {"decision": self.decided.decision, "by": self.decided.by, "data": self.decided.data}
        return {name: value for name, value in found.items() if value is not None}


def take(steps: dict[str, StepProgress], transition: Transition) -> None:
    """Takes `transition` into `steps`, by step id. Steps that have not begun are not there."""
    data, name, kind = transition.data, transition.step, type(transition.data)
    whole = _WHOLE.get(kind)
    if whole is not None:
        whole(steps, data, name or "")
    elif name and kind is not t.EventKept:
        step = steps.get(name)
        if step is None:
            step = steps[name] = StepProgress("done")
        _TAKE.get(kind, _end)(step, data, transition)


def _skip(steps: dict[str, StepProgress], data: t.StepsSkipped, _name: str) -> None:
    for skipped in data.steps:
        steps[skipped] = StepProgress("skipped")


def _retry(steps: dict[str, StepProgress], _data: t.StepRetried, name: str) -> None:
    """A parked step begins again: a call with further attempts, a list with the items that failed, others from their
    beginning."""
    step = steps.get(name)
    if step is None or not (step.attempts or step.children or step.total is not None):
        steps.pop(name, None)
        return
    step.state, step.outcome, step.parked = "calling" if step.total is None else "items", None, None
    step.failed = 0


def _stop(steps: dict[str, StepProgress], data: t.RunStopping, _name: str) -> None:
    """What is undone goes on until the run has ended; everything else ends now."""
    _close((step for name, step in steps.items() if not name.endswith(".undo")), data.ending == "failed")


def _end_run(steps: dict[str, StepProgress], data: t.RunFailed | t.RunCancelled, _name: str) -> None:
    _close(steps.values(), isinstance(data, t.RunFailed))


def _close(steps: Iterable[StepProgress], failed: bool) -> None:
    for step in steps:
        if step.state in OPEN:
            step.state = "failed" if failed else "skipped"


def _end(step: StepProgress, data: Any, _transition: Transition) -> None:
    outcome = getattr(data, "outcome", None) or getattr(data, "branch", None)
    step.state, step.outcome, step.until_ms = "done", outcome, None


def _wait(step: StepProgress, data: t.WaitStarted, _transition: Transition) -> None:
    step.state, step.until_ms = "waiting", data.due_ms


def _timed_out(step: StepProgress, _data: t.WaitTimedOut | t.ApprovalExpired, _transition: Transition) -> None:
    step.state, step.outcome, step.until_ms = "done", "timeout", None


def _delay(step: StepProgress, data: t.DelayStarted, _transition: Transition) -> None:
    step.state, step.until_ms = "delayed", data.until_ms


def _list(step: StepProgress, data: t.ItemsListed, _transition: Transition) -> None:
    step.state, step.total, step.until_ms = "items", len(data.items), data.deadline_ms


def _call(step: StepProgress, data: t.CallRequested, transition: Transition) -> None:
    step.operation = data.operation
    step.attempts = step.attempts + 1 if step.total is not None else transition.attempt or step.attempts + 1
    if step.total is None:
        step.state, step.until_ms = "calling", data.deadline_ms


def _child(step: StepProgress, data: t.ChildRequested, _transition: Transition) -> None:
    step.children.append(data.child)
    if step.total is None:
        step.state, step.until_ms = "child", data.due_ms


def _suspend(step: StepProgress, data: t.AttemptSuspended, _transition: Transition) -> None:
    if step.total is None:
        step.state, step.until_ms = "suspended", data.due_ms


def _succeed(step: StepProgress, _data: t.AttemptSucceeded, _transition: Transition) -> None:
    if step.total is not None:
        step.done += 1
    else:
        step.state, step.outcome, step.until_ms = "done", "done", None


def _fail(step: StepProgress, data: t.AttemptFailed, transition: Transition) -> None:
    step.error = StepError(transition.attempt, data.code, data.message, data.item, data.retry_ms)
    if step.total is not None:
        step.failed += data.retry_ms is None
    elif data.retry_ms is not None:
        step.state, step.until_ms = "pausing", data.retry_ms
    else:
        step.state, step.outcome, step.until_ms = "failed", data.outcome, None


def _items_ended(step: StepProgress, data: t.ItemsEnded, _transition: Transition) -> None:
    step.state, step.outcome, step.until_ms = "failed" if data.failed else "done", data.outcome, None


def _ask(step: StepProgress, data: t.ApprovalRequested, _transition: Transition) -> None:
    step.state, step.approval, step.until_ms = "approval", data, data.due_ms


def _decide(step: StepProgress, data: t.ApprovalGiven, _transition: Transition) -> None:
    step.state, step.outcome, step.decided, step.until_ms = "done", data.decision, data, None


def _park(step: StepProgress, data: t.StepParked, _transition: Transition) -> None:
    step.state, step.parked, step.until_ms = "parked", data.code, None


_WHOLE: dict[type, Any] = {
    t.StepsSkipped: _skip,
    t.StepRetried: _retry,
    t.RunStopping: _stop,
    t.RunCompleted: lambda steps, data, name: None,
    t.RunFailed: _end_run,
    t.RunCancelled: _end_run,
}
_TAKE: dict[type, Any] = {
    t.WaitStarted: _wait,
    t.WaitTimedOut: _timed_out,
    t.DelayStarted: _delay,
    t.ItemsListed: _list,
    t.CallRequested: _call,
    t.ChildRequested: _child,
    t.AttemptSuspended: _suspend,
    t.AttemptSucceeded: _succeed,
    t.AttemptFailed: _fail,
    t.ItemsEnded: _items_ended,
    t.ApprovalRequested: _ask,
    t.ApprovalGiven: _decide,
    t.ApprovalExpired: _timed_out,
    t.StepParked: _park,
}


def progress_of(history: Iterable[Transition]) -> dict[str, StepProgress]:
    """The steps of a run that have begun, by id, in the order in which they did."""
    steps: dict[str, StepProgress] = {}
    for transition in history:
        take(steps, transition)
    return steps


def step_states(history: Iterable[Transition]) -> dict[str, str]:
    """How far each step of a run is, as diagrams colour it: done, waiting, skipped, parked or failed."""
    return {
        name: step.state if step.state in ("done", "skipped", "parked", "failed") else "waiting"
        for name, step in progress_of(history).items()
    }
