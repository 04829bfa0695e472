"""The rules of the engine's protocol, each with the ways in which it could have been made otherwise.

`Rules()` is the protocol as docs/design.md states it. A variant replaces one or two rules by another of the listed
values; `tests/model/protocol_scenarios.py` says which invariant it then breaks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

OpeningStep = Literal["fence", "restore", "committed", "age"]


@dataclass(frozen=True, kw_only=True)
class Rules:
    """One value for each sentence of the protocol. The first value listed is the right one, unless a comment says
    otherwise."""

    now: Literal["record", "clock"] = "record"
    """What a decision takes for now: the partition's time, from LogAppendTime, or the clock of the worker."""

    definition: Literal["command", "view"] = "command"
    """Which definition a start begins: the one that the command names, or the newest that the worker has read."""

    content: Literal["unread", "unheld"] = "unread"
    """When the content of a definition is deleted: when no unread start names it either, or when no run holds it."""

    match: Literal["attempt", "run"] = "attempt"
    """What a task result is matched by: run, step and attempt, or the run alone."""

    early_timer: Literal["again", "once"] = "again"
    """Whether the host sends a timer command again that was refused because its clock was ahead."""

    forgetting: Literal["decide", "background"] = "decide"
    """Who deletes the records of finished runs: a decision, by partition time, or a background job, by the clock."""

    duplicates: Literal["mark", "one-mark", "pairs", "window"] = "mark"
    """Which starts are duplicates: those at or below the mark of their source partition; of all sources; those whose
    offset was applied (also right, and needed when definitions change); those whose finished run is remembered."""

    counts: Literal["state", "memory"] = "state"
    """Where outcomes are counted: in the state, hence in the cut, or in the process."""

    sending: Literal["ordered", "unordered"] = "ordered"
    """Whether outputs leave in order. The other value is planted to see the invariant fire."""

    outputs_first: bool = True
    """Whether a checkpoint commits only when the outputs of what it covers are acknowledged."""

    values: Literal["captured", "live"] = "captured"
    """Which values a transaction takes: those captured together with the offset, or those of its own moment."""

    store: Literal["after", "before"] = "after"
    """Whether the store is written after the transaction or before it."""

    cut: Literal["same", "live"] = "same"
    """What is written to the store: the transaction's cut, or what memory holds by then."""

    overlay: Literal["newer", "nothing"] = "newer"
    """What memory keeps over the store after it was written: what changed since the capture, or nothing."""

    failure: Literal["close", "merge", "drop"] = "close"
    """What a failed checkpoint leads to: a reopening through a restore; its keys are dirty again (also right); it is
    ignored."""

    fenced: Literal["close", "reinit"] = "close"
    """What a fenced owner does: close, or take a new producer and try again with the same memory."""

    regained: Literal["reopen", "refence", "ignore"] = "reopen"
    """What a worker does whose partition was taken and given back before it noticed: reopen it through a restore, take
    a new producer only, or go on from the committed offset."""

    contiguous: bool = True
    """Whether a batch that does not begin at applied + 1 is trimmed, or answered by a seek, before it is applied."""

    label: Literal["own", "header"] = "own"
    """Where a restore takes its offset from: the partition's own record, or the largest among the other records."""

    opening: tuple[OpeningStep, ...] = ("fence", "restore")
    """The steps of a new owner. `committed` takes the position from the group; `age` measures the store's age there
    only."""

    restore: Literal["offset-last", "offset-first"] = "offset-last"
    """Whether a restore writes its offset after the data or before."""

    lost_cut: Literal["restored", "kept"] = "restored"
    """What a restore does with a store whose last cut is not in the changelog: throw it away, or go on with it."""

    age: bool = True
    """Whether a store older than an expired tombstone is thrown away, also at the end of a restore."""

    batches: Literal["awaited", "unawaited", "early"] = "awaited"
    """When a transaction is committed: when every batch of the cut is acknowledged, otherwise it is left to the next
    fence; when every batch has ended, acknowledged or refused; at any time."""

    cut_number: Literal["every", "ends", "ignored"] = "every"
    """Where a cut carries its number, so that a restore refuses a torn one: in every batch and at its end; in its first
    and last record only; nowhere."""

    sequenced: bool = True
    """Whether the broker refuses a batch after a gap in the producer's sequence: a fact of Kafka, not a rule of
    ours."""


@dataclass(frozen=True, kw_only=True)
class Setting:
    """A small instance of the protocol, and how often each fault may happen in it."""

    runs: int = 1
    """Different events, each of which starts a run."""
    sources: int = 1
    """Partitions of the source topic, over which the events are dealt."""
    version: int = 1
    """The definition that starts name; a run of definition n has n stages."""
    preload: int = 1
    """Starts that are in `commands` from the beginning."""
    largest_batch: int = 2
    """Commands in one fetched batch, at most."""
    window: int = 1
    """How long a finished run is remembered, in ticks."""
    timers: bool = False
    """Whether runs have timers."""
    skew: int = 0
    """Ticks by which the workers' clocks are ahead."""
    workers: int = 2
    sync: bool = False
    """Whether a store reaches its disk at times of its own."""
    definitions: bool = False
    """Whether definitions are published, read and retired in the course of events."""
    log: tuple[tuple[str, int, tuple[int, int] | tuple[int, str], int, int], ...] = ()
    """The commands at the beginning, instead of `preload` starts."""
    silent: bool = False
    """Whether task workers never answer."""
    ignores: tuple[tuple[int, int], ...] = ()
    """Pairs of (event, definition) that do not match."""
    ahead: bool = True
    """Whether a batch may be decided while outputs of the one before are not acknowledged."""
    parts: int = 1
    """Batches of one transaction; with 1 a transaction is atomic by itself."""

    assign: int = 0
    """Budget: the group gives the partition to a worker."""
    crash: int = 0
    """Budget: a worker dies."""
    machine: int = 0
    """Budget: a worker dies and the unsynced tail of its store is lost."""
    wipe: int = 0
    """Budget: the store of a worker that is down is deleted."""
    expire: int = 0
    """Budget: the tombstone of a run is removed from the changelog."""
    tick: int = 0
    """Budget: the broker's time moves on."""
    repeat: int = 0
    """Budget: ingress goes back and appends a start again."""
    redo: int = 0
    """Budget: a task answers twice, differently."""
    abort: int = 0
    """Budget: a transaction fails, before or after it was committed."""
    unmark: int = 0
    """Budget: the broker acknowledges a commit and loses its marker; the next transaction's end is its end."""
    refuse: int = 0
    """Budget: the broker refuses one batch of a transaction."""
    publish: int = 0
    """Budget: a new definition is published."""
    stale: int = 0
    """Budget: a fetched batch stays in a worker's queue."""
    retire: int = 0
    """Budget: the first definition is retired and its content deleted."""
