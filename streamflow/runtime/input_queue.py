"""The input of one partition: how it is steered, and the fetched batches that wait to be decided. Above the bounds of
these, fetching pauses."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Protocol

from streamflow.runtime.transport import Fetched

# above either, fetching pauses: two seconds of work, so that no pause is felt
RECORDS, BYTES = 16_000, 16 << 20


class Input(Protocol):
    """How a partition steers its input."""

    async def release(self, partition: int, offset: int) -> None:
        """Deliver from `offset` on, under a new epoch."""

    def epoch(self, partition: int) -> int: ...

    def pause(self, partition: int) -> None: ...

    def resume(self, partition: int) -> None: ...

    async def first_offset(self, partition: int) -> int:
        """The oldest offset that `commands` still has."""


class InputQueue:
    """First in, first out. `pause` is called when a bound is passed, `resume` when half of it is free again."""

    def __init__(self, pause: Callable[[], None], resume: Callable[[], None]) -> None:
        self._pause = pause
        self._resume = resume
        self._batches: deque[Fetched] = deque()
        self._records = self._bytes = 0
        self._arrived = asyncio.Event()
        self._paused = False

    def put(self, fetched: Fetched) -> None:
        """Append a batch; never blocks."""
        self._batches.append(fetched)
        self._count(fetched, 1)
        self._arrived.set()
        if not self._paused and (self._records > RECORDS or self._bytes > BYTES):
            self._paused = True
            self._pause()

    async def get(self) -> Fetched:
        """The next batch."""
        while not self._batches:
            self._arrived.clear()
            await self._arrived.wait()
        fetched = self._batches.popleft()
        self._count(fetched, -1)
        if self._paused and self._records < RECORDS // 2 and self._bytes < BYTES // 2:
            self._paused = False
            self._resume()
        return fetched

    def clear(self) -> None:
        """Drop everything: it is fetched again after a seek, which also resumes."""
        self._batches.clear()
        self._records = self._bytes = 0
        self._paused = False

    def _count(self, fetched: Fetched, sign: int) -> None:
        self._records += sign * len(fetched.records)
        self._bytes += sign * sum(len(record.value or b"") for record in fetched.records)
