"""What a lane sends: answers of attempts to `commands`, and dead letters, each until the broker has it, over as many
producers as that takes.

An answer that was sent and not acknowledged is sent again by the next producer. The engine refuses the second one: its
attempt has ended.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from itertools import count
from typing import Any

from aiokafka import AIOKafkaProducer

from streamflow.errors import OperationError
from streamflow.ids import partition_of
from streamflow.runtime.batch_sender import Batch, Outgoing, Place, acked_ms, send_batch
from streamflow.wire.dead_letter import DeadLetter

_QUICKEST_FOR_MS = 300_000  # then the next one counts, however quick: clocks drift, and a broker's may be set
STUCK_S = 60.0  # for an acknowledgement; aiokafka's idempotent producer would try for ever


class BrokerClock:
    """The broker's time, as its acknowledgements show it: ours, until the first one. After that only a clock counts
    that nobody sets: one that is set an hour ahead would have every task of the lane wait an hour too long."""

    def __init__(self, clock: Callable[[], float] = time.time, steady: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._steady = steady
        # what the steady clock is ahead of the broker's; too much by what the quickest acknowledgement took
        self._ahead_ms: float | None = None
        self._since_ms = 0.0

    def now_ms(self) -> float:
        return self._clock() * 1000 if self._ahead_ms is None else self._steady() * 1000 - self._ahead_ms

    def seen(self, broker_ms: int) -> None:
        """The broker wrote a record at `broker_ms`, a moment ago."""
        steady_ms = self._steady() * 1000
        ahead_ms = steady_ms - broker_ms
        if self._ahead_ms is None or ahead_ms < self._ahead_ms or steady_ms - self._since_ms > _QUICKEST_FOR_MS:
            self._ahead_ms, self._since_ms = ahead_ms, steady_ms


class Answers:
    """A queue for each partition. Records of one leave in the order in which they came."""

    def __init__(self, commands: str, partitions: int, dead_letters: str, clock: BrokerClock) -> None:
        self._commands = commands
        self._partitions = partitions
        self._dead_letters = Place(dead_letters, 0)
        self._clock = clock
        self._queued: dict[Place, deque[Outgoing]] = {}
        self._unacked: dict[int, Batch] = {}
        self._numbers = count()
        self._arrived = asyncio.Event()
        self._failed: asyncio.Future[None] | None = None

    def add(self, key: str, value: bytes, done: Callable[[], None]) -> None:
        """Queues a command under its business key."""
        self._add(Place(self._commands, partition_of(key, self._partitions)), Outgoing(key.encode(), value, (), done))

    def add_dead(self, letter: DeadLetter, done: Callable[[], None]) -> None:
        self._add(self._dead_letters, Outgoing(letter.key, letter.value, letter.headers, done))

    def _add(self, place: Place, sent: Outgoing) -> None:
        self._queued.setdefault(place, deque()).append(sent)
        self._arrived.set()

    async def serve(self, producer: AIOKafkaProducer) -> None:
        """Sends by `producer` until it fails: raises KafkaError or OperationError. What it did not deliver stays
        here."""
        failed = self._failed = asyncio.get_running_loop().create_future()
        sending = asyncio.ensure_future(self._send_all(producer))
        try:
            await asyncio.wait({sending, failed}, return_when=asyncio.FIRST_COMPLETED)
            (failed if failed.done() else sending).result()
        finally:
            sending.cancel()
            failed.cancel()
            await asyncio.gather(sending, return_exceptions=True)
            self._take_back()

    async def _send_all(self, producer: AIOKafkaProducer) -> None:
        while True:
            while self._queued:
                place, queued = next(iter(self._queued.items()))
                while queued:
                    await self._send(producer, place, queued)
                if not queued:
                    del self._queued[place]
            self._arrived.clear()
            await self._arrived.wait()

    async def _send(self, producer: AIOKafkaProducer, place: Place, queued: deque[Outgoing]) -> None:
        number = next(self._numbers)
        batch = await send_batch(producer, place, queued)
        self._unacked[number] = batch
        stuck = asyncio.get_running_loop().call_later(STUCK_S, self._stuck)
        batch.acked.add_done_callback(lambda acked: self._acked(number, acked, stuck))

    def _acked(self, number: int, acked: asyncio.Future[Any], stuck: asyncio.TimerHandle) -> None:
        stuck.cancel()
        if number not in self._unacked:
            return  # taken back, and sent again by another producer
        if acked.cancelled() or acked.exception() is not None:
            problem = acked if acked.cancelled() else acked.exception()
            self._fail(OperationError("answers_unsent", f"The broker did not take answers: {problem!r}."))
            return
        batch = self._unacked.pop(number)
        at_ms = acked_ms(batch)
        if batch.place.topic == self._commands and at_ms is not None:
            self._clock.seen(at_ms)
        for sent in batch.records:
            sent.done()

    def _stuck(self) -> None:
        self._fail(
            OperationError(
                "answers_unsent",
                f"The broker did not take answers within {STUCK_S:g} s. They are sent again.",
            )
        )

    def _fail(self, error: OperationError) -> None:
        if self._failed is not None and not self._failed.done():
            self._failed.set_exception(error)

    def _take_back(self) -> None:
        """What was sent and is not acknowledged goes in front of what waits."""
        for number in sorted(self._unacked, reverse=True):
            batch = self._unacked.pop(number)
            self._queued.setdefault(batch.place, deque()).extendleft(reversed(batch.records))
        if self._queued:
            self._arrived.set()
