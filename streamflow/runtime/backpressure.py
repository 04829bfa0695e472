"""How far the engine is behind: what ingress looks at before it appends more."""

from __future__ import annotations

import asyncio

from confluent_kafka import ConsumerGroupTopicPartitions, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from streamflow.errors import OperationError

_ANSWER_S = 10.0
_LATEST: OffsetSpec = OffsetSpec.latest()  # type: ignore[no-untyped-call]
_EARLIEST: OffsetSpec = OffsetSpec.earliest()  # type: ignore[no-untyped-call]


class EngineLag:
    """The commands between the engine group's committed offsets and the end of `commands`."""

    def __init__(self, admin: AdminClient, group: str, commands: str, partitions: int) -> None:
        self._admin = admin
        self._group = group
        self._partitions = [TopicPartition(commands, partition) for partition in range(partitions)]

    async def measure(self) -> int:
        """The sum over all partitions; a partition the engine has never committed counts from its beginning. Raises OperationError."""
        committed, ends, begins = await asyncio.gather(self._committed(), self._offsets(_LATEST), self._offsets(_EARLIEST))
        return sum(max(0, end - max(committed.get(partition, -1), begins.get(partition, 0))) for partition, end in ends.items())

    async def _committed(self) -> dict[int, int]:
        request = [ConsumerGroupTopicPartitions(self._group, self._partitions)]
        try:
            future = self._admin.list_consumer_group_offsets(request, request_timeout=_ANSWER_S)[self._group]
            answer = await asyncio.wrap_future(future)
        except KafkaException as error:
            raise _unreachable("the engine's committed offsets", error) from error
        return {found.partition: found.offset for found in answer.topic_partitions if found.error is None}

    async def _offsets(self, spec: OffsetSpec) -> dict[int, int]:
        futures = self._admin.list_offsets(dict.fromkeys(self._partitions, spec), request_timeout=_ANSWER_S)
        try:
            return {tp.partition: (await asyncio.wrap_future(future)).offset for tp, future in futures.items()}
        except KafkaException as error:
            raise _unreachable("the ends of the commands topic", error) from error


def _unreachable(expected: str, error: KafkaException) -> OperationError:
    return OperationError("broker_unreachable", f"expected {expected} but {error.args[0].name()}; check the broker and its permissions")
