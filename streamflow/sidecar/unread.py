"""Connections whose client does not read what it was sent: in time, and in bytes over all of them."""

from __future__ import annotations

import asyncio
from typing import Any, Protocol

from streamflow.core.metrics import Metrics

UNREAD_BYTES = 64 << 20  # of answers that wait for their readers, in one process


def cancel(timer: asyncio.TimerHandle | None) -> None:
    """Cancels a timer, if there is one."""
    if timer is not None:
        timer.cancel()


class _Writing(Protocol):
    """A connection that writes."""

    loop: asyncio.AbstractEventLoop
    transport: Any

    def end(self, why: str) -> None: ...


class Unread:
    """The connections of a server whose client does not read what it was sent. Each has `seconds` for it, and all
    together may hold `limit` bytes; above that the one that has waited longest is cut off."""

    def __init__(self, seconds: float, limit: int) -> None:
        self._seconds, self._limit = seconds, limit
        self._timers: dict[_Writing, asyncio.TimerHandle] = {}

    def longest(self) -> Any:
        """The one that has waited longest; None if there is none."""
        return next(iter(self._timers), None)

    def add(self, connection: _Writing) -> None:
        """Its client has begun not to read."""
        if connection not in self._timers:
            self._timers[connection] = connection.loop.call_later(self._seconds, self._cut, connection, "unread")
        held = {one: one.transport.get_write_buffer_size() for one in self._timers}
        excess = sum(held.values()) - self._limit
        for one, size in held.items():
            if excess <= 0:
                return
            excess -= size
            self._cut(one, "unread_bytes")

    def forget(self, connection: _Writing) -> None:
        """It has read, or is gone."""
        cancel(self._timers.pop(connection, None))

    def _cut(self, connection: _Writing, why: str) -> None:
        self.forget(connection)
        connection.end(why)


class BoundedReader:
    """A mixin for uvicorn's protocols, before them: a client that reads nothing for too long is cut off. `unread` and
    `metrics` belong to the server."""

    metrics: Metrics
    transport: Any
    unread: Unread
    _counted = False

    def end(self, why: str) -> None:
        """Ends the connection, and counts that."""
        self.count_end(why)
        self.transport.abort()

    def count_end(self, why: str) -> None:
        """Counts that the connection is ended: once, though two deadlines pass before its client has gone."""
        if not self._counted:
            self._counted = True
            self.metrics.count("connections_ended", reason=why)

    def pause_writing(self) -> None:
        """Called by the transport when its buffer is full."""
        super().pause_writing()  # type: ignore[misc]  # of the protocol
        self.unread.add(self)  # type: ignore[arg-type]  # the protocol writes

    def resume_writing(self) -> None:
        """Called by the transport when there is room in its buffer again."""
        super().resume_writing()  # type: ignore[misc]  # of the protocol
        self.unread.forget(self)  # type: ignore[arg-type]  # the protocol writes
