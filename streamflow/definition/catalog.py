"""The catalog: what each event is called, where it is found, how it is told from others, and what it holds.

So plain JSON from somebody else's system needs no change there. Data only; matching is done by `wire.decoding`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from streamflow.definition.model import (
    Duration,
    ErrorCode,
    EventName,
    Expression,
    Lane,
    Name,
    OperationName,
    Part,
    Retry,
    Version,
)

Topic = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]{1,249}$")]
Path = Annotated[str, StringConstraints(pattern=r"^[^.\s]+(\.[^.\s]+)*$")]  # dotted, into the payload: `order.id`


class Location(Part):
    """Where one value of an event is: in its payload or in a record header. Exactly one is given."""

    path: Path | None = None
    header: str | None = None


class Match(Part):
    """How an event is told from others in the same topic; all that is given must hold.

    `type` is the CloudEvents type. `header` or `path` is compared with `equals`. `expr` is CEL over `event` (the
    payload)."""

    type: str | None = None
    header: str | None = None
    path: Path | None = None
    equals: str | int | bool | None = None
    expr: Expression | None = None


class EventSpec(Part):
    """One kind of event. Without `match`, its CloudEvents type is its name. `id`, `time` and `key` default to the
    CloudEvents id, the CloudEvents time or else the record's timestamp, and the record's key. Two events are the same
    one when their names, their sources and their ids are: `source` is for those that carry none."""

    name: EventName
    title: str | None = None
    description: str | None = None
    topics: list[Topic] = Field(min_length=1)
    start: Literal["now", "earliest"] = "now"  # where reading begins in a topic that was never read before
    match: Match | None = None
    id: Location | None = None
    source: str | None = Field(default=None, max_length=200)  # absent: that of the CloudEvent, or empty
    time: Location | None = None
    key: Location | None = None
    schema_: dict[str, Any] = Field(default_factory=dict, alias="schema")  # JSON Schema of the payload


class OperationError(Part):
    """An error that an operation may end with. One that is not `retryable` is not tried again unless the step says
    so."""

    id: ErrorCode
    title: str | None = None
    retryable: bool = True


class OperationSpec(Part):
    """One kind of work that task workers do: its contract. Who does it, and where, is not in it (an installed package,
    or a plugin)."""

    name: OperationName
    title: str | None = None
    description: str | None = None
    input: dict[str, Any] = Field(default_factory=dict)  # JSON Schema
    output: dict[str, Any] = Field(default_factory=dict)  # JSON Schema
    errors: list[OperationError] = Field(default_factory=list)
    lane: Lane = "default"
    timeout: Duration = "1m"
    queue: Duration = "1d"
    retry: Retry = Retry()


class ChildSpec(Part):
    """A published definition that another one may start: what a start of it names, and what it is given."""

    name: Name
    version: Version
    sha: str
    at: int  # the offset in `definitions` at or below which its content was read
    input: dict[str, Any] = Field(default_factory=dict)  # JSON Schema


class Catalog(Part):
    """All events, operations and published definitions that definitions may name."""

    events: list[EventSpec] = Field(default_factory=list)
    operations: list[OperationSpec] = Field(default_factory=list)
    definitions: list[ChildSpec] = Field(default_factory=list)

    def event(self, name: str) -> EventSpec | None:
        """The event called `name`, or None."""
        return next((spec for spec in self.events if spec.name == name), None)

    def operation(self, name: str) -> OperationSpec | None:
        """The operation called `name`, or None."""
        return next((spec for spec in self.operations if spec.name == name), None)

    def definition(self, name: str, version: str) -> ChildSpec | None:
        """The published definition `name@version`, or None."""
        return next((spec for spec in self.definitions if (spec.name, spec.version) == (name, version)), None)
