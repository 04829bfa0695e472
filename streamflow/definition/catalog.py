"""The catalog: what each event is called, how it is recognised, what it holds, and in which topics it is found.

So plain JSON from another party's system needs no change there. Data only; matching is done by `wire.decoding`.

An event's topics are its *binding*, which belongs to one environment: it is published beside the content of a
definition and is no part of it, so that the same content runs in test and in production.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from streamflow.definition.catalog_schemas import SharedSchemas
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

# as Kafka has it, where `.` and `..` are no names of topics
TOPIC = r"^([A-Za-z0-9_-]|[A-Za-z0-9_-][A-Za-z0-9._-]|\.[A-Za-z0-9_-]|[A-Za-z0-9._-]{3,249})$"
Topic = Annotated[str, StringConstraints(pattern=TOPIC)]
SchemaName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_.-]{0,199}$")]
Path = Annotated[str, StringConstraints(pattern=r"^[^.\s]+(\.[^.\s]+)*$")]  # dotted, into the payload: `order.id`


class Location(Part):
    """Where one value of an event is: in its payload or in a record header. Exactly one is given."""

    path: Path | None = None
    header: str | None = None


TimeUnit = Literal["s", "ms", "us", "ns"]


class TimeLocation(Location):
    """Where the time of an event is: RFC 3339 text, or a number since 1970 in `unit`. Without a unit, a number is in
    the one that puts it between 1990 and 2100."""

    unit: TimeUnit | None = None


class Match(Part):
    """How an event is distinguished from others in the same topic; all that is given must hold.

    `type` is the CloudEvents type. `header` or `path` is compared with `equals`. `expr` is CEL over `event` (the
    payload)."""

    type: str | None = None
    header: str | None = None
    path: Path | None = None
    equals: str | int | bool | None = None
    expr: Expression | None = None


Beginning = Literal["now", "earliest"]


class TopicEnds(Part):
    """Where a topic ended when it was first named: its id then, and the offsets by partition (high watermarks). A
    partition that is not in it was created later."""

    id: str = ""  # empty when the topic did not exist
    offsets: dict[str, int] = Field(default_factory=dict)


SubjectName = Annotated[str, StringConstraints(min_length=1, max_length=249, pattern=r"^\S+$")]
MessageName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_.]{0,199}$")]


class Subject(Part):
    """A subject of the environment's schema registry: an `emit` step writes the event with its schema."""

    subject: SubjectName
    version: int | None = Field(default=None, ge=1)  # absent: the latest one when it is published
    message: MessageName | None = None  # of Protobuf: which message; absent: the first
    mode: Literal["binary", "structured"] = "binary"  # of the CloudEvent: attributes in headers, or in an envelope


class BoundSchema(Part):
    """The schema that an emitted event is written with, as the registry had it at publication: all that workers
    need."""

    subject: str
    version: int
    id: int
    type: Literal["AVRO", "JSON", "PROTOBUF"]
    text: str  # of Protobuf: a FileDescriptorProto in base64
    references: dict[str, str] = Field(default_factory=dict)  # what it builds on, by name, each after its own
    message: MessageName | None = None  # of Protobuf; absent: the first
    mode: Literal["binary", "structured"] = "binary"  # of the CloudEvent
    uri: str = ""  # where the registry has it; the attribute `dataschema` of the CloudEvent


class Binding(Part):
    """Where an event is found in one environment."""

    topics: list[Topic] = Field(min_length=1)  # read by ingress; an `emit` step writes to the first
    start: Beginning = "now"  # where reading begins in a topic that was never read before
    bound_ms: int = 0  # when it was published, in epoch milliseconds by the broker's clock
    # by topic, as the publisher found them just before; a topic that it could not look at is left out
    ends: dict[str, TopicEnds] = Field(default_factory=dict)
    registry: Subject | None = None  # what an `emit` step writes it with; absent: JSON
    written: BoundSchema | None = None  # the schema that was found for it


class EventSpec(Part):
    """One kind of event. Without `match`, its CloudEvents type is its name. `id`, `time` and `key` default to the
    CloudEvents id, the CloudEvents time or else the record's timestamp, and the record's key. Two events are the same
    one when their names, their sources and their ids are: `source` is for those that carry none.

    `topics`, `start` and `registry` are its binding: empty, `now` and absent in the content of a definition, filled in
    by the hosts."""

    name: EventName
    title: str | None = None
    description: str | None = None
    topics: list[Topic] = Field(default_factory=list)
    start: Beginning = "now"
    registry: Subject | None = None
    match: Match | None = None
    id: Location | None = None
    source: str | None = Field(default=None, max_length=200)  # absent: that of the CloudEvent, or empty
    time: TimeLocation | None = None
    key: Location | None = None
    schema_: dict[str, Any] = Field(default_factory=dict, alias="schema")  # JSON Schema of the payload

    def bound(self, binding: Binding | None) -> EventSpec:
        """The same event, found where `binding` says; nowhere without one."""
        found = {} if binding is None else {name: getattr(binding, name) for name in BINDING_FIELDS}
        return self.model_copy(update={"topics": [], "start": "now", "registry": None} | found)

    def logical(self) -> dict[str, Any]:
        """The entry as plain data, without its binding: what the content of a definition holds."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True, exclude=BINDING_FIELDS)


BINDING_FIELDS = {"topics", "start", "registry"}  # of a catalog entry: where the event is found, not what it is


class CatalogEvent(EventSpec):
    """An event as a catalog file declares it: with the topics that it is found in."""

    topics: list[Topic] = Field(min_length=1)  # read by ingress; an `emit` step writes to the first
    start: Beginning = "now"  # where reading begins in a topic that was never read before


class OperationError(Part):
    """An error that an operation may end with. One that is not `retryable` is not retried unless the step says so."""

    id: ErrorCode
    title: str | None = None
    retryable: bool = True


class OperationSpec(Part):
    """The contract of an operation, without its implementation (an installed package, or a plugin)."""

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
    """A published definition that another one may start: what a start of it names, and what it is given. The fields of
    CHECKED_FIELDS are for the check alone and no part of a content that names it; its sha256 stands for them."""

    name: Name
    version: Version
    sha: str
    input: dict[str, Any] = Field(default_factory=dict)  # JSON Schema
    runs: Literal["many", "one", "join"] = "many"  # what a second start for a key does while a run of it is open
    starts_by: list[EventName] = Field(default_factory=list)  # events that start it; none when it is not the newest
    emits: list[EventName] = Field(default_factory=list)  # events that it, or what it starts, emits


CHECKED_FIELDS = {"runs", "starts_by", "emits"}


class Catalog(Part):
    """All events, operations and published definitions that definitions may name."""

    events: Sequence[EventSpec] = Field(default_factory=list)
    operations: list[OperationSpec] = Field(default_factory=list)
    definitions: list[ChildSpec] = Field(default_factory=list)

    def event(self, name: str) -> EventSpec | None:
        """The event called `name`, or None."""
        return next((spec for spec in self.events if spec.name == name), None)

    def operation(self, name: str) -> OperationSpec | None:
        """The operation called `name`, or None."""
        return next((spec for spec in self.operations if spec.name == name), None)

    def bound(self, bindings: Mapping[str, Binding]) -> Catalog:
        """The same catalog, each event found where its binding (by name of the event) says; nowhere without one."""
        return self.model_copy(update={"events": [spec.bound(bindings.get(spec.name)) for spec in self.events]})

    def definition(self, name: str, version: str) -> ChildSpec | None:
        """The published definition `name@version`, or None."""
        return next((spec for spec in self.definitions if (spec.name, spec.version) == (name, version)), None)


class CatalogFile(Catalog):
    """A catalog as authors write it: every event with its topics. `schemas` holds what several JSON Schemas of the file
    share, by name: they refer to it by `$ref: "#/schemas/<name>"`."""

    events: Sequence[CatalogEvent] = Field(default_factory=list)
    schemas: dict[SchemaName, dict[str, Any]] = Field(default_factory=dict)

    def complete(self) -> CatalogFile:
        """The same catalog with schemas that stand alone, and without `schemas`."""
        if not self.schemas:
            return self
        shared = SharedSchemas(self.schemas)
        events = [spec.model_copy(update={"schema_": shared.complete(spec.schema_)}) for spec in self.events]
        operations = [
            spec.model_copy(update={"input": shared.complete(spec.input), "output": shared.complete(spec.output)})
            for spec in self.operations
        ]
        return self.model_copy(update={"events": events, "operations": operations, "schemas": {}})
