"""What an open step waits for, as words that runs are listed and found by. Pure.

A wait is the name of an event, or `<kind>:<what>`; no name of an event has a colon. Spaces separate waits, so that
those in a name become `_`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any

from streamflow.engine import transitions as t
from streamflow.engine.attempt_transitions import AttemptFailed, AttemptSuspended, CallRequested, ChildRequested
from streamflow.engine.state import Status

SHOWN = 20  # of one run, in its row; every one is found
_SPACE = re.compile(r"\s")
_WAITING: frozenset[Status] = frozenset(
    {"waiting", "delayed", "calling", "retrying", "suspended", "listing", "awaiting_approval"}
)


def waits_after(before: tuple[str, ...], data: Any, status: Status) -> tuple[str, ...]:
    """What a step waits for after the fact `data`, which made its status `status`, from what it waited for before."""
    if status not in _WAITING:
        return ()
    update = _FACTS.get(type(data))
    return update(before, data) if update is not None else before


def found_by(waits: Iterable[str]) -> frozenset[str]:
    """The words by which a run with these waits is found: each of them, and its kind with a colon after it."""
    return frozenset(word for wait in waits for word in (wait, *_kind(wait)))


def shown(waits: Iterable[str]) -> str | None:
    """The waits of a run in one text, sorted; beyond SHOWN their number. None: there are none."""
    words = sorted(set(waits))
    more = [f"+{len(words) - SHOWN}"] if len(words) > SHOWN else []
    return " ".join([*words[:SHOWN], *more]) or None


def _kind(wait: str) -> tuple[str, ...]:
    kind, colon, _ = wait.partition(":")
    return (kind + colon,) if colon else ()


def _word(kind: str, what: str) -> str:
    return f"{kind}:{_SPACE.sub('_', what)}"


def _called(before: tuple[str, ...], data: CallRequested) -> tuple[str, ...]:
    return (_word("call", data.operation),)


def _suspended(before: tuple[str, ...], data: AttemptSuspended) -> tuple[str, ...]:
    if data.item is not None:
        return before
    return tuple(_word("callback", wait.partition(":")[2]) for wait in before)


def _failed(before: tuple[str, ...], data: AttemptFailed) -> tuple[str, ...]:
    if data.item is not None or data.retry_ms is None:
        return before
    return tuple(_word("retry", wait.partition(":")[2]) for wait in before)


def _until(ms: int) -> str:
    try:
        return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (OverflowError, OSError, ValueError):
        return str(ms)  # beyond the year 9999


_FACTS: dict[type, Callable[[tuple[str, ...], Any], tuple[str, ...]]] = {
    t.WaitStarted: lambda before, data: tuple(data.events),
    t.DelayStarted: lambda before, data: (_word("delay", _until(data.until_ms)),),
    t.ApprovalRequested: lambda before, data: tuple(sorted(_word("approval", who) for who in data.who)),
    CallRequested: _called,
    ChildRequested: lambda before, data: (_word("child", data.definition),),
    AttemptSuspended: _suspended,
    AttemptFailed: _failed,
}
