"""The two memories of a partition: what was consumed or is kept (`seen`), and what nobody consumed (`trail`).

Records lie in buckets, named by the time at which all of their records have lived their lifetime: that of `seen` is the
window of the definition, so buckets of several widths lie side by side. A bucket that is over is swept a few records
per command, and is looked into until it is empty: a sweep that lags must not forget early. The sweep resumes after the
last key that it looked at, so it does not read its own deletions again.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from msgspec.structs import replace

from streamflow.engine.mailbox.buckets import Buckets
from streamflow.engine.mailbox.records import (
    EMPTY,
    Box,
    Memory,
    Remembered,
    Window,
    box_key,
    erased_name,
    mailbox_of,
    memory_key,
    memory_prefix,
    names_of,
    window_key,
)

if TYPE_CHECKING:
    from streamflow.engine.builder import DecisionBuilder

SWEPT_PER_COMMAND = 16  # more than one command can write, so a backlog shrinks
_KINDS: tuple[Memory, Memory] = ("seen", "trail")


class Found(NamedTuple):
    """A remembered event: in which memory, under which key of the state."""

    memory: Memory
    key: str
    record: Remembered


def find(builder: DecisionBuilder, definition: str, mailbox: str, identity: str) -> Found | None:
    """What a mailbox of `definition` remembers of the event with this identity, or None."""
    window: Window | None = builder.get(window_key(definition))
    if window is None:
        return None
    found = _find(builder, window, mailbox, identity)
    if found is None and _was_erased(builder):
        found = _find(builder, window, erased_name(mailbox), identity)
    return found


def _find(builder: DecisionBuilder, window: Window, mailbox: str, identity: str) -> Found | None:
    for memory in _KINDS:
        for end_ms in reversed(window.seen if memory == "seen" else window.trail):
            key = memory_key(memory, end_ms, mailbox, identity)
            record: Remembered | None = builder.get(key)
            if record is not None:
                return Found(memory, key, record)
    return None


def _was_erased(builder: DecisionBuilder) -> bool:
    """Whether a bucket may still hold events of an erased key."""
    memories = builder.memories
    return bool(memories.erased_ms) and any(
        buckets.ends_ms and buckets.ends_ms[0] <= memories.erased_ms for buckets in (memories.seen, memories.trail)
    )


def hide(builder: DecisionBuilder, mailbox: str, most: int) -> int:
    """Have what is remembered of a mailbox's events lie under a name that does not reveal its key, `most` records at
    most; how many. An event that comes again is a duplicate as before."""
    hidden, other, definition = 0, erased_name(mailbox), names_of(mailbox)[0]
    window: Window = builder.get(window_key(definition)) or Window(builder.limits.window_ms)
    for memory in _KINDS:
        for end_ms in window.seen if memory == "seen" else window.trail:
            prefix = memory_key(memory, end_ms, mailbox, "")
            for key in islice(builder.view.keys(prefix), most - hidden):
                record: Remembered = builder.get(key)
                known = Found(memory, key, record)
                # into the bucket of now: a sweep of an older one may have passed the new name already
                remember(builder, memory, definition, other, key.removeprefix(prefix), record, known, window.window_ms)
                hidden += 1
    last_ms = max((*builder.memories.seen.ends_ms, *builder.memories.trail.ends_ms), default=0)
    builder.memories = replace(builder.memories, erased_ms=last_ms)
    return hidden


def remember(
    builder: DecisionBuilder,
    memory: Memory,
    definition: str,
    mailbox: str,
    identity: str,
    record: Remembered,
    known: Found | None,
    window_ms: int,
) -> None:
    """Remember an event from now on, instead of what is `known` of it: for `window_ms` if it is in `seen`."""
    lifetime_ms = window_ms if memory == "seen" else builder.limits.trail_ms
    width_ms = lifetime_ms // 2 or 1
    end_ms = builder.now_ms - builder.now_ms % width_ms + width_ms + lifetime_ms
    key = memory_key(memory, end_ms, mailbox, identity)
    if known is not None and known.key != key:
        builder.put(known.key, None)
    buckets = _buckets(builder, memory)
    if end_ms not in buckets.ends_ms:
        _set(builder, memory, replace(buckets, ends_ms=tuple(sorted((*buckets.ends_ms, end_ms)))))
    _note_bucket(builder, memory, definition, end_ms, window_ms)
    builder.put(key, record)


def _note_bucket(builder: DecisionBuilder, memory: Memory, definition: str, end_ms: int, window_ms: int) -> None:
    """Note that a bucket has records of a definition; buckets that are empty by now are left out."""
    key = window_key(definition)
    window: Window = builder.get(key) or Window(window_ms)
    ends_ms = window.seen if memory == "seen" else window.trail
    if end_ms in ends_ms and window.window_ms == window_ms:
        return
    there = {end_ms, *ends_ms}.intersection(_buckets(builder, memory).ends_ms)
    builder.put(key, replace(window, **{"window_ms": window_ms, memory: tuple(sorted(there))}))


def sweep(builder: DecisionBuilder) -> None:
    """Forget records of the oldest bucket of each memory that is over, a few of them; what is needed moves into the
    bucket of now."""
    for memory in _KINDS:
        buckets = _buckets(builder, memory)
        if not _is_over(builder, buckets):
            continue
        prefix = memory_prefix(memory, buckets.ends_ms[0])
        after = f"{buckets.swept}\0" if buckets.swept else prefix
        keys = builder.view.keys_after(prefix, after, SWEPT_PER_COMMAND + 1)
        for key in keys[:SWEPT_PER_COMMAND]:
            record: Remembered | None = builder.get(key)
            if record is None:
                continue
            mailbox, identity = mailbox_of(key)
            if memory == "seen" and _is_needed(builder, mailbox, record):
                definition, known = names_of(mailbox)[0], Found(memory, key, record)
                window_ms = _window_of(builder, definition)
                remember(builder, memory, definition, mailbox, identity, record, known, window_ms)
            else:
                builder.put(key, None)
        buckets = _buckets(builder, memory)
        if len(keys) > SWEPT_PER_COMMAND:
            _set(builder, memory, replace(buckets, swept=keys[SWEPT_PER_COMMAND - 1]))
        else:
            _set(builder, memory, Buckets(buckets.ends_ms[1:]))


def _is_over(builder: DecisionBuilder, buckets: Buckets) -> bool:
    """Whether all records of the oldest bucket have lived their lifetime."""
    return bool(buckets.ends_ms) and buckets.ends_ms[0] <= builder.now_ms


def _window_of(builder: DecisionBuilder, definition: str) -> int:
    """The window with which an event of a definition was remembered last, in milliseconds."""
    window: Window | None = builder.get(window_key(definition))
    return window.window_ms if window is not None else builder.limits.window_ms


def _is_needed(builder: DecisionBuilder, mailbox: str, record: Remembered) -> bool:
    """Whether the event is still kept, or a run is open that was open when it was consumed (up to a limit)."""
    box: Box = builder.get(box_key(mailbox)) or EMPTY
    if record.outcome == "kept":
        return any(entry.offset == record.offset for entry in box.entries)
    return builder.now_ms - record.at_ms < builder.limits.claims_most_ms and any(
        run.start <= record.last for run in box.runs
    )


def _buckets(builder: DecisionBuilder, memory: Memory) -> Buckets:
    return builder.memories.seen if memory == "seen" else builder.memories.trail


def _set(builder: DecisionBuilder, memory: Memory, buckets: Buckets) -> None:
    if memory == "seen":
        builder.memories = replace(builder.memories, seen=buckets)
    else:
        builder.memories = replace(builder.memories, trail=buckets)
