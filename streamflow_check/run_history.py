"""One run, folded from its transitions by the contract of `runs` alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

ENDINGS = frozenset({"RunCompleted", "RunFailed", "RunCancelled"})
_ATTEMPT = frozenset({"CallRequested", "ChildRequested", "AttemptSuspended", "AttemptSucceeded", "AttemptFailed"})
ASKING = frozenset({"CallRequested", "ChildRequested"})
RESULTS = frozenset({"AttemptSucceeded", "AttemptFailed"})
ANY = "*"  # an outcome or status that the contract leaves to the definition


class Step(NamedTuple):
    """How far a step is. `due_ms` is the timer that is armed for it."""

    status: str
    outcome: str | None = None
    due_ms: int | None = None


def _done(data: Mapping[str, Any]) -> Step:
    return Step("done", "done")


def _timed_out(data: Mapping[str, Any]) -> Step:
    return Step("done", "timeout")


def _asked(data: Mapping[str, Any]) -> Step:
    return Step("calling", None, data.get("due_ms"))


def _failed(data: Mapping[str, Any]) -> Step:
    if data.get("outcome") is not None:
        return Step("done", data["outcome"])
    return Step("retrying", None, data.get("retry_ms"))


def _items_ended(data: Mapping[str, Any]) -> Step:
    return Step("done", data["outcome"]) if data["outcome"] is not None else Step("listing")


_STEPS: dict[str, Callable[[Mapping[str, Any]], Step]] = {
    "WaitStarted": lambda data: Step("waiting", None, data["due_ms"]),
    "WaitSatisfied": lambda data: Step("done", data["outcome"]),
    "WaitTimedOut": _timed_out,
    "BranchChosen": lambda data: Step("done", data["branch"] or "none"),
    "ValuesSet": _done,
    "EventEmitted": _done,
    "DelayStarted": lambda data: Step("delayed", None, data["until_ms"]),
    "DelayElapsed": _done,
    "LinePrinted": _done,
    "RequirementMet": _done,
    "ItemsListed": lambda data: Step("listing", None, data["deadline_ms"]),
    "CallRequested": _asked,
    "ChildRequested": _asked,
    "AttemptSuspended": lambda data: Step("suspended", None, data["due_ms"]),
    "AttemptSucceeded": _done,
    "AttemptFailed": _failed,
    "ItemsEnded": _items_ended,
    "ApprovalRequested": lambda data: Step("awaiting_approval", None, data["due_ms"]),
    "ApprovalGiven": lambda data: Step("done", data["decision"]),
    "ApprovalExpired": _timed_out,
    "StepParked": lambda data: Step("parked"),
}
"""What each fact about a step makes of it."""

FACTS = _STEPS.keys() | ENDINGS | {"RunStarted", "RunStopping", "StepsSkipped", "StepRetried"}
"""The names of all facts of the contract."""


class Attempt(NamedTuple):
    step: str
    item: int | None
    number: int


def address_of(told: Mapping[str, Any]) -> str:
    """The address of the step that a transition is about; empty if it is about the run."""
    scope, step = told.get("scope"), told.get("step") or ""
    return f"{scope}.{step}" if scope else step


class Run:
    """The fold of one run's transitions, each taken once and in order."""

    __slots__ = (
        "asked",
        "child",
        "consumed",
        "definition",
        "ended",
        "ended_ms",
        "item_due",
        "key",
        "last_ms",
        "partial",
        "prints",
        "results",
        "revision",
        "run",
        "seq",
        "sha",
        "started_ms",
        "steps",
        "succeeded",
        "trigger",
        "version",
    )

    def __init__(self, run: str, definition: str, version: str, key: str) -> None:
        self.run, self.definition, self.version, self.key = run, definition, version, key
        self.seq = 0
        self.sha = self.revision = self.trigger = ""
        self.started_ms = self.last_ms = self.ended_ms = 0
        self.ended = ""  # the name of the last transition
        self.child = False  # another run waits for its end
        self.partial = False  # its beginning is no longer kept
        self.steps: dict[str, Step] = {}
        self.item_due: dict[tuple[str, int], int] | None = None  # armed timers of items
        self.consumed: tuple[tuple[str, str, str], ...] = ()  # name, source and id of events that its waits took
        self.asked: dict[Attempt, str] = {}  # what was asked for: the operation
        self.results: dict[Attempt, str] = {}
        self.succeeded: set[tuple[str, int | None]] = set()
        self.prints: list[int] = []  # of each transition; 0 for one that is missing

    def take(self, kind: str, told: Mapping[str, Any]) -> None:
        """The next transition."""
        data, step, at_ms = told.get("data") or {}, address_of(told), told["at_ms"]
        self.seq, self.last_ms = told["seq"], at_ms
        if kind == "RunStarted":
            self.sha, self.revision, self.trigger = (
                data.get("sha", ""),
                data.get("revision", ""),
                data.get("trigger", ""),
            )
            self.started_ms, self.child = at_ms, data.get("parent") is not None
        elif kind == "StepsSkipped":
            for name in data["steps"]:
                self.steps[name] = Step("skipped")
        elif kind in ENDINGS:
            self.ended, self.ended_ms = kind, at_ms
        elif kind in _ATTEMPT and data.get("item") is not None:
            self._item(kind, step, data)
        elif kind == "StepRetried":
            self.steps.pop(step, None)
            if any(asked.step == step for asked in self.asked):
                self.steps[step] = Step(ANY)
        elif kind == "RunStopping":
            under_way = {one["address"]: one for one in data.get("under_way", ())}
            self.steps = {
                name: step._replace(due_ms=under_way[name].get("due_ms")) if name in under_way else Step(ANY)
                for name, step in self.steps.items()
            }
            items = {(name, item) for name, one in under_way.items() for item in one.get("items", ())}
            self.item_due = {place: due for place, due in (self.item_due or {}).items() if place in items}
        elif step and kind in _STEPS:
            self.steps[step] = _STEPS[kind](data)
            if self.item_due and kind in ("ItemsEnded", "StepParked"):
                self.item_due = {place: due for place, due in self.item_due.items() if place[0] != step}

    def _item(self, kind: str, step: str, data: Mapping[str, Any]) -> None:
        dues = self.item_due = self.item_due if self.item_due is not None else {}
        due = (
            data.get("retry_ms")
            if kind == "AttemptFailed"
            else data.get("due_ms")
            if kind != "AttemptSucceeded"
            else None
        )
        if due is None:
            dues.pop((step, data["item"]), None)
        else:
            dues[step, data["item"]] = due

    @property
    def parked(self) -> bool:
        return any(step.status == "parked" for step in self.steps.values())

    def timers(self) -> set[str]:
        """The armed timers, as `<due ms>/<run>/<step>[/<item>]`; none of a run that has ended."""
        if self.ended:
            return set()
        found = {
            f"{step.due_ms:015d}/{self.run}/{name}" for name, step in self.steps.items() if step.due_ms is not None
        }
        if self.item_due:
            found |= {f"{due:015d}/{self.run}/{name}/{item}" for (name, item), due in self.item_due.items()}
        return found

    @property
    def status(self) -> str:
        """As `streamflow runs list` names it."""
        if self.ended:
            return self.ended.removeprefix("Run").lower()
        return "parked" if self.parked else "open"
