"""How far the engine is behind in each partition of `commands`: what ingress looks at before it appends more there."""

from __future__ import annotations

import asyncio

import structlog
from aiokafka.structs import TopicPartition

from streamflow.core.held_commands import behind
from streamflow.kafka.groups import GroupOffsets
from streamflow.runtime.log_ends import LogEnds

log = structlog.get_logger(__name__)


class EngineLag:
    """The commands between what the `engine` group has committed in a partition and its end. A partition that the
    engine has never committed counts from its beginning; one whose end is unknown now counts as not behind.
    `entries` is how many partitions the first generation has."""

    def __init__(self, engine: GroupOffsets, ends: LogEnds, commands: str, entries: int, limit: int) -> None:
        self._engine = engine
        self._ends = ends
        self._commands = commands
        self._entries = entries
        self._limit = limit
        self._behind: frozenset[int] = frozenset()

    async def behind(self, partitions: int) -> frozenset[int]:
        """The partitions of the first generation in which the engine is more than the limit behind, or in one that they
        forward to; `partitions` are those of all generations. Logs those that change. Raises OperationError."""
        places = [TopicPartition(self._commands, partition) for partition in range(partitions)]
        committed = await asyncio.to_thread(self._engine.committed, places)
        begins = await self._ends.beginnings(places)
        ends = await self._ends.ends(places)
        lags = behind(
            {partition: offset for (_, partition), offset in committed.items()},
            {tp.partition: offset for tp, offset in begins.items()},
            {tp.partition: offset for tp, offset in ends.items()},
            self._limit,
        )
        now = frozenset(lags)
        for partition in sorted(now - self._behind):
            log.warning(
                "engine_behind",
                partition=partition,
                lag=lags[partition],
                limit=self._limit,
                consequence="commands for it wait here, and sources without free space stop",
            )
        for partition in sorted(self._behind - now):
            log.warning("engine_caught_up", partition=partition, limit=self._limit)
        self._behind = now
        return frozenset(partition % self._entries for partition in now)
