"""Transitions: facts inside a run, past tense, numbered by `seq`. What everybody may consume; the state is their fold.

A transition carries all that evolving it needs, so that re-emission is exact. A released fact is never edited; a change
adds a V2. Those of calls, child runs and lists are in `attempt_transitions`.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from streamflow.engine.address import address_of
from streamflow.engine.attempt_transitions import (
    AttemptFailed,
    AttemptSucceeded,
    AttemptSuspended,
    CallRequested,
    ChildRequested,
    ItemsEnded,
    ItemsListed,
)
from streamflow.engine.commands import Event, Parent


class RunStarted(Struct, frozen=True, gc=False, omit_defaults=True):
    """A run has begun."""

    trigger: str
    """The trigger that started it; empty: a request or a parent run."""

    event: Event
    """The event, or the input, that it was started with."""

    sha: str
    """The sha256 of its content."""

    revision: str
    """The revision of the engine."""

    parent: Parent | None = None
    """The step of another run that waits for its end."""

    at: int = 0
    """The offset in `definitions` at or below which its content was read."""

    trace: str | None = None
    """The W3C traceparent of its start."""

    offset: int = 0
    """The offset of the start command in `commands`."""

    tracestate: str = ""
    """The W3C tracestate that belongs to `trace`."""

    recorded: bool = False
    """Whether spans are made of what the run does."""

    correlation_id: str = ""
    """What its caller knows the run by; empty: nothing."""


class WaitStarted(Struct, frozen=True, gc=False, omit_defaults=True):
    """The step waits for one of several events."""

    events: tuple[str, ...]
    """Their names, sorted."""

    due_ms: int | None
    """Until when, in epoch milliseconds; None: forever."""

    since_offset: int | None = None
    """With `since: here`: only events that were delivered after this offset in `commands` count."""


class WaitSatisfied(Struct, frozen=True, gc=False, omit_defaults=True):
    """The wait has claimed an event."""

    outcome: str
    """The clause that accepted the event."""

    event: Event
    """The event; its name, source and id identify it."""

    offset: int = 0
    """The offset of the delivery of the event in `commands`."""

    is_copy: bool = False
    """Whether the wait took a copy (`take: every`); else it consumed the event."""


class WaitTimedOut(Struct, frozen=True, gc=False):
    due_ms: int


class BranchChosen(Struct, frozen=True, gc=False):
    """None: no condition held and there was no branch without one."""

    branch: str | None


class ValuesSet(Struct, frozen=True, gc=False):
    values: dict[str, Any]


class EventEmitted(Struct, frozen=True, gc=False):
    """An event is published, to the topic that its name is bound to."""

    event: str
    """Its name in the catalog."""

    id: str
    """Its id, `<run>/<seq>`: a repeated copy has the same."""

    key: str
    """Its key."""

    data: dict[str, Any]
    """Its payload."""


class DelayStarted(Struct, frozen=True, gc=False):
    until_ms: int


class DelayElapsed(Struct, frozen=True, gc=False):
    until_ms: int


class LinePrinted(Struct, frozen=True, gc=False):
    text: str


class RequirementMet(Struct, frozen=True, gc=False):
    """The condition that a step requires holds."""


class ApprovalRequested(Struct, frozen=True, gc=False):
    """People are asked for a decision."""

    text: str
    """The question."""

    who: tuple[str, ...]
    """The names or groups of those who may decide."""

    form: Any
    """The JSON Schema of what they fill in, or None."""

    due_ms: int | None
    """When the question times out, in epoch milliseconds; None: never."""


class ApprovalGiven(Struct, frozen=True, gc=False):
    """A person has decided."""

    decision: str
    """`approved` or `rejected`."""

    by: str
    """Who decided."""

    data: Any
    """What they filled in, or None."""


class ApprovalExpired(Struct, frozen=True, gc=False):
    due_ms: int


class UnderWay(Struct, frozen=True, gc=False, omit_defaults=True):
    """A step with attempts under way, whose end a run that is stopping waits for; or a list without any, of which items
    have succeeded."""

    address: str
    """The address of the step."""

    due_ms: int | None = None
    """When its attempt counts as lost, in epoch milliseconds; None: it is a child run, or a list."""

    items: tuple[int, ...] = ()
    """Of a list: the items with an attempt under way."""


class RunStopping(Struct, frozen=True, gc=False, omit_defaults=True):
    """The run is going to end. No further step begins; what does not wait for an answer counts as skipped."""

    ending: str
    """How it will end: `failed` or `cancelled`."""

    reason: str
    """Why it ends."""

    undo: tuple[str, ...]
    """The steps that are undone before its end, in this order. Each waits for the attempts under way of its own step
    and of those that called something later."""

    under_way: tuple[UnderWay, ...] = ()
    """The steps with attempts under way. They are cancelled, and their answers are waited for."""


class StepsSkipped(Struct, frozen=True, gc=False):
    """These steps can no longer begin, or their `if` did not hold."""

    steps: tuple[str, ...]


class StepParked(Struct, frozen=True, gc=False, omit_defaults=True):
    """The step cannot continue; a person retries it, skips it, or fails the run. `at` names the part of the step that
    failed."""

    code: str
    at: str

    detail: str = ""
    """Which operand, field or size it was, with the kinds of values and never a value; empty where `code` and `at` say
    all, or where `AttemptFailed` before it does."""


class StepRetried(Struct, frozen=True, gc=False, omit_defaults=True):
    """The parked step continues. `deadline_ms`: of a list whose work has a time, when that is over once more."""

    deadline_ms: int | None = None


class RunCompleted(Struct, frozen=True, gc=False, omit_defaults=True):
    """`ended`: the last steps that were done, each with its outcome (`accepted.declined`), in plan order. `output`: of
    the step that the definition names for it."""

    ended: tuple[str, ...]
    output: Any = None


class RunFailed(Struct, frozen=True, gc=False):
    reason: str


class RunCancelled(Struct, frozen=True, gc=False):
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
    | RequirementMet
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


class Transition(Struct, frozen=True, gc=False, omit_defaults=True):
    """One fact of one run: the value of a record in `runs` (a public contract). Its type is the class of `data`, named
    in `ce_type`."""

    run: str
    """The run id."""

    definition: str
    """The name of the run's definition."""

    version: str
    """The version of the run's definition."""

    key: str
    """The business key."""

    seq: int
    """The number of the transition in its run, from 1 without gaps."""

    at_ms: int
    """When it happened, in epoch milliseconds of the partition's time."""

    cause: str
    """The id of the command that led to it."""

    data: Any
    """The fact."""

    step: str | None = None
    """The id of the step that it is about; None: the run as a whole."""

    attempt: int | None = None
    """The number of the attempt that it is about."""

    scope: str = ""
    """The scope of the step (`handling[2]`); empty, and omitted: the run itself."""

    @property
    def address(self) -> str:
        """The address of the step that the fact is about; empty for a fact about the run."""
        return address_of(self.scope, self.step or "") if self.scope else self.step or ""

    @property
    def type(self) -> str:
        return type(self.data).__name__
