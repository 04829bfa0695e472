"""Asking the engine many times over, for a process that lives: one producer, and one reader of the answers that lives
while there are callers that wait.

`requests.ask` is for a single question; it opens three connections for it.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from concurrent.futures import Future
from dataclasses import dataclass

import msgspec
import structlog
from confluent_kafka import OFFSET_END, Producer

from streamflow.engine.commands import Command
from streamflow.engine.transitions import Transition
from streamflow.errors import OperationError, Rejected
from streamflow.kafka.topics import DEAD_LETTERS, RUNS, topic_name
from streamflow.ops.command_request import Answer, producer, refusal
from streamflow.ops.command_request import append as append_command
from streamflow.ops.topic_reader import Reading
from streamflow.settings import Settings
from streamflow.wire.transitions import decode_transition
from streamflow.wire.unreadable import UNREADABLE, Unreadable

_log = structlog.get_logger(__name__)

_LINGER_S = 20.0  # how long the reader goes on after the last question: opening it again takes some tenths of a second
_REMEMBERED = 10_000  # answers kept for those who come back for them
UNANSWERED = (
    "expected an answer of the engine but there is none yet; the command stays in commands (is an engine "
    "worker running?)"
)
_SETTLE_S = 0.02  # transitions of one command arrive together; those of the next fetch belong to it too

Answering = Future[Answer]


@dataclass(slots=True)
class _Wait:
    """A caller that waits, until then (monotonic). `place` is the command's (partition, offset), as dead letters name
    it."""

    answer: Answering
    until: float
    place: tuple[str, str] | None = None


class _Caused(msgspec.Struct):
    """What has to be read of every transition, to know whether a caller waits for it."""

    cause: str


class CommandClient:
    """Appends commands and tells their results. May be shared by threads; is idle without requests."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._producer: Producer | None = None
        self._reader: threading.Thread | None = None
        self._closing = threading.Event()
        self._waiting: dict[str, _Wait] = {}
        self._answered: OrderedDict[str, Answering] = OrderedDict()
        self._asked = 0.0
        self._decoder = msgspec.json.Decoder(_Caused)
        self._unreadable = Unreadable(RUNS)

    def ask(self, command: Command, *, key: str, partition: int, for_s: float) -> Answering:
        """Appends `command` to `partition` under the business key `key`, and what will become of it: as `expect`. Waits
        for the broker only.

        Raises OperationError when the broker does not take it."""
        return self.append(command, key=key, partition=partition, for_s=for_s)[0]

    def append(self, command: Command, *, key: str, partition: int, for_s: float) -> tuple[Answering, int]:
        """As `ask`; with the offset of the command."""
        answer = self.expect(command.id, for_s)
        try:
            with self._lock:
                if self._producer is None:
                    self._producer = producer(self._settings)
                made = self._producer
            offset = append_command(self._settings, made, command, key, partition)
        except BaseException:
            with self._lock:
                self._waiting.pop(command.id, None)
            raise
        with self._lock:
            if command.id in self._waiting:
                self._waiting[command.id].place = (str(partition), str(offset))
        return answer, offset

    def expect(self, command: str, for_s: float) -> Answering:
        """The result of the command with this id, also if it was asked for here lately: an
        Answer, the Rejected that the engine answered with, or OperationError (`unanswered`) when nothing was heard for
        `for_s` seconds. Raises OperationError when it cannot read."""
        with self._lock:
            if self._closing.is_set():
                raise OperationError(
                    "sidecar_stops", "expected to send a command to the engine but this process is stopping. Retry."
                )
            self._asked = time.monotonic()
            if command in self._answered:
                return self._answered[command]
            if self._reader is None:
                self._open()
            found = self._waiting.setdefault(command, _Wait(Future(), 0.0))
            found.until = max(found.until, self._asked + for_s)
            return found.answer

    def close(self) -> None:
        """Ends the reader and the producer. Callers that still wait get OperationError (`sidecar_stops`)."""
        self._closing.set()
        with self._lock:
            reader, made = self._reader, self._producer
        if reader is not None:
            reader.join()
        if made is not None:
            made.flush(5)
        self._fail(
            OperationError("sidecar_stops", "expected an answer of the engine but this process is stopping. Retry.")
        )

    def _open(self) -> None:
        """Starts reading at what is the end now: nothing that is appended after this is missed."""
        runs = Reading(self._settings, topic_name(self._settings, RUNS), start=OFFSET_END)
        try:
            dead = Reading(self._settings, topic_name(self._settings, DEAD_LETTERS), [0], OFFSET_END)
        except BaseException:
            runs.close()
            raise
        self._reader = threading.Thread(target=self._read, args=(runs, dead), name="answers", daemon=True)
        self._reader.start()

    def _read(self, runs: Reading, dead: Reading) -> None:
        found: dict[str, list[Transition]] = {}
        try:
            with runs, dead:
                while not self._over():
                    self._take_letters(dead)
                    heard = self._heard(runs, _SETTLE_S if self._waiting else 0.5)
                    for command, transitions in heard.items():
                        found.setdefault(command, []).extend(transitions)
                    for command in found.keys() - heard.keys():
                        self._settle(
                            command, Answer(command, tuple({one.seq: one for one in found.pop(command)}.values()))
                        )
        except OperationError as error:
            _log.warning(
                "answers_unreadable", code=error.code, error=error.message, consequence="whoever waits is told so"
            )
            with self._lock:
                self._reader = None
            self._fail(error)
        except BaseException as error:
            with self._lock:
                self._reader = None
            self._fail(error)
            raise

    def _over(self) -> bool:
        """Gives up what was waited for too long; whether there is nothing left to read for."""
        now = time.monotonic()
        for command in [command for command, wait in list(self._waiting.items()) if wait.until < now]:
            self._settle(command, OperationError("unanswered", UNANSWERED, command=command))
        with self._lock:
            idle = not self._waiting and now - self._asked > _LINGER_S
            if idle or self._closing.is_set():
                self._reader = None
                return True
            return False

    def _heard(self, runs: Reading, timeout_s: float) -> dict[str, list[Transition]]:
        """The transitions that a caller waits for, by command."""
        heard: dict[str, list[Transition]] = {}
        for record in runs.follow(timeout_s):
            try:
                cause = self._decoder.decode(record.value or b"").cause
                if cause in self._waiting:
                    heard.setdefault(cause, []).append(decode_transition(record.value or b"", record.headers))
            except UNREADABLE as error:
                self._unreadable.skip(record.partition, record.offset, error)
        return heard

    def _take_letters(self, dead: Reading) -> None:
        for letter in dead.follow(0.0):
            named, place, rejected = refusal(self._settings, letter)
            with self._lock:
                asked = [
                    command
                    for command, wait in self._waiting.items()
                    if command == named or (place is not None and wait.place == place)
                ]
            for command in asked:
                self._settle(command, rejected)

    def _settle(self, command: str, outcome: Answer | Rejected | OperationError) -> None:
        with self._lock:
            waiting = self._waiting.pop(command, None)
            if waiting is None:
                return
            if not isinstance(outcome, OperationError):
                self._answered[command] = waiting.answer
                while len(self._answered) > _REMEMBERED:
                    self._answered.popitem(last=False)
        if isinstance(outcome, Answer):
            waiting.answer.set_result(outcome)
        else:
            waiting.answer.set_exception(outcome)

    def _fail(self, error: BaseException) -> None:
        with self._lock:
            failed, self._waiting = list(self._waiting.values()), {}
        for waiting in failed:
            waiting.answer.set_exception(error)
