"""Where partitions begin and end, each for itself: one that has no leader, or may not be read, hides no other's answer.

aiokafka's own `end_offsets` asks for all partitions at once, again and again until all of them answer, and gives a
consumer that reads committed records the last stable offset for the end. An open transaction keeps that one back, so it
is no end: here the end is the high watermark.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

import structlog
from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError, for_code
from aiokafka.protocol.offset import OffsetRequest
from aiokafka.structs import TopicPartition

log = structlog.get_logger(__name__)

_END = -1
_BEGINNING = -2
_READ_UNCOMMITTED = 0
_ANSWER_S = 5.0  # of one broker; its partitions are left out when it takes longer

Offsets = dict[TopicPartition, int]


class LogEnds:
    """Asked over the connections of a started `consumer`. Partitions that nobody answers for are left out."""

    def __init__(self, consumer: AIOKafkaConsumer) -> None:
        self._client: Any = consumer._client  # noqa: SLF001

    async def ends(self, partitions: Iterable[TopicPartition]) -> Offsets:
        """The high watermarks: the offsets behind everything that was appended, by whatever transaction."""
        return await self._ask(dict.fromkeys(partitions, _END))

    async def beginnings(self, partitions: Iterable[TopicPartition]) -> Offsets:
        """The offsets of the first records that are kept."""
        return await self._ask(dict.fromkeys(partitions, _BEGINNING))

    async def since(self, times: Mapping[TopicPartition, int]) -> Offsets:
        """The offsets of the first records with a timestamp of at least `times`, in epoch milliseconds; -1 where there
        is none."""
        return await self._ask(times)

    async def _ask(self, wanted: Mapping[TopicPartition, int]) -> Offsets:
        by_node = await self._by_leader(wanted)
        found: Offsets = {}
        for answer in await asyncio.gather(*(self._ask_one(node, topics) for node, topics in by_node.items())):
            found.update(answer)
        if len(found) < len(wanted):
            self._client.force_metadata_update()  # a leader may have moved
        return found

    async def _by_leader(self, wanted: Mapping[TopicPartition, int]) -> dict[int, dict[str, list[tuple[int, int]]]]:
        unknown = {tp.topic for tp in wanted if self._client.cluster.leader_for_partition(tp) is None}
        if unknown:
            with contextlib.suppress(KafkaError, TimeoutError):  # then they are left out
                async with asyncio.timeout(_ANSWER_S):
                    await asyncio.gather(*(self._client.add_topic(topic) for topic in unknown))
        by_node: dict[int, dict[str, list[tuple[int, int]]]] = defaultdict(lambda: defaultdict(list))
        for tp, at in wanted.items():
            node = self._client.cluster.leader_for_partition(tp)
            if node is not None and node != -1:
                by_node[node][tp.topic].append((tp.partition, at))
        return by_node

    async def _ask_one(self, node: int, topics: Mapping[str, list[tuple[int, int]]]) -> Offsets:
        found: Offsets = {}
        try:
            async with asyncio.timeout(_ANSWER_S):
                answer = await self._client.send(node, OffsetRequest(-1, _READ_UNCOMMITTED, list(topics.items())))
        except (KafkaError, OSError, TimeoutError) as error:
            log.info("offsets_unanswered", node=node, topics=sorted(topics), error=repr(error))
            return found
        for topic, partitions in answer.topics:
            for partition, code, _, offset in partitions:
                if code == 0:
                    found[TopicPartition(topic, partition)] = offset
                else:
                    log.debug("offset_unanswered", topic=topic, partition=partition, error=for_code(code).__name__)
        return found
