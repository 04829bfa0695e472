"""Partitions of `commands` on which nothing works while records wait: the engine's workers stopped there, or there are
none.

What the engine committed is a part of a notice's id. So one that was sent is known after a restart, too, and a
partition that continued and stands still again is another one."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from streamflow.history.notices import NoticeRow

Positions = Mapping[int, tuple[int, int]]
"""By partition: what is committed (-1: nothing) and the end."""


class Stalled:
    """Watches positions, in the memory of one process."""

    def __init__(self, after_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._after_s = after_s
        self._clock = clock
        self._since: dict[int, tuple[int, float]] | None = None

    def look(self, positions: Positions, at_ms: int) -> list[NoticeRow]:
        """The partitions that stand still, as notices of `at_ms`."""
        now = self._clock()
        waiting = {number: committed for number, (committed, end) in positions.items() if end > max(committed, 0)}
        before = self._since or {}
        self._since = {
            number: known if (known := before.get(number, (-2, now)))[0] == committed else (committed, now)
            for number, committed in waiting.items()
        }
        return [
            NoticeRow(id=id_of(number, committed), kind="partition", step=str(number), at_ms=at_ms)
            for number, (committed, since) in sorted(self._since.items())
            if now - since >= self._after_s
        ]

    def is_over(self, notice: NoticeRow) -> bool:
        """Whether the partition of a notice is known to have moved on."""
        if self._since is None:
            return False
        known = self._since.get(int(notice.step))
        return known is None or notice.id != id_of(int(notice.step), known[0])


def id_of(number: int, committed: int) -> str:
    """The id of the notice that partition `number` stands still at `committed`."""
    return f"partition/{number}/{committed}"
