"""Which unread records wait for work, and how long a group takes to catch up: the arithmetic of lag, without a broker.

What is not committed need not wait. Workers commit at intervals, the engine with its checkpoints; what is younger than
the interval is being worked on, or done, unless the worker is away, and then it is older soon. So lag is zero while
everything unread is within its interval, and the true age from then on.
"""

from __future__ import annotations

from collections import deque
from math import inf

from msgspec import Struct

from streamflow.core.checkpoint import QUIET_RECORDS, WATERMARKS_ONLY_S
from streamflow.settings import Settings

_SLACK_S = 0.5  # for a commit under way, and for clocks


class Head(Struct, frozen=True, kw_only=True):
    """The beginning of what is unread in a partition. Ages are seconds."""

    age_s: float | None
    """The age of the first unread record; None: it did not come in time."""

    work: int | None = None
    """How many of the unread records are work, which watermarks are not; None: they were not all read."""

    work_age_s: float = 0.0
    """The age of the first of those."""


class Interval(Struct, frozen=True, kw_only=True):
    """How old what is unread may be while a worker is well. All are seconds."""

    busy_s: float
    """Of a worker with much to do."""

    quiet_s: float
    """With little to do."""

    idle_s: float
    """With nothing but watermarks."""


def interval_of(settings: Settings, role: str) -> Interval:
    """The intervals in which the workers of a role commit."""
    if role == "engine":
        every_s = settings.engine.checkpoint_s
        return Interval(
            busy_s=every_s + _SLACK_S,
            quiet_s=settings.engine.checkpoint_idle_s + every_s + _SLACK_S,
            idle_s=max(WATERMARKS_ONLY_S, settings.engine.checkpoint_idle_s) + every_s + _SLACK_S,
        )
    every_s = settings.ingress.commit_s if role == "ingress" else 1.0
    return Interval(busy_s=every_s + _SLACK_S, quiet_s=every_s + _SLACK_S, idle_s=every_s + _SLACK_S)


def waiting(records: int, head: Head | None, interval: Interval) -> tuple[int, float | None]:
    """How many records of a partition wait for work, and the age of the oldest, None if that is not known. `records`
    are unread; `head` is None when none of them could be read although the end was: they are the marks of
    transactions."""
    if not records or head is None:
        return 0, 0.0
    if head.age_s is None:
        return records, None
    if head.work is None:
        return (records, head.age_s) if head.age_s > interval.busy_s else (0, 0.0)
    if not head.work:
        return (records, head.age_s) if head.age_s > interval.idle_s else (0, 0.0)
    allowed_s = interval.quiet_s if head.work < QUIET_RECORDS else interval.busy_s
    return (head.work, head.work_age_s) if head.work_age_s > allowed_s else (0, 0.0)


def worst(one_s: float | None, other_s: float | None) -> float | None:
    """The larger of two ages, 0 where nothing waits. One that is not known counts where nothing else is known to
    wait."""
    if one_s is None or other_s is None:
        return one_s or other_s or None
    return max(one_s, other_s)


class Progress:
    """The last positions of a group in a topic, over `window_s` seconds."""

    def __init__(self, window_s: float = 60.0) -> None:
        self._window_s = window_s
        self._seen: deque[tuple[float, int, int]] = deque()

    def note(self, at_s: float, committed: int, end: int) -> None:
        """The sums over all partitions at a moment. Positions that go back, as after a reset, begin again."""
        if self._seen and (committed < self._seen[-1][1] or end < self._seen[-1][2]):
            self._seen.clear()
        self._seen.append((at_s, committed, end))
        while len(self._seen) > 2 and self._seen[1][0] <= at_s - self._window_s:
            self._seen.popleft()

    def drain_s(self, records: int) -> float | None:
        """Seconds until `records` are worked on and what comes meanwhile too, at the rates of the window; infinite when
        the group falls behind; None when that is not known yet."""
        if not records:
            return 0.0
        (began_s, committed, end), (now_s, committed_now, end_now) = self._seen[0], self._seen[-1]
        if now_s <= began_s:
            return None
        gained = (committed_now - committed) - (end_now - end)
        return records * (now_s - began_s) / gained if gained > 0 else inf
