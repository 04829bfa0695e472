"""One consumer and one producer of ingress, from their start to their first error: read, match, append, commit.

**At least once, counted exactly.** A source offset is committed after the broker has its commands and dead letters;
with it, as metadata, go the counts read = matched + ignored + dead-lettered of its partition. After a crash the records
above it are read again, and the engine drops the copies by their `Origin`.

**A publication holds from its acknowledgement on.** Before a fetched batch is matched, `definitions` is read to the end
that it had after the fetch. So every version whose publication was acknowledged before an event of the batch was
produced is known. That is one question to the broker, about a millisecond, for all batches of one round.

**A rebalance loses nothing.** Partitions are given up when nothing of theirs is on its way, and after a commit. They
are always opened from the committed offsets, never from what this process remembers.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import structlog
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.abc import ConsumerRebalanceListener
from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from aiokafka.errors import KafkaError, NoOffsetForPartitionError, OffsetOutOfRangeError
from aiokafka.structs import TopicPartition
from confluent_kafka.admin import AdminClient

from streamflow.engine.match import Published
from streamflow.kafka.cancellation import is_asked_for
from streamflow.kafka.connection import FetchWait, aiokafka_config, max_batch_bytes, stop_consumer
from streamflow.kafka.groups import GroupOffsets, ingress_group
from streamflow.kafka.topics import COMMANDS, DEAD_LETTERS, topic_name
from streamflow.runtime.backpressure import EngineLag
from streamflow.runtime.changelog import stop_producer
from streamflow.runtime.intake import NOTHING, Intake
from streamflow.runtime.membership import Membership
from streamflow.runtime.outbox import Outbox
from streamflow.runtime.sources import SourcePartition, SourceTopic, SourceTopics, Tally, open_partitions
from streamflow.runtime.versions import Versions
from streamflow.runtime.watermark import Watermarks
from streamflow.settings import Settings
from streamflow.wire.codec import encode_command
from streamflow.wire.decoding import Record

log = structlog.get_logger(__name__)

CLOSE_S = 10.0  # seconds that closing may take, whatever the broker does

# records of one round at most: about 150 ms of work, after which commits and changes have their turn
_ROUND_RECORDS = 5000
_YIELD_RECORDS = 200  # heartbeats run in this loop
_POLL_MS = 50
_IDLE_POLL_MS = 200  # a publication that names a new topic is seen after it
_LOOK_S = 1.0  # between looks at source topics and at the engine's lag
_STATS_S = 10.0


class Session(ConsumerRebalanceListener):
    """`run` it once. `known` are the ids of source topics that this process has seen, kept over sessions; `worked` says
    that it did something."""

    def __init__(
        self,
        settings: Settings,
        versions: Versions,
        intake: Callable[[Iterable[Published]], Intake],
        admin: AdminClient,
        engine: GroupOffsets,
        known: dict[str, str],
    ) -> None:
        self.worked = False
        self._settings = settings
        self._versions = versions
        self._make_intake = intake
        self._known = known
        self._sources = SourceTopics(admin)
        commands, partitions = topic_name(settings, COMMANDS), settings.topics.partitions
        config = aiokafka_config(settings, "ingress")
        self._producer = AIOKafkaProducer(
            **config,
            enable_idempotence=True,
            acks="all",
            linger_ms=0,
            retry_backoff_ms=50,
            max_batch_size=1 << 19,
            max_request_size=max_batch_bytes(settings),
        )
        timeout_ms = int(settings.ingress.session_timeout_s * 1000)
        group = ingress_group(settings)
        self._consumer = AIOKafkaConsumer(
            **config,
            group_id=group,
            group_instance_id=settings.ingress.instance_id,
            session_timeout_ms=timeout_ms,
            heartbeat_interval_ms=min(1000, timeout_ms // 4),
            rebalance_timeout_ms=max(timeout_ms, 10_000),
            max_poll_interval_ms=2**31 - 1,  # waiting for a broker or for the engine is no reason to leave
            enable_auto_commit=False,
            auto_offset_reset="none",
            isolation_level="read_committed",
            fetch_max_wait_ms=100,
            metadata_max_age_ms=5000,  # how soon the group's leader sees that a topic has more partitions
            max_partition_fetch_bytes=1 << 20,
            partition_assignment_strategy=(RoundRobinPartitionAssignor,),
        )
        self._group = group
        self._lag = EngineLag(engine, self._consumer, commands, partitions)
        self._outbox = Outbox(self._producer, commands, partitions, topic_name(settings, DEAD_LETTERS))
        self._marks = Watermarks()
        self._membership: Membership
        self._fetch_wait: FetchWait
        self._revision = -1
        self._taking: Intake
        self._topics: dict[str, SourceTopic] = {}
        self._missing_told: dict[str, float] = {}
        self._subscribed: dict[str, SourceTopic] = {}
        self._owned: dict[TopicPartition, SourcePartition] = {}
        # held while records are between the consumer and the commit; a rebalance waits for it
        self._busy = asyncio.Lock()
        self._changed = asyncio.Event()
        self._failure: BaseException | None = None
        self._behind = False
        self._held = False  # records are fetched whose commands are not acknowledged
        # records read when the lag was measured last, and when the counts were told last
        self._measured = self._told = 0

    async def run(self, stopped: asyncio.Event) -> None:
        """Works until `stopped` is set. Raises what ended it before."""
        tasks: list[asyncio.Task[None]] = []
        orderly = False
        try:
            await self._producer.start()
            await self._consumer.start()
            self._fetch_wait = FetchWait(self._consumer, idle_ms=500)
            self._membership = Membership(self._consumer, self._group, self._settings.ingress.instance_id)
            await self._membership.leave()
            await self._versions.read_to_end()
            self._follow()
            await self._look()
            await self._subscribe()
            tasks = [
                asyncio.create_task(job)
                for job in (
                    self._every(self._settings.ingress.commit_s, self._commit_now),
                    self._every(self._settings.ingress.watermark_s, self._send_watermarks),
                    self._every(_LOOK_S, self._look),
                    self._every(_LOOK_S, self._measure_lag),
                    self._every(_STATS_S, self._tell),
                )
            ]
            while not stopped.is_set():
                self._check(tasks)
                await self._round()
            orderly = True
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._close(orderly)

    async def _round(self) -> None:
        """Reads what is there, makes its commands and has them acknowledged."""
        if self._versions.revision != self._revision:
            self._follow()
            self._changed.set()
        if self._changed.is_set():
            self._changed.clear()
            await self._look()
            await self._subscribe()
        if not self._owned or self._behind:
            await asyncio.sleep(_POLL_MS / 1000)
            return
        owned = self._owned
        try:
            poll_ms = _IDLE_POLL_MS if self._fetch_wait.idle else _POLL_MS
            batches = await self._consumer.getmany(*owned, timeout_ms=poll_ms, max_records=_ROUND_RECORDS)
            self._fetch_wait.note(bool(batches))
        except NoOffsetForPartitionError:
            return  # asked for before the partition was opened, which seeks
        except OffsetOutOfRangeError as error:
            await self._out_of_range(error)
            return
        if not batches:
            return
        self._held = True
        await self._versions.read_to_end()
        self._follow()
        async with self._busy:
            if self._owned is not owned:  # a rebalance came between: what it opened is read from where it opened it
                self._rewind(batches)
                self._held = False
                return
            tallies = [(owned[tp], await self._take(owned[tp], records)) for tp, records in batches.items()]
            await self._outbox.flush()
            for source, tally in tallies:
                source.add(tally)
            self._held = False  # not when something was raised: then the consumer is ahead of what is done
            self.worked = True

    async def _take(self, source: SourcePartition, records: Sequence[Any]) -> Tally:
        """The inner loop: one record to its commands. The tally counts only once the flush that follows is done."""
        take, outbox, topic_id, committed = self._taking.take, self._outbox, source.topic_id, source.committed
        read = matched = dead = 0
        for raw in records:
            if raw.offset < source.next:
                continue  # read before a seek
            read += 1
            if read % _YIELD_RECORDS == 0:
                await asyncio.sleep(0)
            taken = take(
                Record(raw.topic, raw.partition, raw.offset, raw.timestamp, raw.key, raw.value, raw.headers),
                topic_id,
                committed,
            )
            if taken is NOTHING:
                continue
            for key, value in taken.commands:
                outbox.add(key, value)
            outbox.add_dead(taken.dead_letters)
            if taken.commands:
                matched += 1
            elif taken.dead_letters:
                dead += 1
        return Tally(records[-1].offset + 1, records[-1].timestamp, read, matched, read - matched - dead, dead)

    def _rewind(self, partitions: Iterable[TopicPartition]) -> None:
        for tp in partitions:
            if tp in self._owned:
                self._consumer.seek(tp, self._owned[tp].next)

    def _settle(self) -> None:
        """Moves on over what is no record (marks of transactions, what compaction took), when nothing is between the
        consumer and the commit."""
        if not self._held:
            for tp, source in self._owned.items():
                source.next = max(source.next, self._membership.position(tp))

    def _follow(self) -> None:
        """Takes the published versions as they are now."""
        if self._versions.revision == self._revision:
            return
        self._revision = self._versions.revision
        self._taking = self._make_intake(self._versions.published())
        log.info(
            "versions_taken",
            versions=len(self._taking.matcher.published),
            topics=sorted(self._taking.topics),
            revision=self._revision,
        )
        if self._taking.topics != frozenset(self._topics):
            self._changed.set()

    async def _look(self) -> None:
        """Sees which of the wanted topics exist now, and tells of those that do not."""
        wanted = self._taking.topics
        self._topics = await self._sources.describe(wanted)
        for topic in sorted(wanted - self._topics.keys()):
            if time.monotonic() - self._missing_told.get(topic, float("-inf")) > _STATS_S:
                self._missing_told[topic] = time.monotonic()
                log.warning(
                    "source_topic_missing",
                    topic=topic,
                    consequence="none of its events are read; it is looked for every second",
                )
        if self._topics != self._subscribed:
            self._changed.set()

    async def _subscribe(self) -> None:
        """Reads the topics that exist now. Everything read so far is finished and committed before, so nothing is lost
        or done twice."""
        if self._topics == self._subscribed:
            return
        async with self._busy:
            await self._commit()
            self._owned = {}
            self._subscribed = dict(self._topics)
            log.info("source_topics", topics=sorted(self._subscribed))
            if self._subscribed:
                self._consumer.subscribe(topics=sorted(self._subscribed), listener=self)
            elif self._consumer.subscription():
                self._consumer.unsubscribe()

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        """The group takes partitions away: what is on its way is finished and committed first."""
        try:
            async with self._busy:
                await self._commit()
                self._owned = {}
        except Exception as error:
            self._failure = error  # aiokafka only logs it
            raise

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """The group has given out partitions: they are opened from what the group knows of them."""
        try:
            async with self._busy:
                first = self._taking.first
                self._owned = await open_partitions(
                    self._consumer, self._membership, assigned, self._subscribed, first, self._known
                )
                log.info(
                    "sources_assigned", partitions=len(self._owned), topics=sorted({tp.topic for tp in self._owned})
                )
        except (Exception, asyncio.CancelledError) as error:
            self._failure = error
            raise

    async def _commit_now(self) -> None:
        async with self._busy:
            await self._commit()

    async def _commit(self) -> None:
        """Commits what is acknowledged. A failure costs nothing: the offsets are committed later, or read again by
        whoever owns them then."""
        self._settle()
        moved = {tp: source.position() for tp, source in self._owned.items() if source.next != source.committed}
        if not moved:
            return
        try:
            await self._membership.commit(moved)
        except KafkaError as error:
            log.warning("commit_failed", error=repr(error), partitions=len(moved), consequence="tried again later")
            return
        for tp, (offset, _) in moved.items():
            self._owned[tp].committed = offset

    async def _send_watermarks(self) -> None:
        if not any(tp.topic in self._taking.limited_topics for tp in self._owned):
            return
        limited = [tp for tp in self._owned if tp.topic in self._taking.limited_topics]
        asked_ms = self._marks.now()
        ends = await self._consumer.end_offsets(limited)
        async with self._busy:
            self._settle()
            for command in self._marks.advance(asked_ms, ends, self._owned.values(), self._subscribed):
                self._outbox.add_everywhere(encode_command(command))
            await self._outbox.flush()

    async def _measure_lag(self) -> None:
        read = self._read()
        if read == self._measured and not self._behind:
            return
        self._measured = read
        limit = self._settings.ingress.max_engine_lag
        lag = await self._lag.measure()
        if (lag > limit) != self._behind:
            self._behind = lag > limit
            log.warning("engine_behind" if self._behind else "engine_caught_up", lag=lag, limit=limit)

    async def _out_of_range(self, error: OffsetOutOfRangeError) -> None:
        """Reading goes on at the nearest record that there is; a topic that was made again is opened again."""
        await self._look()
        if self._changed.is_set():
            return
        async with self._busy:
            for tp in error.args[0]:
                source = self._owned.get(tp)
                if source is None:
                    continue
                begin, end = (
                    (await self._consumer.beginning_offsets([tp]))[tp],
                    (await self._consumer.end_offsets([tp]))[tp],
                )
                at = begin if source.next < begin else end
                reason = (
                    "the broker deleted records before they were read" if at == begin else "the broker lost records"
                )
                log.error(
                    "source_gap",
                    topic=tp.topic,
                    partition=tp.partition,
                    offset=source.next,
                    goes_on_at=at,
                    reason=reason,
                )
                source.next = at
                self._consumer.seek(tp, at)

    async def _tell(self) -> None:
        if (read := self._read()) != self._told:
            self._told = read
            matched, ignored, dead = (
                sum(getattr(source, name) for source in self._owned.values()) for name in ("matched", "ignored", "dead")
            )
            log.info(
                "ingress_counts", read=read, matched=matched, ignored=ignored, dead=dead, partitions=len(self._owned)
            )

    def _read(self) -> int:
        return sum(source.read for source in self._owned.values())

    async def _every(self, seconds: float, job: Callable[[], Any]) -> None:
        while True:
            await asyncio.sleep(seconds)
            await job()

    def _check(self, tasks: Iterable[asyncio.Task[None]]) -> None:
        if self._failure is not None:
            raise self._failure
        self._membership.check()
        for task in tasks:
            if task.done():
                task.result()

    async def _close(self, orderly: bool) -> None:
        """Commits, leaves the group, closes. What a broken broker does not answer in time is left to the next
        session."""
        jobs: list[tuple[str, Callable[[], Any]]] = (
            [("commit", self._commit_now), ("membership", self._membership.close)] if orderly else []
        )
        for name, job in jobs:
            try:
                async with asyncio.timeout(CLOSE_S / 3):
                    await job()
            except (KafkaError, OSError, TimeoutError, asyncio.CancelledError) as error:
                if is_asked_for(error):
                    raise
                log.warning("close_failed", what=name, error=repr(error), consequence="the broker finds out by itself")
        await stop_consumer(self._consumer)
        await stop_producer(self._producer)
