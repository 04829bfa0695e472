"""What ingress appends to Kafka: commands, each to the partition of its key, and dead letters. Nothing is done until
the broker has it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

from aiokafka import AIOKafkaProducer
from aiokafka.producer.message_accumulator import BatchBuilder

from streamflow import ids
from streamflow.wire.dead_letter import DeadLetter


class Outbox:
    """Gathers records and sends them in whole batches (3 us a record, where `producer.send` takes 30)."""

    def __init__(self, producer: AIOKafkaProducer, commands: str, partitions: int, dead_letters: str) -> None:
        self._producer = producer
        self._commands = commands
        self._partitions = partitions
        self._dead_letters = dead_letters
        self._batches: dict[int, list[BatchBuilder]] = {}
        self._dead: list[DeadLetter] = []

    def add(self, key: str, value: bytes) -> None:
        """Puts a command behind those that are there for its partition."""
        self._append(ids.partition_of(key, self._partitions), key.encode(), value)

    def add_everywhere(self, value: bytes) -> None:
        """Puts a command that belongs to no key behind those of every partition."""
        for partition in range(self._partitions):
            self._append(partition, b"", value)

    def add_dead(self, letters: list[DeadLetter]) -> None:
        """Adds dead letters."""
        self._dead += letters

    async def flush(self) -> None:
        """Sends everything and returns when the broker has all of it.

        Raises KafkaError: then nobody knows what is written, and the producer is done for."""
        batches, self._batches = self._batches, {}
        dead, self._dead = self._dead, []
        await asyncio.gather(
            *(self._send(partition, builders) for partition, builders in batches.items()), self._bury(dead)
        )

    def _append(self, partition: int, key: bytes, value: bytes) -> None:
        builders = self._batches.get(partition)
        if builders is None:
            builders = self._batches[partition] = [self._producer.create_batch()]
        if builders[-1].append(timestamp=None, key=key, value=value) is None:
            builders.append(self._producer.create_batch())
            builders[-1].append(timestamp=None, key=key, value=value)  # the first record of a batch always fits

    async def _send(self, partition: int, builders: list[BatchBuilder]) -> None:
        acks: list[Awaitable[object]] = []
        for builder in builders:
            builder.close()
            acks.append(await self._producer.send_batch(builder, self._commands, partition=partition))
        for ack in acks:
            await ack

    async def _bury(self, letters: list[DeadLetter]) -> None:
        acks = [
            await self._producer.send(self._dead_letters, letter.value, letter.key, headers=list(letter.headers))
            for letter in letters
        ]
        for ack in acks:
            await ack
