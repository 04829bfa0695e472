"""The state of one partition: records under text keys, the same in memory, in the store and in the changelog.

Many small records rather than one blob a run: a record is written when it changes (one blob a run rewrote 164 MB for
400 items, measured).

    own                          the partition itself: applied offset, partition time, counts, watermarks
    content/<sha>                a definition that a start named (law pinned-content)
    mark/<topic id>/<partition>  what has been applied of one source partition
    key/<definition>/<key>       the open and the remembered runs of a business key
    run/<run>                    the head of an open run
    out/<run>/<address>             the output of a step, written once; step `` is the event that started the run
    out/<run>/<address>/<item>      the output of one item of a list
    list/<run>/<address>/<n>        a hundred items of a list
    item/<run>/<address>/<item>     an item that has begun and not succeeded
    timer/<due ms>/<run>/<address>  an armed timer (with /<item>: of an item), in the order they fall due
    early/<definition>/<key>     events that are kept for the next run of a business key
    done/<run>                   a finished run, remembered for a window
    expiry/<ms>/<run or early>   when it is forgotten
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Protocol

from msgspec import Struct

from streamflow.engine.commands import Event, Parent

OWN = "own"
LIST_CHUNK = 100  # items of a list in one record: reading one item decodes a chunk
WRITTEN_ONCE = ("out/", "timer/", "list/")  # never written again under the same key before they are deleted


def content_key(sha: str) -> str:
    return f"content/{sha}"


def mark_key(topic_id: str, partition: int) -> str:
    return f"mark/{topic_id}/{partition}"


def key_key(definition: str, key: str) -> str:
    return f"key/{definition}/{key}"


def run_key(run: str) -> str:
    return f"run/{run}"


def out_key(run: str, address: str) -> str:
    return f"out/{run}/{address}"


def timer_key(due_ms: int, run: str, address: str, item: int | None = None) -> str:
    return f"timer/{due_ms:015d}/{run}/{address}" if item is None else f"timer/{due_ms:015d}/{run}/{address}/{item}"


def item_key(run: str, address: str, item: int) -> str:
    return f"item/{run}/{address}/{item}"


def item_out_key(run: str, address: str, item: int) -> str:
    return f"out/{run}/{address}/{item}"


def list_key(run: str, address: str, chunk: int) -> str:
    return f"list/{run}/{address}/{chunk}"


def done_key(run: str) -> str:
    return f"done/{run}"


def early_key(definition: str, key: str) -> str:
    return f"early/{definition}/{key}"


def expiry_key(at_ms: int, what: str) -> str:
    return f"expiry/{at_ms:015d}/{what}"


class ChildRef(Struct, frozen=True):
    """A child run that a step waits for."""

    run: str
    """Its run id."""

    key: str
    """Its business key."""


class Items(Struct, frozen=True, omit_defaults=True):
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


class StepState(Struct, frozen=True, omit_defaults=True):
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


class ItemState(Struct, frozen=True, omit_defaults=True):
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


class KeptEvent(Struct, frozen=True, omit_defaults=True):
    """An event ahead of its wait. Without `until_ms` it is kept until the run ends: the run was parked, which no clock
    counts."""

    event: Event
    until_ms: int | None = None

    def lasts(self, at_ms: int) -> bool:
        return self.until_ms is None or self.until_ms >= at_ms


class Ending(Struct, frozen=True, omit_defaults=True):
    """What a run that is stopping still has to do."""

    ending: str
    """How it will end: `failed` or `cancelled`."""

    reason: str
    """Why it ends."""

    undo: tuple[str, ...]
    """The addresses of the steps that are undone before it ends, in this order."""


class RunState(Struct, frozen=True, omit_defaults=True):
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

    seen: tuple[str, ...]
    """Ids of the events that started it, that it consumed or that it keeps."""

    kept: tuple[KeptEvent, ...] = ()
    """Events ahead of their wait."""

    parent: Parent | None = None
    """The step of another run that waits for this one."""

    stopping: Ending | None = None
    """Set once the run is being stopped."""

    called: tuple[str, ...] = ()
    """Addresses of the steps that called something outside, in the order of their first calls."""

    at: int = 0
    """The offset in `definitions` at or below which its content was read: the contents of its child runs are there
    too."""

    trace: str | None = None
    """The W3C traceparent of its start, used for what happens because of commands without one, such as timers."""

    @property
    def parked(self) -> bool:
        return any(step.status == "parked" for step in self.steps.values())


class KeyRecord(Struct, frozen=True):
    """Runs of one business key: open ones, oldest first, and the latest finished ones that are still remembered."""

    open: tuple[str, ...]
    finished: tuple[str, ...]


class FinishedRun(Struct, frozen=True):
    definition: str
    key: str
    seq: int
    ended: str
    at_ms: int
    seen: tuple[str, ...]


class SourceMark(Struct, frozen=True):
    """Below `committed` everything is applied; above it, what `applied` lists by (offset, tag)."""

    committed: int
    applied: tuple[tuple[int, str], ...]


class Timer(Struct, frozen=True, omit_defaults=True):
    """An armed timer."""

    run: str
    """The run id."""

    address: str
    """The address of the step that armed it."""

    due_ms: int
    """When it is due, in epoch milliseconds of the partition's time."""

    item: int | None = None
    """The item of a list that it is for."""


class Expiry(Struct, frozen=True, omit_defaults=True):
    """What is forgotten at its time: a finished run, or (by its key) the events kept for a business key."""

    run: str = ""
    early: str = ""


class Counts(Struct, frozen=True):
    """Outcomes of all commands of the partition: read = applied + rejected + duplicate + dead (law one-outcome)."""

    read: int = 0
    applied: int = 0
    rejected: int = 0
    duplicate: int = 0
    dead: int = 0


class Watermark(Struct, frozen=True):
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


class PartitionState(Struct, frozen=True):
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
    """The id of the topic `commands` that this state was made from."""

    revisions: tuple[str, ...] = ()
    """The revisions of the engine that runs were started with. A worker that does not know one of them leaves the
    partition to others."""


KINDS: dict[str, Any] = {
    "own": PartitionState,
    "content": str,
    "mark": SourceMark,
    "key": KeyRecord,
    "run": RunState,
    "out": Any,
    "list": tuple[Any, ...],
    "item": ItemState,
    "timer": Timer,
    "done": FinishedRun,
    "early": tuple[KeptEvent, ...],
    "expiry": Expiry,
}


class StateView(Protocol):
    """What a decision may read. Nothing else exists for it."""

    def get(self, key: str) -> Any:
        """The record under `key`, decoded, or None."""

    def expired(self, until_ms: int, changes: Mapping[str, Any]) -> str | None:
        """The first `expiry/<ms>/<run>` with a time up to `until_ms` that `changes` does not delete, or None."""
