"""Commands: requests to the engine, imperative. Everything that can change a run is one of these, a record in
`commands` (law input-is-commands).

Each is a frozen msgspec struct with a tag `kind`, so that one pass decodes it (1 us for a start, measured; frozen
dataclasses took five times that). A command's time is not in it: it is the timestamp that the broker gave its record.
`trace` is the W3C traceparent of what led to it; without one, the trace of the run's start counts.
"""

from __future__ import annotations

from typing import Any, Literal

from msgspec import Struct

# A number of ours, raised when the same command could be decided otherwise than before: by this package, by
# expressions, or by another build of the engine of their patterns (jsonschema-rs). The library that checks expressions
# has no part in decisions.
REVISION = "5"
KNOWN_REVISIONS = frozenset({REVISION})


class Event(Struct, frozen=True, gc=False, omit_defaults=True):
    """A business fact as ingress read it. Two of them are the same event when name, source and id are equal."""

    name: str
    id: str  # without one, the place of its record: topic id, partition and offset
    time_ms: int  # its source time, epoch milliseconds
    data: Any
    # what limits of waits compare, in epoch milliseconds: the time that the catalog names, or the arrival at the
    # broker; 0 when neither is known, and then the event is in time as long as the wait is open
    limit_time_ms: int = 0
    source: str = ""  # who made it: the CloudEvents source, or what the catalog says; never the topic


class Origin(Struct, frozen=True, gc=False, omit_defaults=True):
    """The source record that ingress made a command of. `topic_id` survives no re-creation of the topic. `offset` is
    the record's own, `committed` the group's committed offset (the next to read) when the command was made: everything
    below it is a duplicate. No decision reads `topic`."""

    topic_id: str
    partition: int
    offset: int
    committed: int
    topic: str = ""  # its name, for people: a dead letter of the command says where the event came from


class DefinitionRef(Struct, frozen=True, gc=False):
    """What a start names: the content's sha256, the offset in `definitions` at or below which that content was read
    (law pinned-content), and the revision of the engine that is to run it
    (docs/design.md#what-identical-replay-forbids)."""

    sha256: str
    log_offset: int
    engine_revision: str = REVISION


class Parent(Struct, frozen=True, gc=False, omit_defaults=True):
    """The step (and its item) of the run that a child run answers to when it ends."""

    run: str
    key: str
    address: str
    attempt: int
    item: int | None = None


class StartRun(Struct, frozen=True, gc=False, tag_field="kind", omit_defaults=True):
    """Start a run of `definition` for `key`, asked for by a caller, or by the step `parent` of another run. Asked for
    again under the id of the same event, nothing starts."""

    id: str
    definition: str
    key: str
    start: DefinitionRef
    event: Event  # its data is the run's input; its id identifies the request
    trace: str | None = None
    parent: Parent | None = None


class Deliver(Struct, frozen=True, gc=False, tag_field="kind", omit_defaults=True):
    """Deliver `event` to the mailbox of `definition` and `key`: it starts a run if `start` says so, is claimed by waits
    of open runs, or is kept. One command for each source record, definition, event name and key."""

    id: str
    definition: str
    key: str
    event: Event
    origin: Origin  # the source record
    start: DefinitionRef | None = None  # what a run would be started with
    trigger: str = ""  # the trigger that it satisfies
    keep_ms: int = 0  # the longest `keep` of the waits that take the original, in versions that ingress knew
    copies_ms: int = 0  # the same of waits that take copies
    trace: str | None = None


class ContinueDelivery(Struct, frozen=True, gc=False, tag_field="kind"):
    """Go on with the claims of a mailbox: a command reached its limit of them."""

    id: str
    definition: str
    key: str


class FireTimer(Struct, frozen=True, gc=False, tag_field="kind"):
    """The time `due_ms` of a timer of `run` has come, says the host of its partition."""

    id: str
    run: str
    address: str
    due_ms: int
    item: int | None = None
    trace: str | None = None


class CompleteAttempt(Struct, frozen=True, gc=False, tag_field="kind"):
    """The attempt has had its effect and gave `output`, says a task worker, a callback, or a child run."""

    id: str
    run: str
    address: str
    attempt: int
    output: Any
    item: int | None = None
    trace: str | None = None


class FailAttempt(Struct, frozen=True, gc=False, tag_field="kind"):
    """The attempt failed with `code`. `retry_after_ms` is how long the other side asks to be left alone."""

    id: str
    run: str
    address: str
    attempt: int
    code: str
    message: str
    retryable: bool = True
    retry_after_ms: int | None = None
    item: int | None = None
    trace: str | None = None


class SuspendAttempt(Struct, frozen=True, gc=False, tag_field="kind"):
    """The attempt has been handed over to somebody who will call back; no worker holds it any more. After `for_ms` it
    is given up."""

    id: str
    run: str
    address: str
    attempt: int
    for_ms: int
    item: int | None = None
    trace: str | None = None


class Decide(Struct, frozen=True, gc=False, tag_field="kind"):
    """A person's answer to an approval: `approved` or `rejected`, by whom, and what they filled in."""

    id: str
    run: str
    address: str
    decision: Literal["approved", "rejected"]
    by: str
    data: Any = None
    trace: str | None = None


class Continue(Struct, frozen=True, gc=False, tag_field="kind"):
    """Advance `run` further: its last decision reached the limit of transitions. `seq` is the run's when it was asked
    for."""

    id: str
    run: str
    seq: int
    trace: str | None = None


class CancelRun(Struct, frozen=True, gc=False, tag_field="kind"):
    """End `run`, asked for by a caller, or by its parent (`by_parent`), which gives up no undo of it."""

    id: str
    run: str
    reason: str = ""
    trace: str | None = None
    by_parent: bool = False


class RetryStep(Struct, frozen=True, gc=False, tag_field="kind"):
    """Try the parked `step` of `run` again."""

    id: str
    run: str
    address: str
    trace: str | None = None


class SkipStep(Struct, frozen=True, gc=False, tag_field="kind"):
    """Treat the parked `step` of `run` as skipped."""

    id: str
    run: str
    address: str
    trace: str | None = None


class FailRun(Struct, frozen=True, gc=False, tag_field="kind"):
    """End the parked `run` as failed."""

    id: str
    run: str
    reason: str = ""
    trace: str | None = None


class EraseKey(Struct, frozen=True, gc=False, tag_field="kind", omit_defaults=True):
    """Erase what the state holds of a business key in the mailboxes of `definitions`. No run of it may be open. What
    one command may not do is done by a further one with the next `part`; `records` and `events` count what those
    before have erased."""

    id: str
    key: str
    definitions: tuple[str, ...]
    reason: str = ""  # kept in the account of the erasure, for years
    part: int = 0
    records: int = 0
    events: int = 0
    trace: str | None = None


class AdvanceWatermark(Struct, frozen=True, gc=False, tag_field="kind"):
    """How far ingress has read `topic`, for the partition of `commands` that this record is in: everything that was
    appended to partition p of the topic before `at_ms[p]` is read, and its commands stand before this one.

    The times are those of the broker that dates this partition of `commands`: ingress takes them from its
    acknowledgements, and asks for the ends of the topic afterwards. No other clock is in them."""

    id: str
    topic: str
    partitions: int  # that the topic has; 0 when it does not exist. One that no one reported yet holds the topic back
    at_ms: dict[str, int]  # by partition of the topic, in epoch milliseconds
    feeds: dict[str, tuple[str, ...]] = {}  # the events that the topic feeds, each with all topics that feed it
    bound: int = 0  # the offset in `definitions` up to which `feeds` was read; an older one changes nothing
    floor_ms: int = 0  # for all partitions, reported or not: the topic was seen not to exist until then
    trace: str | None = None


Command = (
    StartRun
    | Deliver
    | ContinueDelivery
    | FireTimer
    | CompleteAttempt
    | FailAttempt
    | SuspendAttempt
    | Decide
    | Continue
    | CancelRun
    | RetryStep
    | SkipStep
    | FailRun
    | EraseKey
    | AdvanceWatermark
)


def start_of(command: Command) -> DefinitionRef | None:
    """What a command may start a run with; the host has its content read before it is decided."""
    return command.start if isinstance(command, StartRun | Deliver) else None
