"""The topic `access` as one process has it: a directory that follows the topic, and changes that are written together
with their account in `audit`, in one transaction that nothing can come between."""

from __future__ import annotations

import queue
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass

import structlog

from streamflow.access.accounting import Make, account
from streamflow.access.audit import Actor, Entry, encode_entry
from streamflow.access.audit_log import read_entries
from streamflow.access.changes import Change
from streamflow.access.directory import Directory
from streamflow.errors import OperationError, StreamflowError
from streamflow.kafka.backoff import pauses
from streamflow.kafka.exclusive_log import FENCED_S, WRITE_S, ExclusiveWriter, Fenced, LogReader, Outgoing
from streamflow.kafka.topics import ACCESS, AUDIT, topic_name
from streamflow.settings import Settings
from streamflow.wire.decoding import Record
from streamflow.wire.unreadable import Unreadable

_log = structlog.get_logger(__name__)

_FOLLOW_S = 0.05
_CONTACT_S = 2.0  # how often the broker is asked whether there is more
_STALE_S = 30.0  # after which a directory without contact is believed no more: a revocation may be missing
_AGAIN_S = 0.5
_MOST_TOGETHER = 200


@dataclass(frozen=True, slots=True)
class _Asked:
    actor: Actor
    make: Make
    future: Future[Change]
    deadline: float  # by time.monotonic


class AccessTopic:
    """Follows the topic in a separate thread. A context manager."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._topic, self._audit = topic_name(settings, ACCESS), topic_name(settings, AUDIT)
        self._directory = Directory()
        self._fresh_at: float | None = None
        self._fault: StreamflowError | None = None
        self._asked: queue.SimpleQueue[_Asked] = queue.SimpleQueue()
        self._writer = ExclusiveWriter(settings, "access")
        self._reader: LogReader | None = None
        self._loaded, self._closed = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="access", daemon=True)
        self._thread.start()

    def __enter__(self) -> AccessTopic:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends it."""
        self._closed.set()
        self._thread.join(WRITE_S)

    def wait_loaded(self, timeout_s: float = WRITE_S) -> Directory:
        """The directory, once it has been read to its end. Raises OperationError, at once when it cannot be read."""
        self._loaded.wait(timeout_s)
        return self.directory

    def require_loaded(self) -> Directory:
        """As `wait_loaded`, for the user of a command line: that it may not read the topic is `right_missing`."""
        try:
            return self.wait_loaded()
        except OperationError as error:
            cause = error.__cause__
            if isinstance(cause, OperationError) and cause.code == "right_missing":
                raise cause from None
            raise

    @property
    def directory(self) -> Directory:
        """What the topic says; never changed in place. Raises OperationError (`access_unreadable`, `topic_missing`)
        when that is not known, or not known to be true any more."""
        fresh_at = self._fresh_at
        if fresh_at is not None and time.monotonic() - fresh_at < _STALE_S:
            return self._directory
        if self._fault is not None and self._fault.code == "topic_missing":
            raise self._fault
        why = "is being read" if self._fault is None else f"cannot be read: {self._fault.message}"
        raise OperationError(
            "access_unreadable", f"Access rights are not known, because the topic {self._topic} {why}. Try again later."
        ) from self._fault

    def submit(self, actor: Actor, make: Make) -> Future[Change]:
        """What `make` makes, once it is written. The future raises what `make` raises, and OperationError."""
        future: Future[Change] = Future()
        self._asked.put(_Asked(actor, make, future, time.monotonic() + WRITE_S))
        return future

    def change(self, actor: Actor, make: Make) -> Change:
        """As `submit`, and waits. Raises what the change is refused with, too."""
        made = self.submit(actor, make).result(2 * WRITE_S)
        if made.refusal is not None:
            raise made.refusal
        return made

    def audit(self, fits: Callable[[Entry], bool], newest: int) -> list[Entry]:
        """The newest so many entries of the audit that `fits` is true of, newest first; the whole topic is read. Raises
        OperationError."""
        found = deque(read_entries(self._settings, Unreadable(AUDIT), fits), maxlen=newest)
        return list(reversed(found))

    def _run(self) -> None:
        contact = 0.0
        while not self._closed.is_set():
            try:
                if self._reader is None or time.monotonic() - contact > _CONTACT_S:
                    self._catch_up()
                    contact = time.monotonic()
                self._take(self._open_reader().follow(_FOLLOW_S if self._asked.empty() else 0.0))
                if not self._asked.empty():
                    self._write(self._next())
            except StreamflowError as error:
                if self._fault is None or self._fault.code != error.code:
                    _log.warning("access_unreadable", code=error.code, error=error.message)
                self._fault, contact = error, 0.0
                if isinstance(error, OperationError) and not error.retryable:
                    self._loaded.set()  # it will not be read, so nobody need wait
                self._forget_reader()
                self._closed.wait(_AGAIN_S)
                self._refuse_late(error)
            except Exception as error:  # noqa: BLE001 - the thread's last frame: without it nobody could log in
                _log.error("access_failed", exc_info=error)
                self._forget_reader()
                self._closed.wait(_AGAIN_S)
        self._end()

    def _end(self) -> None:
        """Writes what was asked for before the end, and refuses the rest."""
        try:
            if self._reader is not None and not self._asked.empty():
                self._write(self._next())
        except Exception as error:  # noqa: BLE001 - the caller has the error
            _log.warning("access_not_written", error=str(error))
        self._forget_reader()
        for one in self._next():
            one.future.set_exception(OperationError("access_unreadable", "This process is stopping. Use another one."))

    def _forget_reader(self) -> None:
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def _open_reader(self) -> LogReader:
        """The reader. A new one begins with the whole topic, which takes the place of the directory when it is read to
        the end: on the way, what was revoked would be good again, and an empty directory would be open to all."""
        if self._reader is None:
            self._reader = LogReader(self._settings, self._topic, role="access")
            self._directory = _folded(Directory(), self._reader.to_end())
        return self._reader

    def _catch_up(self) -> None:
        self._take(self._open_reader().to_end())
        self._fresh_at, self._fault = time.monotonic(), None
        self._loaded.set()

    def _take(self, records: list[Record]) -> None:
        if records:
            self._directory = _folded(self._directory.copy(), records)

    def _next(self) -> list[_Asked]:
        found: list[_Asked] = []
        while len(found) < _MOST_TOGETHER and not self._asked.empty():
            found.append(self._asked.get())
        return found

    def _refuse_late(self, error: StreamflowError) -> None:
        """Answers those who have waited long enough."""
        now, waiting = time.monotonic(), self._next()
        for one in waiting:
            if one.deadline < now:
                one.future.set_exception(error)
            else:
                self._asked.put(one)

    def _write(self, asked: list[_Asked]) -> None:
        """Writes what was asked for together, each in view of those before it."""
        waits = pauses(*FENCED_S)
        while True:
            try:
                self._writer.begin()
                self._catch_up()
                outgoing, made = self._made(asked)
                if outgoing:
                    self._writer.commit(outgoing)
                    self._catch_up()
            except Fenced as fenced:
                late = [one for one in asked if one.deadline < time.monotonic()]
                for one in late:
                    one.future.set_exception(
                        OperationError(
                            "access_busy", f"The change was not written within {WRITE_S:g} s: {fenced}. Try again."
                        )
                    )
                asked = [one for one in asked if one not in late]
                if not asked:
                    return
                time.sleep(next(waits))
                continue
            except Exception as error:
                for one in asked:
                    one.future.set_exception(error)
                raise
            for one, answer in made:
                if isinstance(answer, Exception):
                    one.future.set_exception(answer)
                else:
                    one.future.set_result(answer)
            return

    def _made(self, asked: list[_Asked]) -> tuple[list[Outgoing], list[tuple[_Asked, Change | Exception]]]:
        """The records of the changes, with their accounts, and what each change is answered with."""
        directory, outgoing = self._directory.copy(), list[Outgoing]()
        made: list[tuple[_Asked, Change | Exception]] = []
        for one in asked:
            try:
                accounted = account(directory, one.actor, one.make, time.time_ns() // 1_000_000)
            except Exception as error:  # noqa: BLE001 - handed to the caller
                made.append((one, error))
                continue
            if accounted.entry is not None:
                outgoing.append(Outgoing(self._audit, *encode_entry(accounted.entry)))
            outgoing += [Outgoing(self._topic, key.encode(), value) for key, value in accounted.records.items()]
            made.append((one, accounted.change))
        return outgoing, made


def _folded(directory: Directory, records: list[Record]) -> Directory:
    """`directory`, with `records` taken in."""
    for record in records:
        key = (record.key or b"").decode(errors="replace")
        if not directory.take(key, record.value):
            _log.warning("access_record_unreadable", key=key[:200], offset=record.offset)
    return directory
