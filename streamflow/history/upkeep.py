"""What the worker does between batches: now and then it looks for what is kept long enough, and then removes or
archives one chunk a call, so that neither readers nor the projection wait."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from itertools import chain

import structlog

from streamflow.history.archive import archived
from streamflow.history.database import Database
from streamflow.history.retention import expire
from streamflow.settings import Settings

_log = structlog.get_logger(__name__)


class Upkeep:
    """Called between batches: now and then it looks for what is to go, and then removes one chunk a call."""

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.time) -> None:
        self._settings = settings
        self._history = settings.history
        self._clock = clock
        self._next_s = 0.0
        self._under_way: Iterator[int] | None = None
        self._removed = 0

    def step(self, database: Database) -> None:
        """Remove one chunk, if it is time. Raises OperationError."""
        if self._under_way is None:
            if self._clock() < self._next_s:
                return
            self._next_s = self._clock() + self._history.retention_s
            now_ms = int(self._clock() * 1000)
            expired = expire(database, self._history, now_ms)
            moved = archived(self._settings, database, now_ms) if self._history.archive is not None else iter(())
            self._under_way, self._removed = chain(expired, moved), 0
        removed = next(self._under_way, None)
        if removed is None:
            self._under_way = None
            if self._removed:
                _log.info("history_retention", rows=self._removed)
        else:
            self._removed += removed
