"""How far the engine is behind: what ingress looks at before it appends more."""

from __future__ import annotations

import asyncio

from aiokafka import AIOKafkaConsumer
from aiokafka.structs import TopicPartition

from streamflow.kafka.groups import GroupOffsets


class EngineLag:
    """The commands between what the `engine` group has committed and the end of `commands`; `consumer` answers where
    that topic begins and ends."""

    def __init__(self, engine: GroupOffsets, consumer: AIOKafkaConsumer, commands: str, partitions: int) -> None:
        self._engine = engine
        self._consumer = consumer
        self._partitions = [TopicPartition(commands, partition) for partition in range(partitions)]

    async def measure(self) -> int:
        """The sum over all partitions; a partition the engine has never committed counts from its beginning. Raises
        OperationError, KafkaError."""
        committed = await asyncio.to_thread(self._engine.committed, self._partitions)
        ends = await self._consumer.end_offsets(self._partitions)
        begins = await self._consumer.beginning_offsets(self._partitions)
        return sum(max(0, end - max(committed.get(tp, -1), begins[tp])) for tp, end in ends.items())
