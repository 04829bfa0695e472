"""The topic `authoring` as one process has it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Protocol, TypeVar

import structlog

from streamflow.conversations.entries import Records
from streamflow.conversations.library import Library
from streamflow.errors import OperationError, StreamflowError
from streamflow.kafka.exclusive_log import WRITE_S, ExclusiveWriter, LogReader, Outgoing, retry_fenced
from streamflow.kafka.topics import AUTHORING, topic_name
from streamflow.settings import Settings

T = TypeVar("T")

_log = structlog.get_logger(__name__)

_WAIT_MS = 20  # people wait for the first words of an answer while the topic is read to its end
_LOOK_S = 0.2  # how often it is looked for what other processes wrote, while there are listeners

Make = Callable[[Library, int], Records]
"""The records to write, in view of the topic as it is then, and of the time (epoch milliseconds)."""

Listener = Callable[[frozenset[str]], None]
"""Called, by any thread, with the conversations that have new entries or no longer exist."""


class ConversationLog(Protocol):
    """All conversations, read and written. Blocks; may be shared by threads."""

    def read(self, look: Callable[[Library], T]) -> T:
        """What `look` finds in the conversations as they are now. Raises OperationError, and what `look` raises."""

    def peek(self, look: Callable[[Library], T]) -> T:
        """What `look` finds in what this process has read so far, which is what listeners were notified of. Raises what
        `look` raises."""

    def write(self, make: Make) -> Records:
        """What `make` gave, once all of it is written; nothing is if it gave none. Raises OperationError, and what
        `make` raises."""

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Calls `listener` from now on, until what this gives is called."""

    def close(self) -> None:
        """Ends it."""


class ConversationTopic:
    """Reads the topic when it is asked, and while there are listeners; each record once."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._topic = topic_name(settings, AUTHORING)
        self._lock = threading.Lock()
        self._writer = ExclusiveWriter(settings, "authoring")
        self._reader: LogReader | None = None
        self._library = Library()
        self._leads = False  # the library has all that is written, unless another process has begun to write since
        self._listeners: list[Listener] = []
        self._closed = threading.Event()
        self._looking: threading.Thread | None = None

    def read(self, look: Callable[[Library], T]) -> T:
        """What `look` finds. Raises OperationError (`topic_missing`, `broker_unreachable`)."""
        with self._lock:
            return look(self._caught_up())

    def peek(self, look: Callable[[Library], T]) -> T:
        """What `look` finds, without asking the broker."""
        with self._lock:
            return look(self._library)

    def write(self, make: Make) -> Records:
        """Writes in one transaction that nothing can come between. Raises OperationError (`authoring_busy`, and as
        `read`)."""
        with self._lock:
            return retry_fenced(
                lambda: self._write(make),
                lambda fenced: OperationError(
                    "authoring_busy", f"Nothing was written within {WRITE_S:g} s: {fenced}. Try again."
                ),
            )

    def _write(self, make: Make) -> Records:
        """One attempt. The last writer need not read before it writes again: if its commit succeeds, nobody else has
        written since. What it refuses is only certain once it has read. Raises Fenced."""
        led = self._leads
        if not led:
            self._writer.begin()
            self._caught_up()
        self._leads = False
        try:
            records = make(self._library, time.time_ns() // 1_000_000)
        except StreamflowError:
            if led:
                return self._write(make)
            raise
        if not records:
            return self._write(make) if led else records
        self._writer.commit([Outgoing(self._topic, key.encode(), value) for key, value in records.items()])
        self._leads = True
        self._notify({found for key, value in records.items() if (found := self._library.take(key, value)) is not None})
        return records

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Calls `listener` within a moment of what this process writes, and soon after what others write."""
        with self._lock:
            self._listeners.append(listener)
            if self._looking is None:
                self._looking = threading.Thread(target=self._look, name="authoring", daemon=True)
                self._looking.start()

        def stop() -> None:
            with self._lock:
                if listener in self._listeners:
                    self._listeners.remove(listener)

        return stop

    def close(self) -> None:
        """Ends it."""
        self._closed.set()
        if self._looking is not None:
            self._looking.join(WRITE_S)
        with self._lock:
            self._forget_reader()

    def _look(self) -> None:
        logged = ""
        while not self._closed.wait(_LOOK_S):
            try:
                with self._lock:
                    if self._listeners:
                        self._caught_up()
                logged = ""
            except OperationError as error:
                if error.code != logged:
                    _log.warning("authoring_unreadable", code=error.code, error=error.message)
                logged = error.code

    def _caught_up(self) -> Library:
        changed: set[str] = set()
        try:
            if self._reader is None:
                self._reader, self._library = self._open(), Library()
            for record in self._reader.to_end():
                key = (record.key or b"").decode(errors="replace")
                found = self._library.take(key, record.value)
                if found is None:
                    _log.warning("authoring_record_unreadable", key=key[:200], offset=record.offset)
                else:
                    changed.add(found)
        except OperationError:
            self._forget_reader()
            raise
        self._notify(changed)
        return self._library

    def _open(self) -> LogReader:
        return LogReader(self._settings, self._topic, role="authoring", wait_ms=_WAIT_MS)

    def _notify(self, changed: set[str]) -> None:
        for listener in list(self._listeners) if changed else ():
            listener(frozenset(changed))

    def _forget_reader(self) -> None:
        if self._reader is not None:
            self._reader.close()
            self._reader, self._leads = None, False
