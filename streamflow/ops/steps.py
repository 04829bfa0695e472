"""How far each step of a run is, folded from its transitions: attempts, errors, items of a list, child runs,
approvals."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from streamflow.definition.plan import NO_OUTCOME
from streamflow.engine import transitions as t
from streamflow.engine.attempt_transitions import AttemptFailed, CallRequested, ChildRequested
from streamflow.engine.evolve import FACT_RULES, parked_after, retried_after, stopped_after
from streamflow.engine.state import Status, StepState
from streamflow.engine.steps.kind import SKIPPED, STATUS_WORDS
from streamflow.engine.transitions import Transition

OPEN: frozenset[Status] = frozenset(STATUS_WORDS) - {"done", "skipped"}


@dataclass(frozen=True, slots=True, kw_only=True)
class StepError:
    """An attempt that failed."""

    attempt: int | None
    code: str
    message: str

    item: int | None
    """The item of a list that it was for."""

    retry_ms: int | None
    """When it is retried, in epoch milliseconds (None: it is not)."""


@dataclass(slots=True, kw_only=True)
class StepProgress:
    """A step that has begun."""

    now: StepState | None = None
    """Its state, as the engine has it (None: only while its first transition is being taken)."""

    operation: str | None = None
    """Of a call: the operation."""

    attempts: int = 0
    """Attempts of a call so far; of a list, those of all items together."""

    error: StepError | None = None
    """The latest attempt that failed."""

    children: list[str] = field(default_factory=list)
    """The ids of the child runs that it started."""

    approval: t.ApprovalRequested | None = None
    decided: t.ApprovalGiven | None = None

    parked: str | None = None
    """The code of what it was parked for."""

    parked_detail: str = ""
    """Which operand, field or size that was; empty where the code says all."""

    run_failed: bool = False
    """Whether it was still open when the run failed."""

    @property
    def state(self) -> Status:
        assert self.now is not None
        return self.now.status

    @property
    def outcome(self) -> str | None:
        """How it ended."""
        return self.now.outcome if self.now is not None else None

    @property
    def until_ms(self) -> int | None:
        """The end of what it waits for now, in epoch milliseconds."""
        if self.now is None:
            return None
        return self.now.deadline_ms if self.now.status == "calling" else self.now.due_ms

    @property
    def total(self) -> int | None:
        """Of a list: how many items it has."""
        return self.now.items.total if self.now is not None and self.now.items is not None else None

    @property
    def done(self) -> int:
        """Of a list: how many items have succeeded."""
        return self.now.items.ended - self.now.items.failed if self.now is not None and self.now.items else 0

    @property
    def failed(self) -> int:
        """Of a list: how many items have failed."""
        return self.now.items.failed if self.now is not None and self.now.items else 0

    def words(self) -> str:
        """The state in a few words, for a list; `parked_detail` says more."""
        words = STATUS_WORDS[self.state]
        if self.state == "parked":
            return f"{words}: {self.parked}"
        if self.state == "listing":
            failed = f", {self.failed} failed" if self.failed else ""
            return f"{self.done + self.failed} of {self.total} {words}{failed}"
        if self.state == "calling":
            if self.children:
                return "child run"
            return f"attempt {self.attempts}" if self.attempts > 1 else words
        if self.state == "retrying" and self.error is not None:
            return f"{words} after {self.error.code}"
        return words

    def facts(self) -> dict[str, Any]:
        """The progress as JSON data; what does not apply is left out."""
        found: dict[str, Any] = {
            "state": self.state,
            "outcome": self.outcome,
            "until_ms": self.until_ms,
            "operation": self.operation,
        }
        found |= {
            "attempts": self.attempts or None,
            "parked": self.parked,
            "parked_detail": self.parked_detail or None,
            "children": self.children or None,
        }
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
    data, name = transition.data, transition.address
    whole = _WHOLE_RUN.get(type(data))
    if whole is not None:
        whole(steps, data, name)
        return
    rule = FACT_RULES[type(data)]
    if rule.step is None or not name:
        return
    step = steps.setdefault(name, StepProgress())
    step.now = rule.step(step.now, transition)
    detail = _DETAILS.get(type(data))
    if detail is not None:
        detail(step, data, transition)


def _skip(steps: dict[str, StepProgress], data: t.StepsSkipped, _name: str) -> None:
    for skipped in data.steps:
        steps[skipped] = StepProgress(now=SKIPPED)


def _park(steps: dict[str, StepProgress], data: t.StepParked, name: str) -> None:
    step = steps.setdefault(name, StepProgress())
    step.now, step.parked, step.parked_detail = parked_after(step.now), data.code, data.detail


def _retry(steps: dict[str, StepProgress], data: t.StepRetried, name: str) -> None:
    """A parked step begins again: a call with further attempts, a list with the items that failed, others from their
    beginning."""
    step = steps.get(name)
    after = retried_after(step.now, data.deadline_ms) if step is not None and step.now is not None else None
    if step is None or after is None:
        steps.pop(name, None)
        return
    step.now, step.parked, step.parked_detail = after, None, ""


def _stop(steps: dict[str, StepProgress], data: t.RunStopping, _name: str) -> None:
    """What has attempts under way is waited for; everything else ends now."""
    under_way = {one.address: one for one in data.under_way}
    for name, one in under_way.items():
        step = steps.get(name)
        if step is not None and step.now is not None:
            step.now = stopped_after(step.now, one)
    _close((step for name, step in steps.items() if name not in under_way), data.ending == "failed")


def _end_run(steps: dict[str, StepProgress], data: t.RunFailed | t.RunCancelled, _name: str) -> None:
    _close(steps.values(), isinstance(data, t.RunFailed))


def _close(steps: Iterable[StepProgress], failed: bool) -> None:
    for step in steps:
        if step.state in OPEN:
            step.now, step.run_failed = SKIPPED, failed


def _call(step: StepProgress, data: CallRequested, transition: Transition) -> None:
    step.operation = data.operation
    step.attempts = step.attempts + 1 if step.total is not None else transition.attempt or step.attempts + 1


def _child(step: StepProgress, data: ChildRequested, _transition: Transition) -> None:
    step.children.append(data.child)


def _fail(step: StepProgress, data: AttemptFailed, transition: Transition) -> None:
    step.error = StepError(
        attempt=transition.attempt, code=data.code, message=data.message, item=data.item, retry_ms=data.retry_ms
    )


def _ask(step: StepProgress, data: t.ApprovalRequested, _transition: Transition) -> None:
    step.approval = data


def _decide(step: StepProgress, data: t.ApprovalGiven, _transition: Transition) -> None:
    step.decided = data


_WHOLE_RUN: dict[type, Callable[[dict[str, StepProgress], Any, str], None]] = {
    t.StepsSkipped: _skip,
    t.StepParked: _park,
    t.StepRetried: _retry,
    t.RunStopping: _stop,
    t.RunFailed: _end_run,
    t.RunCancelled: _end_run,
}
_DETAILS: dict[type, Callable[[StepProgress, Any, Transition], None]] = {
    CallRequested: _call,
    ChildRequested: _child,
    AttemptFailed: _fail,
    t.ApprovalRequested: _ask,
    t.ApprovalGiven: _decide,
}
"""What is shown of facts beside the state that they lead to."""


def progress_of(history: Iterable[Transition]) -> dict[str, StepProgress]:
    """The steps of a run that have begun, by id, in the order in which they did."""
    steps: dict[str, StepProgress] = {}
    for transition in history:
        take(steps, transition)
    return steps


def step_states(history: Iterable[Transition]) -> dict[str, str]:
    """How far each step of a run is, as diagrams colour it: done, waiting, skipped, parked or failed."""
    return {name: _colour(step) for name, step in progress_of(history).items()}


def _colour(step: StepProgress) -> str:
    if step.run_failed or (step.state == "done" and step.outcome in NO_OUTCOME and step.error is not None):
        return "failed"
    return step.state if step.state in ("done", "skipped", "parked") else "waiting"
