"""What a lane sends: answers of attempts to `commands`, and dead letters, each until the broker has it, over as many
producers as that takes.

An answer that was sent and not acknowledged is sent again by the next producer. The engine refuses the second one: its
attempt has ended.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

from aiokafka import AIOKafkaProducer

from streamflow.errors import OperationError
from streamflow.runtime.batch_sender import Batch, BatchFailed, BatchSender, Destination, Fields, acked_ms
from streamflow.wire.dead_letter import DeadLetter

_QUICKEST_FOR_MS = 300_000  # then the next one counts, however quick: clocks drift, and a broker's may be set


class BrokerClock:
    """The broker's time, as its records and acknowledgements show it; never later than it is. The worker's own clock
    does not count (it may be set, and one that is a year ahead would have every task wait too long), only what it
    measures."""

    def __init__(self, steady: Callable[[], float] = time.monotonic) -> None:
        self._steady = steady
        # what the steady clock is ahead of the broker's; too much by what the quickest acknowledgement took
        self._ahead_ms: float | None = None
        self._since_ms = 0.0

    def now_ms(self) -> float:
        """In epoch milliseconds; 0 before anything was seen of the broker's time."""
        return 0.0 if self._ahead_ms is None else self._steady() * 1000 - self._ahead_ms

    def acknowledged(self, broker_ms: int) -> None:
        """The broker wrote a record at `broker_ms`, a moment ago."""
        steady_ms = self._steady() * 1000
        if steady_ms - self._since_ms > _QUICKEST_FOR_MS:
            self._ahead_ms = None
        self.passed(broker_ms)

    def passed(self, broker_ms: int) -> None:
        """The broker wrote a record at `broker_ms`, some time ago."""
        steady_ms = self._steady() * 1000
        ahead_ms = steady_ms - broker_ms
        if self._ahead_ms is None or ahead_ms < self._ahead_ms:
            self._ahead_ms, self._since_ms = ahead_ms, steady_ms


class Answer(NamedTuple):
    """A record, and what is to be done when the broker has it."""

    fields: Fields
    done: Callable[[], None]


class Answers:
    """A queue for each partition. Records of one leave in the order in which they came."""

    def __init__(self, commands: str, dead_letters: str, clock: BrokerClock) -> None:
        self._commands = commands
        self._dead_letters = Destination(dead_letters, 0)
        self._clock = clock
        self._sender: BatchSender[Answer] = BatchSender(lambda answer: answer.fields, self._acknowledged)

    def add(self, partition: int, key: str, value: bytes, done: Callable[[], None]) -> None:
        """Queues a command under its business key for the partition that has the run: a task is in the partition of its
        lane with the same number."""
        place = Destination(self._commands, partition)
        self._sender.add(place, Answer((key.encode(), value, ()), done))

    def add_dead(self, letter: DeadLetter, done: Callable[[], None]) -> None:
        self._sender.add(self._dead_letters, Answer((letter.key, letter.value, letter.headers), done))

    async def serve(self, producer: AIOKafkaProducer) -> None:
        """Sends by `producer` until it fails: raises KafkaError or OperationError. What it did not deliver stays
        here."""
        try:
            await self._sender.serve(producer)
        except BatchFailed as error:
            raise OperationError(
                "answers_unsent", f"The broker did not accept answers: {error}. They are sent again."
            ) from error
        finally:
            self._sender.take_back()

    def _acknowledged(self, batch: Batch[Answer]) -> None:
        at_ms = acked_ms(batch)
        if batch.place.topic == self._commands and at_ms is not None:
            self._clock.acknowledged(at_ms)
        for answer in batch.records:
            answer.done()
