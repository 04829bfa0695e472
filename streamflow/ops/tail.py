"""New transitions as they are appended to `runs`, for everybody in this process who listens: one reader, however many
listeners."""

from __future__ import annotations

import threading
from collections.abc import Callable

import structlog
from confluent_kafka import OFFSET_END

from streamflow.engine.transitions import Transition
from streamflow.errors import OperationError
from streamflow.kafka.topics import RUNS, topic_name
from streamflow.ops.history import transitions
from streamflow.ops.topic_reader import Reading
from streamflow.settings import Settings
from streamflow.wire.unreadable import Unreadable

_log = structlog.get_logger(__name__)

Listener = Callable[[Transition | OperationError], None]
"""Is given every transition, and last the error that ended the reading, if one did. Called by the reader's thread; must
not block."""


class Tail:
    """Reads while there are listeners. May be shared by threads."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._listeners: dict[int, Listener] = {}
        self._next = 0
        self._reader: threading.Thread | None = None
        self._closing = threading.Event()
        self._unreadable = Unreadable(RUNS)

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Has `listener` given every transition that is appended from now on, copies too; what ends that. Raises
        OperationError when the topic cannot be read, or this process ends (`sidecar_stops`)."""
        with self._lock:
            if self._closing.is_set():
                raise OperationError("sidecar_stops", "This process is stopping. Use another one, or retry later.")
            if self._reader is None:
                reading = Reading(self._settings, topic_name(self._settings, RUNS), start=OFFSET_END)
                self._reader = threading.Thread(target=self._read, args=(reading,), name="tail", daemon=True)
                self._reader.start()
            number = self._next
            self._next += 1
            self._listeners[number] = listener
        return lambda: self._forget(number)

    def close(self) -> None:
        """Ends the reader; every listener gets OperationError (`sidecar_stops`)."""
        self._closing.set()
        with self._lock:
            reader = self._reader
        if reader is not None:
            reader.join()

    def _forget(self, number: int) -> None:
        with self._lock:
            self._listeners.pop(number, None)

    def _read(self, reading: Reading) -> None:
        ended = OperationError("sidecar_stops", "This process is stopping. Use another one, or retry later.")
        try:
            with reading:
                while not self._over():
                    for transition in transitions(reading.follow(0.2), self._unreadable):
                        for listener in list(self._listeners.values()):
                            listener(transition)
        except OperationError as error:
            _log.warning("tail_unreadable", code=error.code, error=error.message, consequence="listeners are told so")
            ended = error
        finally:
            with self._lock:
                left: list[Listener] = []
                if self._reader is threading.current_thread():  # else nobody listened, and another one may read by now
                    self._reader = None
                    left, self._listeners = list(self._listeners.values()), {}
            for listener in left:
                listener(ended)

    def _over(self) -> bool:
        """Whether nobody listens, or this process ends."""
        with self._lock:
            if self._closing.is_set():
                return True
            if not self._listeners:
                self._reader = None
                return True
            return False
