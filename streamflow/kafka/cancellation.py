"""Distinguishes the cancellation of our own tasks from a CancelledError that aiokafka raises: while a broker is away,
it cancels its own tasks, and their callers get the error. Taken for ours, it would silently end a task of the
runtime."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

AGAIN_S = 0.2


def is_own_cancellation(error: BaseException) -> bool:
    """Whether `error`, just caught, is the cancellation of the current task."""
    task = asyncio.current_task()
    return isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling() > 0


async def cancel(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancel `tasks` and return when all have ended, however they did. One cancellation may not be enough:
    `asyncio.wait_for` loses one that comes together with what it waits for, and its task goes on."""
    asked = set(tasks)
    while left := {task for task in asked if not task.done()}:
        for task in left:
            task.cancel()
        await asyncio.wait(left, timeout=AGAIN_S)
    for task in asked:
        if not task.cancelled():
            task.exception()  # or asyncio would complain that nobody asked for it


async def set_within(event: asyncio.Event, seconds: float) -> bool:
    """Whether `event` is set within that time. `asyncio.wait_for` would lose a cancellation that comes together with
    the event, and the task would never end."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return False
    return True
