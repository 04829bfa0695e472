"""The state of one partition: records under text keys, the same in memory, in the store and in the changelog.

Many small records rather than one blob a run: a record is written when it changes (one blob a run rewrote 164 MB for
400 items, measured).

Their keys are in `record_keys`, the records of mailboxes in `mailbox.records`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal, Protocol

from msgspec import Struct

from streamflow.engine.commands import Parent
from streamflow.engine.mailbox.buckets import Memories
from streamflow.engine.mailbox.records import Box, Mail, Remembered, Window
from streamflow.engine.trace import Trace

OWN = "own"
# never written again under the same key before they are deleted
WRITTEN_ONCE = ("out/", "timer/", "list/", "mail/", "due/")


class ChildRef(Struct, frozen=True, gc=False):
    """A child run that a step waits for."""

    run: str
    """Its run id."""

    key: str
    """Its business key."""


class Items(Struct, frozen=True, gc=False, omit_defaults=True):
    """Progress of a list: counts of items."""

    total: int
    """All items of the list."""

    begun: int = 0
    """Items of which a first attempt was made. They are begun in their order."""

    ended: int = 0
    """Items that have succeeded or failed for good."""

    failed: int = 0
    """Items that have failed for good."""

    output_bytes: int = 0
    """Encoded bytes of the outputs of its items together, if they are read."""

    retry_cursor: int | None = None
    """While a parked list is retried: the index from which to look for the next failed item. None before that."""


Status = Literal[
    "waiting",
    "delayed",
    "calling",
    "retrying",
    "suspended",
    "listing",
    "awaiting_approval",
    "parked",
    "done",
    "skipped",
]


UNDER_WAY: frozenset[Status] = frozenset({"calling", "suspended", "listing"})
"""The statuses of a step that waits for an answer from outside."""


class StepState(Struct, frozen=True, gc=False, omit_defaults=True):
    """The state of a step; a step that has not begun has none. Times are epoch milliseconds of the partition's time.

    The fields from `attempt` on belong to calls, child runs and lists; a parked step keeps them."""

    status: Status
    """What the step does now."""

    outcome: str | None = None
    """The outcome with which it ended; None unless it is done."""

    due_ms: int | None = None
    """When its armed timer is due; None: no timer is armed."""

    attempt: int = 0
    """The number of the latest attempt, from 1."""

    attempts_before_retry: int = 0
    """The number of the last attempt before a person retried the parked step."""

    first_attempt_ms: int = 0
    """When the first attempt was made. Its expressions are evaluated at that time, so that all attempts get the same
    input."""

    deadline_ms: int | None = None
    """The end of the step as a whole (`within`)."""

    items: Items | None = None
    """The progress of a list."""

    child: ChildRef | None = None
    """The child run that it waits for."""

    inputs_not_ready: tuple[str, ...] = ()
    """Steps that its input names and that had not ended at the first attempt: no attempt sees their outputs."""

    since_offset: int | None = None
    """Of a wait with `since: here`: the offset in `commands` at which it began."""

    @property
    def is_done(self) -> bool:
        """Whether the step has ended with an outcome; also one that is parked since, because its run could not end
        with that output."""
        return self.status == "done" or (self.status == "parked" and self.outcome is not None)

    @property
    def has_ended(self) -> bool:
        """Whether the step is done, or skipped."""
        return self.status == "skipped" or self.is_done


class ItemState(Struct, frozen=True, gc=False, omit_defaults=True):
    """The state of an item that has begun and not succeeded."""

    status: Literal["calling", "retrying", "suspended", "failed"]
    """What the item does now; `failed`: for good, unless the list is retried."""

    attempt: int
    """The number of its latest attempt, from 1."""

    attempts_before_retry: int = 0
    """The number of its last attempt before a person retried the list."""

    due_ms: int | None = None
    """When its armed timer is due, in epoch milliseconds; None: no timer is armed."""

    child: ChildRef | None = None
    """The child run that it waits for."""


class Ending(Struct, frozen=True, gc=False, omit_defaults=True):
    """What a run that is stopping still has to do."""

    ending: str
    """How it will end: `failed` or `cancelled`."""

    reason: str
    """Why it ends."""

    undo: tuple[str, ...]
    """The addresses of the steps that are undone before it ends, in this order."""


class RunState(Struct, frozen=True, gc=False, omit_defaults=True):
    """The head of an open run."""

    run: str
    """The run id."""

    definition: str
    """The name of its definition."""

    version: str
    """The version of its definition."""

    sha: str
    """The sha256 of its content, under which the content is in the state."""

    revision: str
    """The revision of the engine that it was started with."""

    key: str
    """Its business key."""

    seq: int
    """The number of its latest transition."""

    started_ms: int
    """When it was started, in epoch milliseconds of the partition's time."""

    trigger: str
    """The trigger that started it; empty: a request or a parent run."""

    steps: dict[str, StepState]
    """The steps that have begun or were skipped, by address."""

    parent: Parent | None = None
    """The step of another run that waits for this one."""

    stopping: Ending | None = None
    """Set once the run is being stopped."""

    called: tuple[str, ...] = ()
    """Addresses of the steps that called something outside, in the order of their first calls."""

    at: int = 0
    """The offset in `definitions` at or below which its content was read: the contents of its child runs are there
    too."""

    trace: Trace | None = None
    """The span in which it was started, used for what happens because of commands without one, such as timers."""

    correlation_id: str = ""
    """What its caller knows it by; empty: nothing."""

    @property
    def parked(self) -> bool:
        return any(step.status == "parked" for step in self.steps.values())


class Timer(Struct, frozen=True, gc=False, omit_defaults=True):
    """An armed timer."""

    run: str
    """The run id."""

    address: str
    """The address of the step that armed it."""

    due_ms: int
    """When it is due, in epoch milliseconds of the partition's time."""

    item: int | None = None
    """The item of a list that it is for."""


class Counts(Struct, frozen=True, gc=False):
    """Outcomes of all commands of the partition: read = applied + rejected + duplicate + dead (law one-outcome)."""

    read: int = 0
    applied: int = 0
    rejected: int = 0
    duplicate: int = 0
    dead: int = 0


class Watermark(Struct, frozen=True, gc=False):
    """How far one topic is read; the fields are those of `AdvanceWatermark`."""

    partitions: int
    at_ms: dict[str, int]
    feeds: dict[str, tuple[str, ...]] = {}
    bound: int = 0
    floor_ms: int = 0

    def reached(self) -> int:
        """The time before which everything is read in all partitions; 0 when one of them was never reported."""
        if len(self.at_ms) < self.partitions:
            return self.floor_ms
        return max(self.floor_ms, min(self.at_ms.values(), default=0))


class NextGeneration(Struct, frozen=True, gc=False):
    """The generation of partitions that a partition forwards to."""

    first: int
    """The number of its first partition."""

    partitions: int
    """How many partitions it has."""

    index: int
    """Which partition of its own generation this one is, from 0."""

    before: int
    """How many partitions its own generation has."""

    forwarded: int = 0
    """Commands that this partition has forwarded, without watermarks."""


class PinnedContent(Struct, frozen=True, gc=False, array_like=True):
    """How a copied content is used."""

    open_runs: int
    used_ms: int  # when a run of it last began or ended


class PartitionState(Struct, frozen=True, gc=False):
    """The partition's own record."""

    applied: int = -1
    """The offset of the last command in this state."""

    time_ms: int = 0
    """The partition's time: the latest broker timestamp of a command, in epoch milliseconds."""

    counts: Counts = Counts()
    """Commands by outcome."""

    reasons: dict[str, int] = {}
    """Refused commands by code."""

    watermarks: dict[str, Watermark] = {}
    """How far ingress has read, by topic."""

    parked: int = 0
    """How many open runs are parked."""

    topic_id: str = ""
    """The id of the topic `commands` that this state was made from; it is in run ids."""

    revisions: dict[str, int] = {}
    """Open runs by the revision of the engine that they were started with. A worker that does not know one of them
    leaves the partition to others."""

    partition: int = 0
    """The number of the partition; it is in run ids."""

    memories: Memories = Memories()
    """The buckets of what is known of events."""

    contents: dict[str, PinnedContent] = {}
    """How the contents in this state are used, by sha256."""

    successor: NextGeneration | None = None
    """The generation that what is not held here is forwarded to; None: everything is decided here."""

    forwarded: int = -1
    """The highest offset, in the partition that forwards to this one, of what it has forwarded."""


KINDS: dict[str, Any] = {
    "own": PartitionState,
    "content": str,
    "mark": int,
    "run": RunState,
    "out": Any,
    "list": tuple[Any, ...],
    "item": ItemState,
    "timer": Timer,
    "box": Box,
    "mail": Mail,
    "due": int,
    "seen": Remembered,
    "trail": Remembered,
    "window": Window,
    "tally": dict[str, int],
}


class StateView(Protocol):
    """What a decision may read. Nothing else exists for it."""

    def get(self, key: str) -> Any:
        """The record under `key`, decoded, or None."""

    def due(self, until_ms: int, changes: Mapping[str, Any]) -> str | None:
        """The first `due/<ms>/...` with a time up to `until_ms` that `changes` does not delete, or None."""

    def keys(self, prefix: str) -> Iterator[str]:
        """The keys that begin with `prefix`, in order. A pass over all that changed since the last checkpoint: for what
        is rare."""

    def keys_after(self, prefix: str, after: str, count: int) -> list[str]:
        """Up to `count` keys that begin with `prefix` and are not below `after`, in order. Some may have been deleted
        lately."""
