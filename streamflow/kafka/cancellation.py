"""Telling a cancellation that somebody asked for from one that leaked: while a broker is away, aiokafka's own tasks are
cancelled and raise CancelledError at whoever waits for them. Taken for ours, it would end a task of the runtime without
a word."""

from __future__ import annotations

import asyncio


def is_asked_for(error: BaseException) -> bool:
    """Whether `error`, just caught, is the cancellation of the current task."""
    task = asyncio.current_task()
    return isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling() > 0
