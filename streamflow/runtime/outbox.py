"""What ingress appends to Kafka: commands, each to the partition of its key, and dead letters. Nothing is done until
the broker has it."""

from __future__ import annotations

from collections.abc import Iterable

from aiokafka import AIOKafkaProducer

from streamflow import ids
from streamflow.runtime.batch_sender import Batch, BatchSender, Destination, Fields, acked_ms
from streamflow.wire.dead_letter import DeadLetter


class Outbox:
    """Gathers records and sends them. `times` are the latest times that the broker gave to commands, by partition, in
    epoch milliseconds."""

    def __init__(self, producer: AIOKafkaProducer, commands: str, partitions: int, dead_letters: str) -> None:
        self.times: dict[int, int] = {}
        self._producer = producer
        self._commands = commands
        self._partitions = partitions
        self._dead_letters = Destination(dead_letters, 0)
        self._sender: BatchSender[Fields] = BatchSender(lambda record: record, self._acknowledged)

    async def partitions(self) -> int:
        """How many partitions `commands` has now, of all generations; at least as many as the first has. Raises
        KafkaError."""
        found = await self._producer.partitions_for(self._commands)
        return max(len(found or ()), self._partitions)

    def partition_of(self, key: str) -> int:
        """The partition of `commands` that commands for a business key are sent to, in the first generation."""
        return ids.partition_of(key, self._partitions)

    def add(self, partition: int, key: str, value: bytes) -> None:
        """Puts a command behind those that are there for its partition."""
        self._sender.add(Destination(self._commands, partition), (key.encode(), value, ()))

    def add_dead(self, letters: Iterable[DeadLetter]) -> None:
        """Adds dead letters."""
        for letter in letters:
            self._sender.add(self._dead_letters, (letter.key, letter.value, letter.headers))

    async def flush(self) -> None:
        """Sends everything and returns when the broker has all of it.

        Raises KafkaError: then nobody knows what is written, and the producer is done for."""
        await self._sender.send(self._producer)
        await self._sender.flush()

    def _acknowledged(self, batch: Batch[Fields]) -> None:
        place = batch.place
        if place.topic == self._commands and (at := acked_ms(batch)) is not None:
            self.times[place.partition] = max(at, self.times.get(place.partition, 0))
