"""The two memories of a partition: what was consumed or is kept (`seen`), and what nobody consumed (`trail`).

Records lie in buckets, each half a lifetime wide. A bucket that is over is swept a few records per command, and is
looked into until it is empty: a sweep that lags must not forget early. The sweep resumes after the last key that it
looked at, so it does not read its own deletions again.
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
    box_key,
    erased_name,
    mailbox_of,
    memory_key,
    memory_prefix,
)

if TYPE_CHECKING:
    from streamflow.engine.builder import DecisionBuilder, Limits

SWEPT_PER_COMMAND = 16  # more than one command can write, so a backlog shrinks
_KINDS: tuple[Memory, Memory] = ("seen", "trail")


class Found(NamedTuple):
    """A remembered event: in which memory, under which key of the state."""

    memory: Memory
    key: str
    record: Remembered


def find(builder: DecisionBuilder, mailbox: str, identity: str) -> Found | None:
    """What is remembered of the event with this identity, or None."""
    found = _find(builder, mailbox, identity)
    if found is None and _was_erased(builder):
        found = _find(builder, erased_name(mailbox), identity)
    return found


def _find(builder: DecisionBuilder, mailbox: str, identity: str) -> Found | None:
    for memory in _KINDS:
        for start_ms in reversed(_buckets(builder, memory).starts_ms):
            key = memory_key(memory, start_ms, mailbox, identity)
            record: Remembered | None = builder.get(key)
            if record is not None:
                return Found(memory, key, record)
    return None


def _was_erased(builder: DecisionBuilder) -> bool:
    """Whether a bucket may still hold events of an erased key."""
    erased_ms = builder.memories.erased_ms
    return bool(erased_ms) and any(
        buckets.starts_ms and buckets.starts_ms[0] <= erased_ms
        for buckets in (builder.memories.seen, builder.memories.trail)
    )


def hide(builder: DecisionBuilder, mailbox: str, most: int) -> int:
    """Have what is remembered of a mailbox's events lie under a name that does not tell its key, `most` records at
    most; how many. An event that comes again is a duplicate as before."""
    hidden, other = 0, erased_name(mailbox)
    for memory in _KINDS:
        for start_ms in _buckets(builder, memory).starts_ms:
            prefix = memory_key(memory, start_ms, mailbox, "")
            for key in islice(builder.view.keys(prefix), most - hidden):
                record: Remembered = builder.get(key)
                # into the bucket of now: a sweep of an older one may have passed the new name already
                remember(builder, memory, other, key.removeprefix(prefix), record, Found(memory, key, record))
                hidden += 1
    builder.memories = replace(builder.memories, erased_ms=builder.now_ms)
    return hidden


def remember(
    builder: DecisionBuilder, memory: Memory, mailbox: str, identity: str, record: Remembered, known: Found | None
) -> None:
    """Remember an event from now on, in the place of what is `known` of it."""
    start_ms = builder.now_ms - builder.now_ms % _width_ms(_lifetime_ms(builder.limits, memory))
    key = memory_key(memory, start_ms, mailbox, identity)
    if known is not None and known.key != key:
        builder.put(known.key, None)
    buckets = _buckets(builder, memory)
    if start_ms not in buckets.starts_ms:
        _set(builder, memory, replace(buckets, starts_ms=tuple(sorted((*buckets.starts_ms, start_ms)))))
    builder.put(key, record)


def sweep(builder: DecisionBuilder) -> None:
    """Forget records of the oldest bucket of each memory that is over, a few of them; what is needed moves into the
    bucket of now."""
    for memory in _KINDS:
        buckets = _buckets(builder, memory)
        if not buckets.starts_ms or not _is_over(builder, memory, buckets.starts_ms[0]):
            continue
        prefix = memory_prefix(memory, buckets.starts_ms[0])
        after = f"{buckets.swept}\0" if buckets.swept else prefix
        keys = builder.view.keys_after(prefix, after, SWEPT_PER_COMMAND + 1)
        for key in keys[:SWEPT_PER_COMMAND]:
            record: Remembered | None = builder.get(key)
            if record is None:
                continue
            mailbox, identity = mailbox_of(key)
            if memory == "seen" and _is_needed(builder, mailbox, record):
                remember(builder, memory, mailbox, identity, record, Found(memory, key, record))
            else:
                builder.put(key, None)
        buckets = _buckets(builder, memory)
        if len(keys) > SWEPT_PER_COMMAND:
            _set(builder, memory, replace(buckets, swept=keys[SWEPT_PER_COMMAND - 1]))
        else:
            _set(builder, memory, Buckets(buckets.starts_ms[1:]))


def _is_needed(builder: DecisionBuilder, mailbox: str, record: Remembered) -> bool:
    """Whether the event is still kept, or a run is open that was open when it was consumed (up to a limit)."""
    box: Box = builder.get(box_key(mailbox)) or EMPTY
    if record.outcome == "kept":
        return any(entry.offset == record.offset for entry in box.entries)
    return builder.now_ms - record.at_ms < builder.limits.claims_most_ms and any(
        run.start <= record.last for run in box.runs
    )


def _lifetime_ms(limits: Limits, memory: Memory) -> int:
    return limits.window_ms if memory == "seen" else limits.trail_ms


def _width_ms(lifetime_ms: int) -> int:
    return lifetime_ms // 2 or 1


def _is_over(builder: DecisionBuilder, memory: Memory, start_ms: int) -> bool:
    """Whether the youngest record that the bucket may have has lived its time."""
    lifetime_ms = _lifetime_ms(builder.limits, memory)
    return start_ms + _width_ms(lifetime_ms) + lifetime_ms <= builder.now_ms


def _buckets(builder: DecisionBuilder, memory: Memory) -> Buckets:
    return builder.memories.seen if memory == "seen" else builder.memories.trail


def _set(builder: DecisionBuilder, memory: Memory, buckets: Buckets) -> None:
    if memory == "seen":
        builder.memories = replace(builder.memories, seen=buckets)
    else:
        builder.memories = replace(builder.memories, trail=buckets)
