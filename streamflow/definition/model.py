"""The definition as authors write it: flat, typed, every collection an array of items with an `id`.

Arrays rather than maps with free keys, so that a strict JSON schema can express it and a language model can edit it.
Whether the parts fit together is `check`'s business; this module only knows the shape.
"""

from __future__ import annotations

from typing import Annotated, Literal

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


class Part(BaseModel):
    """Every part of a definition: closed (an unknown field is a mistake) and immutable."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class Mapping(Part):
    """One named value, computed by a CEL expression. The name is a field of somebody's event, so it may be spelt as they spell it."""

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
    """Wait for the first of `events`; after `within` the wait's outcome is `timeout`. One of `within` and `forever` is required."""

    events: list[WaitEvent] = Field(min_length=1)
    within: Duration | None = None
    forever: bool = False
    keep: Duration | None = None  # how long an event ahead of this wait is kept, also before its run; absent: while its run is open


class Branch(Part):
    """One way out of a `choose`. The first whose `if` holds is taken; one without `if` is the way out when none does."""

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


class Step(Part):
    """A node of the graph: when it may begin (`needs`, `join`, `if`) and exactly one kind of work.

    A need is `step` (it ended with any outcome but `timeout` and `failure`) or `step.outcome`. A step whose needs can no longer be met
    is skipped, and so is one whose `if` does not hold. Without needs it begins with the run."""

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


KINDS = ("wait", "choose", "set", "emit", "delay", "print")


class Definition(Part):
    """A business process. `runs` says what a second start for a key does while a run of it is open: `many` starts another,
    `one` refuses it, `join` offers the event to the open run."""

    streamflow: Literal["1"] = "1"
    name: Name
    version: Version
    title: str | None = Field(default=None, max_length=200)
    description: str | None = Field(default=None, max_length=4000)
    on: list[Trigger] = Field(min_length=1)
    runs: Literal["many", "one", "join"] = "many"
    steps: list[Step] = Field(min_length=1)
