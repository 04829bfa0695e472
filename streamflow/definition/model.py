"""The definition as authors write it: flat, typed, every collection an array of items with an `id`.

Arrays rather than maps with free keys, so that a strict JSON schema can express it and a language model can edit it.
Whether the parts fit together is `check`'s business; this module only knows the shape.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from streamflow.definition import duration

Id = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,63}$")]
FieldName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_-]{0,99}$")]
Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,99}$")]
EventName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9._-]{0,199}$")]
Version = Annotated[str, StringConstraints(pattern=r"^[0-9A-Za-z][0-9A-Za-z.-]{0,39}$")]
Need = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,63}(\.[a-z][a-z0-9_]{0,63})?$")]
Duration = Annotated[str, StringConstraints(pattern=duration.PATTERN)]
Expression = Annotated[str, StringConstraints(min_length=1, max_length=4000)]
OperationName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]{0,49}(\.[a-z][a-z0-9_-]{0,49}){0,3}$")]
Lane = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,49}$")]
ErrorCode = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,63}$")]
Who = Annotated[str, StringConstraints(min_length=1, max_length=100)]


class Part(BaseModel):
    """Every part of a definition: closed (an unknown field is a mistake) and immutable."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class Mapping(Part):
    """One named value, computed by a CEL expression. The name is a field of somebody's event, so it may be spelt as
    they spell it."""

    name: FieldName
    expr: Expression


class Trigger(Part):
    """A rule that starts a run: an event of the catalog, an optional condition on it, and where the business key is."""

    id: Id
    event: EventName
    where: Expression | None = None
    key: Expression | None = None  # absent: the key that the catalog declares for the event


class WaitEvent(Part):
    """One of the events that a wait is for. Its `id` is the outcome of the wait when it comes."""

    id: Id
    event: EventName
    where: Expression | None = None
    key: Expression | None = None  # absent: the run's own business key


class Wait(Part):
    """Wait for the first of `events`; after `within` the wait's outcome is `timeout`. One of `within` and `forever` is
    required.

    The wait counts events that came after its point, and those that came at most `keep` before it. The point is the
    start of the run (`since: run`, the default) or the beginning of this wait (`since: here`). With `take: one` it
    consumes the event, which no other run of the definition then gets; with `take: every` it takes a copy, and leaves
    the event to others."""

    events: list[WaitEvent] = Field(min_length=1)
    within: Duration | None = None
    forever: bool = False
    since: Literal["run", "here"] | None = None  # absent: run; required where an old event could meet the wait
    keep: Duration | None = None  # absent: nothing from before the point counts
    take: Literal["one", "every"] | None = None  # absent: one


class Branch(Part):
    """One way out of a `choose`. The first whose `if` holds is taken; one without `if` is the way out when none
    does."""

    id: Id
    if_: Expression | None = Field(default=None, alias="if")


class Emit(Part):
    """Publish an event of the catalog to the first of its topics."""

    event: EventName
    data: list[Mapping] = Field(default_factory=list)
    key: Expression | None = None  # absent: the run's own business key


class Delay(Part):
    """Go on after a length of time, or at a point in time (an expression that yields a timestamp)."""

    duration: Duration | None = Field(default=None, alias="for")
    until: Expression | None = None


class Print(Part):
    """Write a line to the worker's log, for trying things out."""

    text: Expression


class RetryCode(Part):
    """Attempts for one error code, instead of the step's: `id` is the code, `attempts: 1` means that it is never
    retried."""

    id: ErrorCode
    attempts: int = Field(ge=1, le=1000)
    backoff: Duration | None = None


class Retry(Part):
    """How often a call is attempted, the first time included, and the pauses between: `backoff`, then `factor` times as
    long each time, up to `longest`, less up to a half (a jitter that is derived from ids). An error that says when to
    come back is not asked before."""

    attempts: int = Field(default=5, ge=1, le=1000)
    backoff: Duration = "1s"
    factor: int = Field(default=2, ge=1, le=10)
    longest: Duration = "5m"
    codes: list[RetryCode] = Field(default_factory=list)


class Call(Part):
    """Have an operation done by a task worker, at least once, under a stable idempotency key.

    Three separate limits: `timeout` is for one attempt, counted by the worker from its start; `queue` for an attempt's
    waiting in its lane before that; `within` for the step as a whole. Without `lane`, `timeout`, `queue` and `retry`
    the operation's own hold."""

    operation: OperationName
    with_: list[Mapping] = Field(default_factory=list, alias="with")
    lane: Lane | None = None
    retry: Retry | None = None
    timeout: Duration | None = None
    queue: Duration | None = None
    within: Duration | None = None


class ChildRun(Part):
    """Start a run of a published definition and wait for its end. Its version is fixed when this definition is
    published, so a definition can only start what was published before it, and never itself."""

    definition: Name
    version: Version
    key: Expression | None = None  # absent: the run's own business key
    with_: list[Mapping] = Field(default_factory=list, alias="with")
    within: Duration | None = None


class Each(Part):
    """Do the step's work once for every item of a list (`item` and `index` in its expressions), `at_once` of them at a
    time. Every item has its own attempts; when all have ended and one of them failed, so has the step. Its output is
    the list of their outputs, in the order of the items."""

    items: Expression
    at_once: int = Field(default=10, ge=1, le=100)


class Approval(Part):
    """Ask people. `who` are the names or groups of those who may decide, `form` is the JSON Schema of what they fill
    in. One of `within` and `forever` is required."""

    text: Expression
    who: list[Who] = Field(min_length=1)
    form: dict[str, Any] | None = None
    within: Duration | None = None
    forever: bool = False


class Require(Part):
    """Go on only if a condition holds; otherwise the run is parked until a person decides."""

    that: Expression


class Fail(Part):
    """End the run as failed, after what is to be undone."""

    reason: Expression


class Step(Part):
    """A node of the graph: when it may begin (`needs`, `join`, `if`) and exactly one kind of work. `each` (with `call`
    or `run`) does the work for every item of a list. `undo` is called when the run is cancelled or fails after this
    step was done, or begun: last step first.

    A need is `step` (it ended with any outcome but `timeout` and `failure`) or `step.outcome`. A step whose needs can
    no longer be met is skipped, and so is one whose `if` does not hold. Without needs it begins with the run."""

    id: Id
    title: str | None = Field(default=None, max_length=200)
    needs: list[Need] = Field(default_factory=list)
    join: Literal["all", "any"] = "all"
    if_: Expression | None = Field(default=None, alias="if")
    wait: Wait | None = None
    choose: list[Branch] | None = Field(default=None, min_length=1)
    set: list[Mapping] | None = Field(default=None, min_length=1)
    emit: Emit | None = None
    delay: Delay | None = None
    print: Print | None = None
    call: Call | None = None
    run: ChildRun | None = None
    approval: Approval | None = None
    require: Require | None = None
    fail: Fail | None = None
    each: Each | None = None
    undo: Call | None = None


class SearchAttribute(Part):
    """A value by which people find runs: what the event or the input that started the run has at `path`, if that is a
    text, a number or a truth value. No decision reads it."""

    name: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,39}$")]
    path: Annotated[str, StringConstraints(pattern=r"^trigger(\.[A-Za-z_][A-Za-z0-9_-]{0,99}){1,8}$")]


class Definition(Part):
    """A business process. `input` is the JSON Schema of what a request or a parent starts it with (`on` may then be
    empty), `output` the step whose output is the run's. `runs` says what a second start for a key does while a run of
    it is open: `many` starts another, `one` refuses it, `join` offers the event to the open run. `window` says how long
    an event that was consumed is remembered, so that a repeated one is a duplicate. `search` names the values by which
    runs are found."""

    streamflow: Literal["1"] = "1"
    name: Name
    version: Version
    title: str | None = Field(default=None, max_length=200)
    description: str | None = Field(default=None, max_length=4000)
    on: list[Trigger] = Field(default_factory=list)
    input: dict[str, Any] | None = None
    output: Id | None = None
    runs: Literal["many", "one", "join"] = "many"
    window: Duration | None = None  # absent: that of the settings
    search: list[SearchAttribute] | None = Field(default=None, min_length=1, max_length=16)
    steps: list[Step] = Field(min_length=1)
