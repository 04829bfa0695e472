"""Watermarks of one ingress session: asks for the ends of its sources, and reports to the engine how far they are
read."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from aiokafka.structs import TopicPartition

from streamflow.core.source_position import SourcePosition
from streamflow.core.source_topics import SourceBinding
from streamflow.core.source_watermarks import Progress, SourceWatermarks, Times
from streamflow.ids import PartitionId
from streamflow.kafka.topic_states import Described, TopicState
from streamflow.runtime.log_ends import LogEnds, Offsets
from streamflow.runtime.outbox import Outbox
from streamflow.wire.codec import encode_command

Owned = Mapping[TopicPartition, SourcePosition]


class WatermarkSender:
    """`partitions` is how many the first generation has."""

    def __init__(self, ends: LogEnds, outbox: Outbox, partitions: int) -> None:
        self._ends = ends
        self._outbox = outbox
        self._entries = partitions
        self._marks = SourceWatermarks(partitions)

    def missing(self, times: Times, topics: Iterable[str]) -> None:
        """These `topics` were looked for after the acknowledgements of `times`, and do not exist."""
        self._marks.missing(times, topics)

    def opened(self) -> None:
        """The sources are opened again, from what is committed."""
        self._marks.opened()

    async def ask(self, binding: SourceBinding, owned: Owned) -> tuple[Times, Offsets]:
        """The times that are acknowledged now, and the ends of the sources, asked for after them."""
        times, limited = dict(self._outbox.times), binding.limited_topics()
        return times, await self._ends.ends([tp for tp in owned if tp.topic in limited])

    async def send(
        self,
        binding: SourceBinding,
        bound: int,
        owned: Owned,
        described: Described,
        times: Times,
        ends: Offsets,
        blocked: Collection[int],
        held: Mapping[int, frozenset[PartitionId]],
    ) -> None:
        """Sends to the partitions of `commands` that are not `blocked` how far everything is read. All that was read is
        acknowledged, but for `held`. Raises KafkaError."""
        sources = [Progress(one.topic, one.topic_id, one.partition, one.next) for one in owned.values()]
        self._marks.asked(times, {(tp.topic, tp.partition): end for tp, end in ends.items()}, sources)
        partitions = {topic: found.partitions for topic, found in described.topics.items()}
        partitions |= {topic: 0 for topic, state in described.states.items() if state is TopicState.MISSING}
        total = await self._outbox.partitions()
        targets = [to for to in range(total) if to % self._entries not in blocked]
        for to, command in self._marks.advance(binding, bound, sources, partitions, targets, held):
            self._outbox.add(to, "", encode_command(command))
        await self._outbox.flush()
