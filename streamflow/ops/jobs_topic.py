"""The topic `jobs` as one process has it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Protocol, TypeVar

import structlog

from streamflow.errors import OperationError
from streamflow.kafka.exclusive_log import WRITE_S, ExclusiveWriter, LogReader, Outgoing, retry_fenced
from streamflow.kafka.topics import JOBS, topic_name
from streamflow.ops.jobs import Board, Records
from streamflow.settings import Settings

T = TypeVar("T")

_log = structlog.get_logger(__name__)

Make = Callable[[Board, int], Records]
"""The records to write, in view of the topic as it is then, and of the time (epoch milliseconds)."""


class Jobs(Protocol):
    """All jobs, read and written. Blocks; may be shared by threads."""

    def read(self, look: Callable[[Board], T]) -> T:
        """What `look` finds in the jobs as they are now. Raises OperationError, and what `look` raises."""

    def write(self, make: Make) -> Records:
        """What `make` gave, once it is written; nothing is if it gave none. Raises OperationError."""

    def close(self) -> None:
        """Ends it."""


class JobsTopic:
    """Reads the topic when it is asked, each record once."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._topic = topic_name(settings, JOBS)
        self._lock = threading.Lock()
        self._writer = ExclusiveWriter(settings, "jobs")
        self._reader: LogReader | None = None
        self._board = Board()

    def read(self, look: Callable[[Board], T]) -> T:
        """What `look` finds. Raises OperationError (`topic_missing`, `broker_unreachable`)."""
        with self._lock:
            return look(self._caught_up())

    def write(self, make: Make) -> Records:
        """Writes in one transaction that nothing can come between. Raises OperationError (`jobs_busy`, and as
        `read`)."""
        with self._lock:
            return retry_fenced(
                lambda: self._write(make),
                lambda fenced: OperationError(
                    "jobs_busy", f"The job was not written within {WRITE_S:g} s: {fenced}. Try again."
                ),
            )

    def _write(self, make: Make) -> Records:
        self._writer.begin()
        records = make(self._caught_up(), time.time_ns() // 1_000_000)
        if records:
            self._writer.commit([Outgoing(self._topic, key.encode(), value) for key, value in records.items()])
        return records

    def _caught_up(self) -> Board:
        try:
            if self._reader is None:
                self._reader, self._board = LogReader(self._settings, self._topic, role="jobs"), Board()
            for record in self._reader.to_end():
                key = (record.key or b"").decode(errors="replace")
                if not self._board.take(key, record.value):
                    _log.warning("job_record_unreadable", key=key[:200], offset=record.offset)
        except OperationError:
            self._forget_reader()
            raise
        return self._board

    def _forget_reader(self) -> None:
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def close(self) -> None:
        """Ends it."""
        with self._lock:
            self._forget_reader()
