"""Transitions: facts inside a run, past tense, numbered by `seq`. What everybody may consume; the state is their fold.

A transition carries all that evolving it needs, so that re-emission is exact. A released fact is never edited; a change
adds a V2.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from streamflow.engine.commands import Event, Parent


class RunStarted(Struct, frozen=True, omit_defaults=True):
    """A run of the content `sha`, which was read at or below the offset `at` in `definitions`, began by `trigger`
    (empty: a caller or `parent` asked for it)."""

    trigger: str
    event: Event
    sha: str
    revision: str
    parent: Parent | None = None
    at: int = 0
    offset: int = 0  # of the start command in `commands`


class WaitStarted(Struct, frozen=True, omit_defaults=True):
    """The step waits for one of `events`, until `due_ms` (None: forever)."""

    events: tuple[str, ...]
    due_ms: int | None
    since_offset: int | None = None  # with `since: here`: only events delivered after this offset in `commands` count


class WaitSatisfied(Struct, frozen=True, omit_defaults=True):
    """The wait has claimed `event`, which name, source and id identify; its outcome is the clause that accepted it."""

    outcome: str
    event: Event
    offset: int = 0  # of the delivery of the event in `commands`
    is_copy: bool = False  # the wait took a copy (`take: every`); else it consumed the event


class WaitTimedOut(Struct, frozen=True):
    due_ms: int


class BranchChosen(Struct, frozen=True):
    """None: no condition held and there was no branch without one."""

    branch: str | None


class ValuesSet(Struct, frozen=True):
    values: dict[str, Any]


class EventEmitted(Struct, frozen=True):
    """The event `id` is published under `key`, to the topic that its name is bound to."""

    event: str
    id: str
    key: str
    data: dict[str, Any]


class DelayStarted(Struct, frozen=True):
    until_ms: int


class DelayElapsed(Struct, frozen=True):
    until_ms: int


class LinePrinted(Struct, frozen=True):
    text: str


class ItemsListed(Struct, frozen=True, omit_defaults=True):
    """The step's work is to be done for each of `items`, by `deadline_ms` (None: no limit). `unseen`: as for
    CallRequested."""

    items: tuple[Any, ...]
    deadline_ms: int | None
    unseen: tuple[str, ...] = ()


class CallRequested(Struct, frozen=True, omit_defaults=True):
    """An attempt of a call is on its way to `lane`, or of one `item` of a list. It is lost when nothing is heard of it
    until `due_ms`. `deadline_ms` is the end of the step as a whole. The attempt's number is the transition's `attempt`;
    the first `spent` of them were before a person's retry. `armed_ms` is the timer that this ends, of an item.
    `unseen`, of a first attempt, are steps that its values name and that had not ended: later attempts do not see their
    outputs either, so that they are given the same."""

    operation: str
    lane: str
    input: Any
    due_ms: int
    deadline_ms: int | None = None
    spent: int = 0
    item: int | None = None
    armed_ms: int | None = None
    unseen: tuple[str, ...] = ()


class ChildRequested(Struct, frozen=True, omit_defaults=True):
    """A run of another definition is asked for. `due_ms`: when it is given up (None: never). `unseen`: as for
    CallRequested."""

    child: str
    definition: str
    version: str
    key: str
    input: Any
    due_ms: int | None = None
    spent: int = 0
    item: int | None = None
    unseen: tuple[str, ...] = ()


class AttemptSuspended(Struct, frozen=True, omit_defaults=True):
    """Somebody outside was given the attempt and calls back, until `due_ms`. `armed_ms` and `spent` are an item's, as
    for CallRequested."""

    due_ms: int
    item: int | None = None
    armed_ms: int | None = None
    spent: int = 0


class AttemptSucceeded(Struct, frozen=True, omit_defaults=True):
    output: Any
    item: int | None = None
    armed_ms: int | None = None


class AttemptFailed(Struct, frozen=True, omit_defaults=True):
    """`retry_ms`: when it is tried again (or given up for its deadline). Without it the step ends with `outcome`
    (`failure` or `timeout`), is parked by the next transition, or, of a list, this item has failed."""

    code: str
    message: str
    retry_ms: int | None = None
    outcome: str | None = None
    item: int | None = None
    armed_ms: int | None = None
    spent: int = 0


class ItemsEnded(Struct, frozen=True):
    """All items have ended, `failed` of them in vain. `outcome`: `done`, `failure`, `timeout`, or None when the step is
    parked next."""

    total: int
    failed: int
    outcome: str | None


class ApprovalRequested(Struct, frozen=True):
    text: str
    who: tuple[str, ...]
    form: Any
    due_ms: int | None


class ApprovalGiven(Struct, frozen=True):
    """`decision`: approved or rejected."""

    decision: str
    by: str
    data: Any


class ApprovalExpired(Struct, frozen=True):
    due_ms: int


class RunStopping(Struct, frozen=True):
    """The run ends as `ending` (`failed` or `cancelled`) once the steps in `undo` are undone, in this order. Nothing
    else of it goes on."""

    ending: str
    reason: str
    undo: tuple[str, ...]


class StepsSkipped(Struct, frozen=True):
    """These steps can no longer begin, or their `if` did not hold."""

    steps: tuple[str, ...]


class StepParked(Struct, frozen=True):
    """The step cannot go on; a person retries it, skips it, or fails the run. `at` names the part of the step that
    failed."""

    code: str
    at: str


class StepRetried(Struct, frozen=True, omit_defaults=True):
    """The parked step goes on. `deadline_ms`: of a list whose work has a time, when that is over once more."""

    deadline_ms: int | None = None


class RunCompleted(Struct, frozen=True, omit_defaults=True):
    """`ended`: the last steps that were done, each with its outcome (`accepted.declined`), in plan order. `output`: of
    the step that the definition names for it."""

    ended: tuple[str, ...]
    output: Any = None


class RunFailed(Struct, frozen=True):
    reason: str


class RunCancelled(Struct, frozen=True):
    reason: str


Fact = (
    RunStarted
    | WaitStarted
    | WaitSatisfied
    | WaitTimedOut
    | BranchChosen
    | ValuesSet
    | EventEmitted
    | DelayStarted
    | DelayElapsed
    | LinePrinted
    | ItemsListed
    | CallRequested
    | ChildRequested
    | AttemptSuspended
    | AttemptSucceeded
    | AttemptFailed
    | ItemsEnded
    | ApprovalRequested
    | ApprovalGiven
    | ApprovalExpired
    | RunStopping
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
    """One fact of one run: the value of a record in `runs` (a public contract). Its type is the class of `data`, named
    in `ce_type`."""

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
