"""The state of one partition: records under text keys, the same in memory, in the store and in the changelog.

Many small records rather than one blob a run: a record is written when it changes (one blob a run rewrote 164 MB for
400 items, measured).

    own                          the partition itself: applied offset, partition time, counts, watermarks
    content/<sha>                a definition that a start named (law pinned-content)
    mark/<topic id>/<partition>  what has been applied of one source partition
    key/<definition>/<key>       the open and the remembered runs of a business key
    run/<run>                    the head of an open run
    out/<run>/<step>             the output of a step, written once; step `` is the event that started the run
    out/<run>/<step>/<item>      the output of one item of a list
    list/<run>/<step>/<n>        a hundred items of a list
    item/<run>/<step>/<item>     an item that has begun and not succeeded
    timer/<due ms>/<run>/<step>  an armed timer (with /<item>: of an item), in the order they fall due
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


def out_key(run: str, step: str) -> str:
    return f"out/{run}/{step}"


def timer_key(due_ms: int, run: str, step: str, item: int | None = None) -> str:
    return f"timer/{due_ms:015d}/{run}/{step}" if item is None else f"timer/{due_ms:015d}/{run}/{step}/{item}"


def item_key(run: str, step: str, item: int) -> str:
    return f"item/{run}/{step}/{item}"


def item_out_key(run: str, step: str, item: int) -> str:
    return f"out/{run}/{step}/{item}"


def list_key(run: str, step: str, chunk: int) -> str:
    return f"list/{run}/{step}/{chunk}"


def done_key(run: str) -> str:
    return f"done/{run}"


def early_key(definition: str, key: str) -> str:
    return f"early/{definition}/{key}"


def expiry_key(at_ms: int, what: str) -> str:
    return f"expiry/{at_ms:015d}/{what}"


class ChildRef(Struct, frozen=True):
    run: str
    key: str


class Items(Struct, frozen=True, omit_defaults=True):
    """How many items a list has, and how many of them were begun, have ended, and have failed. `again` is set while
    those that failed are begun once more: where to look for the next. Before that, they are begun in their order."""

    total: int
    begun: int = 0
    ended: int = 0
    failed: int = 0
    again: int | None = None


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


class StepState(Struct, frozen=True, omit_defaults=True):
    """How far a step is; a step that has not begun has none. `due_ms` is its armed timer. Of a call, a child run or a
    list: `attempt` is the number of the latest attempt, `spent` of those before a person's retry, `began_ms` when the
    first one began (its expressions are evaluated at that time, so that all attempts are given the same, and without
    the outputs of `unseen`, which had not ended by then), `deadline_ms` the end of them all, `child` the run that it
    waits for. A parked one keeps them."""

    status: Status
    outcome: str | None = None
    due_ms: int | None = None
    attempt: int = 0
    spent: int = 0
    began_ms: int = 0
    deadline_ms: int | None = None
    items: Items | None = None
    child: ChildRef | None = None
    unseen: tuple[str, ...] = ()


class ItemState(Struct, frozen=True, omit_defaults=True):
    """An item that has begun and not succeeded, as StepState."""

    status: Literal["calling", "retrying", "suspended", "failed"]
    attempt: int
    spent: int = 0
    due_ms: int | None = None
    child: ChildRef | None = None


class KeptEvent(Struct, frozen=True, omit_defaults=True):
    """An event ahead of its wait. Without `until_ms` it is kept until the run ends: the run was parked, which no clock
    counts."""

    event: Event
    until_ms: int | None = None

    def lasts(self, at_ms: int) -> bool:
        return self.until_ms is None or self.until_ms >= at_ms


class Ending(Struct, frozen=True, omit_defaults=True):
    """How a run that is stopping will end, and the steps that are undone before, in this order."""

    ending: str
    reason: str
    undo: tuple[str, ...]


class RunState(Struct, frozen=True, omit_defaults=True):
    """The head of an open run. `seen` are the ids of the events that started it, that it consumed or that it keeps;
    `called` the steps that called something outside, in that order."""

    run: str
    definition: str
    version: str
    sha: str
    revision: str
    key: str
    seq: int
    started_ms: int
    trigger: str
    steps: dict[str, StepState]
    seen: tuple[str, ...]
    kept: tuple[KeptEvent, ...] = ()
    parent: Parent | None = None
    stopping: Ending | None = None
    called: tuple[str, ...] = ()
    # the offset in `definitions` at or below which its content was read: the contents of its child runs are there too
    at: int = 0

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
    """What falls due at `due_ms`, in partition time."""

    run: str
    step: str
    due_ms: int
    item: int | None = None


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


class Own(Struct, frozen=True):
    """The partition's own record. `applied` is the offset of the last command in this state, `reasons` counts
    rejections by code, `revisions` are those of the engine that runs were started with: a worker that does not know one
    of them leaves the partition to others."""

    applied: int = -1
    time_ms: int = 0
    counts: Counts = Counts()
    reasons: dict[str, int] = {}
    watermarks: dict[str, Watermark] = {}
    parked: int = 0
    topic_id: str = ""
    revisions: tuple[str, ...] = ()


KINDS: dict[str, Any] = {
    "own": Own,
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
