"""Questions that come while others are being answered, asked together: a change of threads costs more than a small
answer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")

_AT_ONCE = 2  # callers whose answer takes long hold up no others, while there are few of them
_MOST = 16


class Together(Generic[K, V]):
    """Asks `answer` for the values of some keys, in order. For one event loop. Nothing is kept: `answer` is called
    after the caller of a key came."""

    def __init__(self, answer: Callable[[Sequence[K]], Awaitable[Sequence[V]]]) -> None:
        self._answer = answer
        self._waiting: list[tuple[K, asyncio.Future[V]]] = []
        self._working = 0  # tasks that will look at `_waiting` again
        self._tasks: set[asyncio.Task[None]] = set()

    async def ask(self, key: K) -> V:
        """The value of a key. Raises what `answer` raises for those that are asked together."""
        arrived: asyncio.Future[V] = asyncio.get_running_loop().create_future()
        self._waiting.append((key, arrived))
        if self._working < _AT_ONCE:
            self._working += 1
            task = asyncio.create_task(self._work())
            self._tasks.add(task)  # else it might be collected
            task.add_done_callback(self._tasks.discard)
        return await arrived

    async def _work(self) -> None:
        try:
            await self._answer_all()
        finally:
            self._working -= 1  # at once: callbacks of the task come after callers that ask again

    async def _answer_all(self) -> None:
        while self._waiting:
            some, self._waiting = self._waiting[:_MOST], self._waiting[_MOST:]
            try:
                found = await self._answer([key for key, _ in some])
            except Exception as error:  # noqa: BLE001 - the callers get it
                for _, arrived in some:
                    if not arrived.done():
                        arrived.set_exception(error)
            else:
                for (_, arrived), value in zip(some, found, strict=True):
                    if not arrived.done():
                        arrived.set_result(value)
