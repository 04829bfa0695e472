"""Offsets of source partitions: where reading begins, where it continues after a gap, and what is committed.

Reading begins at the committed offset, if it belongs to the topic that is there now. A topic that was deleted and
created again has another id: it is read from its beginning, with fresh counts. Without a committed offset:

- `start: earliest`: at the beginning.
- `start: now`: where the partition ended when the publication was made, as its publisher found it. A partition that
  did not exist then begins at its beginning.
- If the publisher could not ask, and the topic has LogAppendTime: at the first record that arrived since the
  publication, both by the brokers' time.
- If it has CreateTime: at the end (high watermark) that is found when a worker first sees the publication. It is
  committed at once, with the number of partitions: those added later begin at their beginning. What arrives between the
  publication and that moment is not read.

No clock of a worker, a publisher or a producer is asked.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import structlog
from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError
from aiokafka.structs import TopicPartition

from streamflow.core.source_position import Counts, SourcePosition, Stored, stored_of
from streamflow.core.source_topics import FirstPosition
from streamflow.kafka.topic_states import SourceTopic
from streamflow.runtime.log_ends import LogEnds
from streamflow.runtime.membership import Membership
from streamflow.runtime.sources import SourceTopics

log = structlog.get_logger(__name__)


class SourceOpener:
    """Opens partitions. `known` are the ids of topics that this process has seen, kept over sessions, `missed` the
    topics that it has seen to be missing: what is in them has come since."""

    def __init__(
        self,
        consumer: AIOKafkaConsumer,
        membership: Membership,
        ends: LogEnds,
        sources: SourceTopics,
        known: dict[str, str],
        missed: set[str],
    ) -> None:
        self._consumer = consumer
        self._membership = membership
        self._ends = ends
        self._sources = sources
        self._known = known
        self._missed = missed

    async def open(
        self,
        assigned: Iterable[TopicPartition],
        topics: Mapping[str, SourceTopic],
        first: Mapping[str, FirstPosition],
    ) -> dict[TopicPartition, SourcePosition]:
        """The assigned partitions of `topics`, with the consumer at the right offset in each, and first offsets
        committed. Those whose first offset nobody answers for now are left out. Raises KafkaError."""
        tps = [tp for tp in assigned if tp.topic in topics]
        whole = [
            TopicPartition(topic, n) for topic in {tp.topic for tp in tps} for n in range(topics[topic].partitions)
        ]
        committed = await self._membership.committed({*tps, *whole})
        stored = {tp: stored_of(metadata) for tp, (_, metadata) in committed.items()}
        began = {topic: _began(topic, topics[topic].id, stored) for topic in {tp.topic for tp in tps}}
        opened: dict[TopicPartition, SourcePosition] = {}
        begin: set[TopicPartition] = set()
        now: set[TopicPartition] = set()
        for tp in tps:
            topic_id, offset = topics[tp.topic].id, committed.get(tp, (-1, ""))[0]
            found = stored.get(tp)
            old_id = found.topic_id if found else self._known.get(tp.topic, topic_id) if offset < 0 else topic_id
            if old_id != topic_id:
                log.warning(
                    "source_topic_recreated",
                    topic=tp.topic,
                    partition=tp.partition,
                    old_id=old_id,
                    topic_id=topic_id,
                    begins_at=0,
                )
                begin.add(tp)
            elif offset >= 0:
                if found is None:
                    log.warning("source_counts_lost", topic=tp.topic, partition=tp.partition, offset=offset)
                opened[tp] = self._position(tp, topics, offset, found, began[tp.topic])
            elif self._is_new(tp, topic_id, first, began[tp.topic]):
                begin.add(tp)
            else:
                now.add(tp)
        for tp, offset in (await self._first_offsets(begin, now, first)).items():
            log.info("source_begins", topic=tp.topic, partition=tp.partition, offset=offset)
            opened[tp] = self._position(tp, topics, offset, None, began[tp.topic])
        fresh = opened.keys() & (begin | now)
        self._known.update({tp.topic: topics[tp.topic].id for tp in tps})
        for tp, source in opened.items():
            self._consumer.seek(tp, source.next)
        if fresh:
            await self._membership.commit({tp: opened[tp].position() for tp in fresh})
        return opened

    async def skip_gaps(self, sources: Mapping[TopicPartition, SourcePosition]) -> None:
        """Move each of `sources`, whose next record the broker does not have, to the nearest that there is. Raises
        KafkaError."""
        begins, ends = await self._ends.beginnings(sources), await self._ends.ends(sources)
        for tp, source in sources.items():
            if tp not in begins or tp not in ends:
                continue  # asked again when it is read again
            at = begins[tp] if source.next < begins[tp] else ends[tp]
            deleted = at == begins[tp]
            log.error(
                "source_gap",
                topic=tp.topic,
                partition=tp.partition,
                offset=source.next,
                goes_on_at=at,
                reason="the broker deleted records before they were read" if deleted else "the broker lost records",
            )
            source.next = at
            self._consumer.seek(tp, at)

    def _is_new(self, tp: TopicPartition, topic_id: str, first: Mapping[str, FirstPosition], began: int | None) -> bool:
        """Whether everything in `tp`, of which nothing is committed, is to be read."""
        place = first.get(tp.topic)
        if place is None or place.earliest:
            return True
        if began is not None and tp.partition >= began:
            return True
        if place.ends is not None:  # the topic, or this partition of it, was created after the publication
            return place.ends.id != topic_id or str(tp.partition) not in place.ends.offsets
        return tp.topic in self._missed

    def _position(
        self,
        tp: TopicPartition,
        topics: Mapping[str, SourceTopic],
        offset: int,
        found: Stored | None,
        began: int | None,
    ) -> SourcePosition:
        topic = topics[tp.topic]
        return SourcePosition(
            topic=tp.topic,
            partition=tp.partition,
            topic_id=topic.id,
            next=offset,
            committed=offset,
            counts=found.counts if found else Counts(),
            partitions=began or topic.partitions,
        )

    async def _first_offsets(
        self, begin: set[TopicPartition], now: set[TopicPartition], first: Mapping[str, FirstPosition]
    ) -> dict[TopicPartition, int]:
        dated = {tp.topic for tp in now if first[tp.topic].ends is None}
        log_append = await self._sources.log_append(dated)
        now = {tp for tp in now if tp.topic not in dated or tp.topic in log_append}
        times = {tp: first[tp.topic].published_ms for tp in now if log_append.get(tp.topic)}
        # The end first: what is appended between the two questions is then after both answers.
        ends = await self._ends.ends(now)
        begins = await self._ends.beginnings([*begin, *now])
        since = await self._ends.since(times)
        offsets = {tp: begins[tp] for tp in begin if tp in begins}
        for tp in now:
            if tp not in ends or tp not in begins or (tp in times and tp not in since):
                continue
            known = first[tp.topic].ends
            if known is not None:
                offsets[tp] = max(begins[tp], min(ends[tp], known.offsets[str(tp.partition)]))
            else:
                offsets[tp] = since[tp] if 0 <= since.get(tp, -1) < ends[tp] else ends[tp]
        return offsets


def _began(topic: str, topic_id: str, stored: Mapping[TopicPartition, Stored | None]) -> int | None:
    """How many partitions `topic` had when reading of it began, as its commits remember it."""
    counts: Sequence[int] = [
        found.partitions
        for tp, found in stored.items()
        if tp.topic == topic and found is not None and found.topic_id == topic_id and found.partitions
    ]
    return min(counts, default=None)


async def commit_moved(membership: Membership, sources: Mapping[TopicPartition, SourcePosition]) -> None:
    """Commit those of `sources` that have moved. One that cannot be committed now is retried later."""
    moved = {tp: source.position() for tp, source in sources.items() if source.committable != source.committed}
    if not moved:
        return
    try:
        await membership.commit(moved)
    except KafkaError as error:
        log.warning("commit_failed", error=repr(error), partitions=len(moved), consequence="tried again later")
        return
    for tp, (offset, _) in moved.items():
        sources[tp].committed = offset
