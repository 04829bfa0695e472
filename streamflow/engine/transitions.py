"""Transitions: facts inside a run, past tense, numbered by `seq`. What everybody may consume; the state is their fold.

A transition carries all that evolving it needs, so that re-emission is exact. A released fact is never edited; a change adds a V2.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from streamflow.engine.commands import Event


class RunStarted(Struct, frozen=True):
    trigger: str
    event: Event
    sha: str
    revision: str


class WaitStarted(Struct, frozen=True):
    """The step waits for one of `events`, until `due_ms` (None: for ever)."""

    events: tuple[str, ...]
    due_ms: int | None


class WaitSatisfied(Struct, frozen=True):
    """`event` came; the wait's outcome is the clause it met."""

    outcome: str
    event: Event


class WaitTimedOut(Struct, frozen=True):
    due_ms: int


class EventKept(Struct, frozen=True):
    """`event` came ahead of its wait, and is kept until `until_ms` (None: the run is parked, and a wait after that may have it)."""

    event: Event
    until_ms: int | None


class BranchChosen(Struct, frozen=True):
    """None: no condition held and there was no branch without one."""

    branch: str | None


class ValuesSet(Struct, frozen=True):
    values: dict[str, Any]


class EventEmitted(Struct, frozen=True):
    """The event `id` is published to `topic` under `key`."""

    event: str
    topic: str
    id: str
    key: str
    data: dict[str, Any]


class DelayStarted(Struct, frozen=True):
    until_ms: int


class DelayElapsed(Struct, frozen=True):
    until_ms: int


class LinePrinted(Struct, frozen=True):
    text: str


class StepsSkipped(Struct, frozen=True):
    """These steps can no longer begin, or their `if` did not hold."""

    steps: tuple[str, ...]


class StepParked(Struct, frozen=True):
    """The step cannot go on; a person retries it, skips it, or fails the run. `at` names the part of the step that failed.
    What the run keeps is kept for as long as that takes."""

    code: str
    at: str


class StepRetried(Struct, frozen=True):
    pass


class RunCompleted(Struct, frozen=True):
    """`ended`: the last steps that were done, each with its outcome (`accepted.declined`), in plan order."""

    ended: tuple[str, ...]


class RunFailed(Struct, frozen=True):
    reason: str


class RunCancelled(Struct, frozen=True):
    reason: str


Fact = (
    RunStarted
    | WaitStarted
    | WaitSatisfied
    | WaitTimedOut
    | EventKept
    | BranchChosen
    | ValuesSet
    | EventEmitted
    | DelayStarted
    | DelayElapsed
    | LinePrinted
    | StepsSkipped
    | StepParked
    | StepRetried
    | RunCompleted
    | RunFailed
    | RunCancelled
)
FACTS: dict[str, type[Struct]] = {fact.__name__: fact for fact in Fact.__args__}
ENDINGS = (RunCompleted, RunFailed, RunCancelled)


class Transition(Struct, frozen=True, omit_defaults=True):
    """One fact of one run: the value of a record in `runs` (a public contract). Its type is the class of `data`, named in `ce_type`."""

    run: str
    definition: str
    version: str
    key: str
    seq: int
    at_ms: int
    cause: str
    data: Any
    step: str | None = None
    attempt: int | None = None

    @property
    def type(self) -> str:
        return type(self.data).__name__
