"""The topic of conversations in memory. What the real one does, `tests/contract/test_conversation_log.py` holds it
to."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

from streamflow.conversations.entries import Records
from streamflow.conversations.library import Library
from streamflow.conversations.topic import Listener, Make

T = TypeVar("T")


class Shelf:
    """The records, which several memory logs may share as processes share a topic."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.library = Library()
        self.records: dict[str, bytes | None] = {}
        self.listeners: list[Listener] = []


class MemoryConversations:
    """All conversations, in memory. `fault` is raised instead of writing, as a broker that is away would have it."""

    def __init__(self, shelf: Shelf | None = None, clock: Callable[[], float] = time.time) -> None:
        self.shelf = shelf or Shelf()
        self.fault: Exception | None = None
        self._clock = clock

    def read(self, look: Callable[[Library], T]) -> T:
        with self.shelf.lock:
            return look(self.shelf.library)

    def peek(self, look: Callable[[Library], T]) -> T:
        return self.read(look)

    def write(self, make: Make) -> Records:
        with self.shelf.lock:
            records = make(self.shelf.library, int(self._clock() * 1000))
            if self.fault is not None:
                raise self.fault
            changed = {self.shelf.library.take(key, value) for key, value in records.items()}
            self.shelf.records |= records
            found = frozenset(one for one in changed if one is not None)
            assert len(changed) == len(found)
            for listener in list(self.shelf.listeners) if found else ():
                listener(found)
            return records

    def listen(self, listener: Listener) -> Callable[[], None]:
        self.shelf.listeners.append(listener)
        return lambda: self.shelf.listeners.remove(listener)

    def close(self) -> None:
        return None


def again(records: dict[str, bytes | None]) -> Library:
    """What a process that starts now makes of the records."""
    library = Library()
    for key, value in records.items():
        library.take(key, value)
    return library
