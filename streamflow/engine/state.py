"""The state of one partition: records under text keys, the same in memory, in the store and in the changelog.

Many small records rather than one blob a run: a record is written when it changes (one blob a run rewrote 164 MB for
400 items, measured).

    own                          the partition itself: applied offset, partition time, counts, watermarks
    content/<sha>                a definition that a start named (law pinned-content)
    mark/<topic id>/<partition>  the offset that ingress has committed of one source partition
    run/<run>                    the head of an open run
    out/<run>/<step>             the output of a step, written once; step `` is the event that started the run
    out/<run>/<step>/<item>      the output of one item of a list
    list/<run>/<step>/<n>        a hundred items of a list
    item/<run>/<step>/<item>     an item that has begun and not succeeded
    timer/<due ms>/<run>/<step>  an armed timer (with /<item>: of an item), in the order they fall due

The records of mailboxes are in `mailbox.records`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Protocol

from msgspec import Struct

from streamflow.engine.commands import Parent
from streamflow.engine.mailbox.buckets import Memories
from streamflow.engine.mailbox.records import Box, Mail, Remembered

OWN = "own"
LIST_CHUNK = 100  # items of a list in one record: reading one item decodes a chunk
WRITTEN_ONCE = (
    "out/",
    "timer/",
    "list/",
    "mail/",
    "due/",
)  # never written again under the same key before they are deleted


def content_key(sha: str) -> str:
    return f"content/{sha}"


def mark_key(topic_id: str, partition: int) -> str:
    return f"mark/{topic_id}/{partition}"


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
    since_offset: int | None = None  # of a wait with `since: here`: the offset in `commands` at which it began


class ItemState(Struct, frozen=True, omit_defaults=True):
    """An item that has begun and not succeeded, as StepState."""

    status: Literal["calling", "retrying", "suspended", "failed"]
    attempt: int
    spent: int = 0
    due_ms: int | None = None
    child: ChildRef | None = None


class Ending(Struct, frozen=True, omit_defaults=True):
    """How a run that is stopping will end, and the steps that are undone before, in this order."""

    ending: str
    reason: str
    undo: tuple[str, ...]


class RunState(Struct, frozen=True, omit_defaults=True):
    """The head of an open run. `called` are the steps that called something outside, in that order."""

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
    parent: Parent | None = None
    stopping: Ending | None = None
    called: tuple[str, ...] = ()
    # the offset in `definitions` at or below which its content was read: the contents of its child runs are there too
    at: int = 0

    @property
    def parked(self) -> bool:
        return any(step.status == "parked" for step in self.steps.values())


class Timer(Struct, frozen=True, omit_defaults=True):
    run: str
    step: str
    due_ms: int
    item: int | None = None


class Counts(Struct, frozen=True):
    """Outcomes of all commands of the partition: read = applied + rejected + duplicate + dead (law one-outcome)."""

    read: int = 0
    applied: int = 0
    rejected: int = 0
    duplicate: int = 0
    dead: int = 0


class Watermark(Struct, frozen=True):
    partitions: int
    at_ms: dict[str, int]

    def reached(self) -> int:
        """The time before which everything is read in all partitions; 0 while one of them was never reported."""
        return min(self.at_ms.values(), default=0) if len(self.at_ms) >= self.partitions else 0


class PinnedContent(Struct, frozen=True, array_like=True):
    """How a copied content is used."""

    open_runs: int
    used_ms: int  # when a run of it last began or ended


class Own(Struct, frozen=True):
    """The partition's own record. `applied` is the offset of the last command in this state, `reasons` counts
    rejections by code, `revisions` the open runs by the engine's revision that they were started with: a worker that
    does not know one of them leaves the partition to others. `topic_id` and `partition` are in run ids, `memories` are
    the buckets of what is known of events, `contents` the copied contents by sha256."""

    applied: int = -1
    time_ms: int = 0
    counts: Counts = Counts()
    reasons: dict[str, int] = {}
    watermarks: dict[str, Watermark] = {}
    parked: int = 0
    topic_id: str = ""
    revisions: dict[str, int] = {}
    partition: int = 0
    memories: Memories = Memories()
    contents: dict[str, PinnedContent] = {}


KINDS: dict[str, Any] = {
    "own": Own,
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
    "tally": dict[str, int],
}


class StateView(Protocol):
    """What a decision may read. Nothing else exists for it."""

    def get(self, key: str) -> Any:
        """The record under `key`, decoded, or None."""

    def due(self, until_ms: int, changes: Mapping[str, Any]) -> str | None:
        """The first `due/<ms>/...` with a time up to `until_ms` that `changes` does not delete, or None."""

    def keys_after(self, prefix: str, after: str, count: int) -> list[str]:
        """Up to `count` keys that begin with `prefix` and are not below `after`, in order. Some may have been deleted
        lately."""
