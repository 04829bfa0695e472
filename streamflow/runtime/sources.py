"""The source topics: in which state each is, and where reading of their partitions begins.

**States.** A topic that does not exist (`missing`) or that we may not read (`unreadable`) is left out of the
subscription, and a partition without a leader (`leaderless`) is opened when it has one. Everything else is read
meanwhile.

**Where reading begins.** At the committed offset, if it belongs to the topic that is there now. A topic that was
deleted and created again has another id: it is read from its beginning, with fresh counts. Without a committed offset:

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

import asyncio
import contextlib
from collections.abc import Iterable, Mapping, Sequence

import structlog
from aiokafka import AIOKafkaConsumer
from aiokafka.structs import TopicPartition
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, ConfigResource, ResourceType

from streamflow.core.source_position import Counts, SourcePosition, Stored, stored_of
from streamflow.core.source_topics import FirstPosition
from streamflow.errors import OperationError
from streamflow.kafka.topic_states import Described, SourceTopic, ask, described
from streamflow.runtime.log_ends import LogEnds
from streamflow.runtime.membership import Membership

log = structlog.get_logger(__name__)

_DESCRIBE_S = 5.0
_LOOK_S = 2.0


class SourceTopics:
    """Asks the broker which topics exist, under which ids, and whether they may be read."""

    def __init__(self, admin: AdminClient) -> None:
        self._admin = admin

    async def describe(self, names: Iterable[str]) -> Described:
        """The topics of `names`. Raises OperationError when the broker does not answer."""
        wanted = sorted(names)
        if not wanted:
            return Described({}, {}, frozenset())
        answers = ask(self._admin, wanted, _DESCRIBE_S)
        futures = [asyncio.wrap_future(future) for future in answers.values()]
        await asyncio.gather(*futures, return_exceptions=True)
        try:
            return described({name: future.result for name, future in answers.items()})
        except KafkaException as error:
            await asyncio.to_thread(self._look_around)
            text = f"The broker did not describe the source topics: {error.args[0].name()}. Check the broker."
            raise OperationError("source_unreachable", text) from error

    async def log_append(self, names: Iterable[str]) -> frozenset[str]:
        """Those of `names` whose records have the time of their arrival; one whose settings we may not read is none of
        them."""
        wanted = [ConfigResource(ResourceType.TOPIC, name) for name in sorted(set(names))]
        found: set[str] = set()
        if not wanted:
            return frozenset()
        for resource, future in self._admin.describe_configs(wanted, request_timeout=_DESCRIBE_S).items():
            with contextlib.suppress(KafkaException):
                config = await asyncio.wrap_future(future)
                if config["message.timestamp.type"].value == "LogAppendTime":
                    found.add(resource.name)
        return frozenset(found)

    def _look_around(self) -> None:
        """Has the client find out which brokers there are. Otherwise it goes on asking a controller that is gone, for
        as long as its picture of the cluster holds: minutes."""
        with contextlib.suppress(KafkaException):  # the caller has an error already
            self._admin.list_topics(timeout=_LOOK_S)


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
        times = {tp: first[tp.topic].published_ms for tp in now if tp.topic in log_append}
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
