"""Commands: requests to the engine, imperative. Everything that can change a run is one of these, a record in
`commands` (law input-is-commands).

Each is a frozen msgspec struct with a tag `kind`, so that one pass decodes it (1 us for a start, measured; frozen
dataclasses took five times that). A command's time is not in it: it is the timestamp that the broker gave its record.
`trace` is the span that led to it; without one, the span in which its run was started counts.
"""

from __future__ import annotations

from typing import Any, Literal

from msgspec import Struct

from streamflow.engine.trace import Trace

# A number of ours, raised when the same command could be decided otherwise than before: by this package, by
# expressions, or by another build of the engine of their patterns (jsonschema-rs). The library that checks expressions
# has no part in decisions.
REVISION = "7"
KNOWN_REVISIONS = frozenset({REVISION})


class Event(Struct, frozen=True, gc=False, omit_defaults=True):
    """A business fact as ingress read it. Two of them are the same event when name, source and id are equal."""

    name: str  # in the catalog
    id: str  # without one, the place of its record: topic id, partition and offset
    time_ms: int  # its source time, epoch milliseconds
    data: Any  # its payload, plain JSON
    # what limits of waits compare, in epoch milliseconds: the time that the catalog names, or the arrival at the
    # broker; 0 when neither is known, and then the event is in time as long as the wait is open
    limit_time_ms: int = 0
    source: str = ""  # who made it: the CloudEvents source, or what the catalog says; never the topic
    # those of a CloudEvent, by name, for the conditions of waits that read `cloudevent`; empty when none does
    attributes: dict[str, str] = {}


class Origin(Struct, frozen=True, gc=False, omit_defaults=True):
    """The source record that ingress made a command of. `topic_id` survives no re-creation of the topic. `offset` is
    the record's own, `committed` the group's committed offset (the next to read) when the command was made: everything
    below it is a duplicate. No decision reads `topic`."""

    topic_id: str  # of the source topic; a topic that is created again has another
    partition: int  # of the source topic
    offset: int  # of the record
    committed: int  # of the group when the command was made: the next offset to read
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

    run: str  # run id of the parent
    key: str  # its business key
    address: str  # of the step that waits
    attempt: int  # its number, from 1
    item: int | None = None  # index of the item of a list; None: the step itself


class StartRun(Struct, frozen=True, gc=False, tag_field="kind", omit_defaults=True):
    """Start a run of `definition` for `key`, asked for by a caller, or by the step `parent` of another run. Asked for
    again under the id of the same event, nothing starts."""

    id: str  # of the command; a copy of it has the same one
    definition: str  # name of what is to run
    key: str  # business key
    start: DefinitionRef  # its content
    event: Event  # its data is the run's input; its id identifies the request
    trace: Trace | None = None  # the span that led to it
    parent: Parent | None = None  # the step that waits for the end of the run; None: a caller asked
    correlation_id: str = ""  # what its caller knows the run by; empty: nothing


class Deliver(Struct, frozen=True, gc=False, tag_field="kind", omit_defaults=True):
    """Deliver `event` to the mailbox of `definition` and `key`: it starts a run if `start` says so, is claimed by waits
    of open runs, or is kept. One command for each source record (or event of a batch in it), definition, event
    name and key."""

    id: str  # of the command; a copy of it has the same one
    definition: str  # whose mailbox it is
    key: str  # business key
    event: Event  # with its payload
    origin: Origin  # the source record
    start: DefinitionRef | None = None  # what a run would be started with
    trigger: str = ""  # the trigger that it satisfies
    keep_ms: int = 0  # the longest `keep` of the waits that take the original, in versions that ingress knew
    copies_ms: int = 0  # the same of waits that take copies
    window_ms: int = 0  # how long the newest version that ingress knew remembers the event; 0: as the settings say
    trace: Trace | None = None  # the span that led to it
    correlation_id: str = ""  # what the run that it starts is known by; empty: nothing


class ContinueDelivery(Struct, frozen=True, gc=False, tag_field="kind"):
    """Go on with the claims of a mailbox: a command reached its limit of them."""

    id: str
    definition: str
    key: str


class FireTimer(Struct, frozen=True, gc=False, tag_field="kind"):
    """The time `due_ms` of a timer of `run` has come, says the host of its partition."""

    id: str  # of the command; a copy of it has the same one
    run: str  # run id
    address: str  # of the step that armed it
    due_ms: int  # when it is due, epoch milliseconds
    item: int | None = None  # index of the item of a list; None: the step itself
    trace: Trace | None = None  # the span that led to it


class CompleteAttempt(Struct, frozen=True, gc=False, tag_field="kind"):
    """The attempt has had its effect and gave `output`, says a task worker, a callback, or a child run."""

    id: str  # of the command; a copy of it has the same one
    run: str  # run id
    address: str  # of the step in the run
    attempt: int  # its number, from 1
    output: Any  # plain JSON
    item: int | None = None  # index of the item of a list; None: the step itself
    trace: Trace | None = None  # the span that led to it


MESSAGE_CHARS = 3000  # of a message of an attempt that failed; beyond it the message is cut


class FailAttempt(Struct, frozen=True, gc=False, tag_field="kind"):
    """The attempt failed with `code`. `retry_after_ms` is how long the other side asks to be left alone."""

    id: str  # of the command; a copy of it has the same one
    run: str  # run id
    address: str  # of the step in the run
    attempt: int  # its number, from 1
    code: str  # of the error
    message: str  # for people
    retryable: bool = True  # whether another attempt may succeed
    retry_after_ms: int | None = None  # pause that the other side asks for, milliseconds; None: it asks for none
    item: int | None = None  # index of the item of a list; None: the step itself
    trace: Trace | None = None  # the span that led to it


class SuspendAttempt(Struct, frozen=True, gc=False, tag_field="kind"):
    """The attempt has been handed over to a system that will call back; no worker holds it. After `for_ms` it
    is given up."""

    id: str  # of the command; a copy of it has the same one
    run: str  # run id
    address: str  # of the step in the run
    attempt: int  # its number, from 1
    for_ms: int  # how long it may stay without an answer, milliseconds
    item: int | None = None  # index of the item of a list; None: the step itself
    trace: Trace | None = None  # the span that led to it


class Decide(Struct, frozen=True, gc=False, tag_field="kind"):
    """A person's answer to an approval: `approved` or `rejected`, by whom, and what they filled in."""

    id: str  # of the command; a copy of it has the same one
    run: str  # run id
    address: str  # of the step in the run
    decision: Literal["approved", "rejected"]  # what they decided
    by: str  # who decided
    data: Any = None  # what they filled in, plain JSON
    trace: Trace | None = None  # the span that led to it


class Continue(Struct, frozen=True, gc=False, tag_field="kind"):
    """Advance `run` further: its last decision reached the limit of transitions. `seq` is the run's when it was asked
    for."""

    id: str  # of the command; a copy of it has the same one
    run: str  # run id
    seq: int  # of the latest transition of the run when it was asked for
    trace: Trace | None = None  # the span that led to it


class CancelRun(Struct, frozen=True, gc=False, tag_field="kind"):
    """End `run`, asked for by a caller, or by its parent (`by_parent`), which gives up no undo of it."""

    id: str  # of the command; a copy of it has the same one
    run: str  # run id
    reason: str = ""  # for people
    trace: Trace | None = None  # the span that led to it
    by_parent: bool = False  # whether the parent run asks for it


class RetryStep(Struct, frozen=True, gc=False, tag_field="kind"):
    """Try the parked `step` of `run` again."""

    id: str  # of the command; a copy of it has the same one
    run: str  # run id
    address: str  # of the step in the run
    trace: Trace | None = None  # the span that led to it


class SkipStep(Struct, frozen=True, gc=False, tag_field="kind"):
    """Treat the parked `step` of `run` as skipped."""

    id: str  # of the command; a copy of it has the same one
    run: str  # run id
    address: str  # of the step in the run
    trace: Trace | None = None  # the span that led to it


class FailRun(Struct, frozen=True, gc=False, tag_field="kind"):
    """End the parked `run` as failed."""

    id: str  # of the command; a copy of it has the same one
    run: str  # run id
    reason: str = ""  # for people
    trace: Trace | None = None  # the span that led to it


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
    trace: Trace | None = None


class OpenGeneration(Struct, frozen=True, gc=False, tag_field="kind", kw_only=True):
    """From this record on, the partition forwards what it does not hold to a new generation of partitions
    (docs/design.md#generations-of-partitions). One is sent to each partition of the newest generation."""

    id: str  # of the command; a copy of it has the same one
    first: int  # number of the first partition of the new generation
    partitions: int  # how many the new generation has: a multiple of `before`
    before_first: int  # number of the first partition of the generation that this record is sent to
    before: int  # how many partitions that generation has
    trace: Trace | None = None


class ForwardSource(Struct, frozen=True, gc=False):
    """Where a forwarded command comes from, as its record's header says."""

    partition: int  # of `commands`, in the generation before
    offset: int  # of its record there
    sent_partition: int  # of `commands` that its sender wrote to, in the first generation
    sent_offset: int  # of its record there; it is in the id of the run that a request starts


class AdvanceWatermark(Struct, frozen=True, gc=False, tag_field="kind"):
    """How far ingress has read `topic`, for the partition of `commands` that this record is in, or for `to`: everything
    that was appended to partition p of the topic before `at_ms[p]` is read, and its commands stand before this one.

    The times are those of the broker that dates that partition of `commands`: ingress takes them from its
    acknowledgements, and asks for the ends of the topic afterwards. No other clock is in them."""

    id: str  # of the command; a copy of it has the same one
    topic: str  # name of the source topic
    partitions: int  # that the topic has; 0 when it does not exist. One that no one reported yet holds the topic back
    at_ms: dict[str, int]  # by partition of the topic, in epoch milliseconds
    feeds: dict[str, tuple[str, ...]] = {}  # the events that the topic feeds, each with all topics that feed it
    bound: int = 0  # the offset in `definitions` up to which `feeds` was read; an older one changes nothing
    floor_ms: int = 0  # for all partitions, reported or not: the topic was seen not to exist until then
    trace: Trace | None = None  # the span that led to it
    # the partition of a later generation that it is for: it takes the way of what is forwarded there. PROBE: none, only
    # the acknowledgement is of use. None: the partition that it is in
    to: int | None = None


PROBE = -1

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
    | OpenGeneration
    | AdvanceWatermark
)


def start_of(command: Command) -> DefinitionRef | None:
    """What a command may start a run with; the host has its content read before it is decided."""
    return command.start if isinstance(command, StartRun | Deliver) else None
