"""What ingress appends to Kafka: commands, each to the partition of its key, and dead letters. Nothing is done until
the broker has it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable

from aiokafka import AIOKafkaProducer

from streamflow import ids
from streamflow.runtime.batch_sender import Outgoing, Place, acked_ms, send_batch
from streamflow.wire.dead_letter import DeadLetter


class Outbox:
    """Gathers records and sends them. `times` are the latest times that the broker gave to commands, by partition, in
    epoch milliseconds."""

    def __init__(self, producer: AIOKafkaProducer, commands: str, partitions: int, dead_letters: str) -> None:
        self.times: dict[int, int] = {}
        self._producer = producer
        self._commands = commands
        self._partitions = partitions
        self._dead_letters = Place(dead_letters, 0)
        self._queued: dict[Place, deque[Outgoing]] = {}

    def partition_of(self, key: str) -> int:
        """The partition of `commands` that a business key belongs to."""
        return ids.partition_of(key, self._partitions)

    def add(self, partition: int, key: str, value: bytes) -> None:
        """Puts a command behind those that are there for its partition."""
        self._queue(Place(self._commands, partition), Outgoing(key.encode(), value))

    def add_dead(self, letters: Iterable[DeadLetter]) -> None:
        """Adds dead letters."""
        for letter in letters:
            self._queue(self._dead_letters, Outgoing(letter.key, letter.value, letter.headers))

    async def flush(self) -> None:
        """Sends everything and returns when the broker has all of it.

        Raises KafkaError: then nobody knows what is written, and the producer is done for."""
        queued, self._queued = self._queued, {}
        await asyncio.gather(*(self._send(place, records) for place, records in queued.items()))

    def _queue(self, place: Place, record: Outgoing) -> None:
        queue = self._queued.get(place)
        if queue is None:
            queue = self._queued[place] = deque()
        queue.append(record)

    async def _send(self, place: Place, queued: deque[Outgoing]) -> None:
        batches = []
        while queued:
            batches.append(await send_batch(self._producer, place, queued))
        await asyncio.gather(*(batch.acked for batch in batches))
        if place.topic == self._commands:
            for batch in batches:
                if (at := acked_ms(batch)) is not None:
                    self.times[place.partition] = max(at, self.times.get(place.partition, 0))
