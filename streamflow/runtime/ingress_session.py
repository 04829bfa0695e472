"""One consumer and one producer of ingress, from their start to their first error: read, route, append, commit.

**At least once, counted exactly.** A source offset is committed after the broker has its commands and dead letters;
with it, as metadata, go the counts read = matched + ignored + dead of its partition. After a crash the records above it
are read again, and the engine drops the copies by their `Origin`.

**A publication holds from its acknowledgement on.** Before a fetched batch is routed, `definitions` is read to the end
that it had after the fetch. So every version whose publication was acknowledged before an event of the batch was
produced is known. That is one question to the broker, about a millisecond, for all batches of one round.

**A rebalance loses nothing.** Partitions are given up when nothing of theirs is on its way, and after a commit. They
are always opened from the committed offsets, never from what this process remembers.

**A part that fails stops only itself**: a topic that is missing or unreadable, a partition without a leader, a
partition of the engine that is far behind.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from typing import Any

import structlog
from aiokafka.errors import (
    NoOffsetForPartitionError,
    OffsetOutOfRangeError,
    TopicAuthorizationFailedError,
)
from aiokafka.structs import TopicPartition
from confluent_kafka.admin import AdminClient

from streamflow.core.event_router import EventRouter
from streamflow.core.metrics import Metrics, NoMetrics
from streamflow.core.source_position import Counts, SourcePosition
from streamflow.core.source_topics import SourceBinding, source_binding
from streamflow.kafka.connection import FetchWait, aiokafka_config, max_batch_bytes
from streamflow.kafka.groups import GroupOffsets, ingress_group
from streamflow.kafka.members import member_role
from streamflow.kafka.topic_states import Described, TopicState
from streamflow.kafka.topics import COMMANDS, DEAD_LETTERS, topic_name
from streamflow.registry.readers import SchemaReaders
from streamflow.runtime.backpressure import EngineLag
from streamflow.runtime.consumer_session import CLOSE_S, ConsumerSession, within
from streamflow.runtime.log_ends import LogEnds
from streamflow.runtime.outbox import Outbox
from streamflow.runtime.schema_waits import SchemaWaits
from streamflow.runtime.source_intake import SourceIntake
from streamflow.runtime.source_log import SourceLog
from streamflow.runtime.source_opener import SourceOpener, commit_moved
from streamflow.runtime.sources import SourceTopics
from streamflow.runtime.versions import Versions
from streamflow.runtime.watermark_sender import WatermarkSender
from streamflow.settings import Settings

log = structlog.get_logger(__name__)

# records of one round at most: about 150 ms of work, after which commits and changes have their turn
_ROUND_RECORDS = 5000
_POLL_MS = 50
_IDLE_POLL_MS = 200  # a publication that names a new topic is seen after it
_LOOK_S = 1.0  # between looks at source topics and at the engine's lag
_COUNTS_S = 10.0
_AGAIN_S = 0.5  # before reading again after a refusal


class IngressSession(ConsumerSession):
    """`run` it once. `admin` and `engine` belong to the process, and so do `memory`, what it has seen of the source
    topics, and `schemas`, those of a registry."""

    def __init__(
        self,
        settings: Settings,
        versions: Versions,
        admin: AdminClient,
        engine: GroupOffsets,
        memory: SourceLog,
        metrics: Metrics | None = None,
        schemas: SchemaReaders | None = None,
    ) -> None:
        ingress = settings.ingress
        super().__init__(
            aiokafka_config(settings, member_role("ingress", settings.ingress.instance_id)),
            ingress_group(settings),
            ingress.instance_id,
            ingress.session_timeout_s,
            log,
            metrics=metrics or NoMetrics(),
            consumer_options={
                "isolation_level": "read_committed",
                "rebalance_timeout_ms": int(max(ingress.session_timeout_s, 10) * 1000),
            },
            producer_options={"max_batch_size": 1 << 19, "max_request_size": max_batch_bytes(settings)},
        )
        self._settings = settings
        self._versions = versions
        self._memory = memory
        self._sources = SourceTopics(admin)
        commands, partitions = topic_name(settings, COMMANDS), settings.topics.partitions
        self._ends = LogEnds(self.consumer)
        self._lag = EngineLag(engine, self._ends, commands, partitions, settings.ingress.max_engine_lag)
        self._outbox = Outbox(self.producer, commands, partitions, topic_name(settings, DEAD_LETTERS))
        self._schemas = schemas
        retry_s = settings.registry.retry_s
        waits = None if schemas is None else SchemaWaits(schemas, self.metrics, retry_s=retry_s)
        self._intake = SourceIntake(self.consumer, self._outbox, memory, waits)
        self._watermarks = WatermarkSender(self._ends, self._outbox, partitions)
        self._opener: SourceOpener
        self._fetch_wait: FetchWait
        self._revision = -1
        self._bound = 0
        self._binding: SourceBinding
        self._described = Described({}, {}, frozenset())
        self._subscribed = self._described.topics
        self._owned: dict[TopicPartition, SourcePosition] = {}
        self._unopened: set[TopicPartition] = set()
        # held while records are between the consumer and the commit; a rebalance waits for it
        self._busy = asyncio.Lock()
        self._changed = asyncio.Event()
        self._ending = asyncio.Event()
        self._read_ended = asyncio.Event()
        self._fetched = False  # records are fetched that are not counted yet
        self._unacknowledged = False  # records are counted whose commands are not acknowledged
        # records read when the lag was measured last, and when the counts were logged last
        self._measured = self._logged = 0

    async def begin(self) -> None:
        self._fetch_wait = FetchWait(self.consumer, idle_ms=500)
        known, missed = self._memory.known, self._memory.missed
        self._opener = SourceOpener(self.consumer, self.membership, self._ends, self._sources, known, missed)
        await self.membership.leave()
        await self._versions.read_to_end()
        self._follow()
        await self._look()
        await self._subscribe()

    def jobs(self) -> Sequence[Coroutine[Any, Any, None]]:
        ingress = self._settings.ingress
        asking = () if self._intake.schemas is None else (self._intake.schemas.ask(),)
        return (
            *asking,
            self._reading(),
            _every(ingress.commit_s, self._commit_now),
            _every(ingress.watermark_s, self._send_watermarks),
            _every(_LOOK_S, self._look),
            _every(_LOOK_S, self._measure_lag),
            _every(_COUNTS_S, self._log_counts),
        )

    async def finish(self) -> None:
        self._ending.set()
        await within(CLOSE_S / 3, self._read_ended.wait())
        await within(CLOSE_S / 3, self._commit_now())

    # -- reading

    async def _reading(self) -> None:
        try:
            while not self._ending.is_set():
                await self._round()
        finally:
            self._read_ended.set()

    async def _round(self) -> None:
        """Reads what is there, makes its commands and has them acknowledged."""
        if self._versions.revision != self._revision:
            self._follow()
            self._changed.set()
        if self._changed.is_set():
            self._changed.clear()
            await self._look()
            await self._subscribe()
        await self._release()
        owned = self._owned
        readable = owned.keys() - self._intake.unread
        if not readable:
            await asyncio.sleep(_POLL_MS / 1000)
            return
        try:
            poll_ms = _IDLE_POLL_MS if self._fetch_wait.idle else _POLL_MS
            batches = await self.consumer.getmany(*readable, timeout_ms=poll_ms, max_records=_ROUND_RECORDS)
            self._fetch_wait.note(bool(batches))
        except NoOffsetForPartitionError:
            return  # asked for before the partition was opened, which seeks
        except OffsetOutOfRangeError as error:
            await self._out_of_range(error)
            return
        except TopicAuthorizationFailedError:
            await self._look()  # which leaves the topic out, or else:
            await asyncio.sleep(_AGAIN_S)
            return
        if not batches:
            return
        self._fetched = True
        await self._versions.read_to_end()
        self._follow()
        async with self._busy:
            if self._owned is not owned:  # a rebalance came between: what it opened is read from where it opened it
                for tp in batches:
                    if tp in self._owned:
                        self.consumer.seek(tp, self._owned[tp].next)
                self._fetched = False
                return
            self._unacknowledged = True
            before = {tp: owned[tp].counts for tp in batches}
            for tp, records in batches.items():
                await self._intake.take(tp, owned[tp], records)
            await self._outbox.flush()
            # not when something was raised: then the consumer is ahead of what is done
            self._fetched = self._unacknowledged = False
            self.worked = True
            self._report(before)

    def _report(self, before: Mapping[TopicPartition, Counts]) -> None:
        for tp, then in before.items():
            now = self._owned[tp].counts
            for outcome in ("matched", "ignored", "dead"):
                if added := getattr(now, outcome) - getattr(then, outcome):
                    self.metrics.count("source_records", added, topic=tp.topic, outcome=outcome)

    async def _release(self) -> None:
        """Sends what was held back for partitions that take commands again, and reads on where there is room."""
        async with self._busy:
            if self._intake.releasable:
                self._unacknowledged = True
                await self._intake.release(self._owned)
                self._unacknowledged = False
            self._intake.resume()

    async def _out_of_range(self, error: OffsetOutOfRangeError) -> None:
        """Reading continues at the nearest record that there is; a topic that was created again is opened again."""
        await self._look()
        if self._changed.is_set():
            return
        async with self._busy:
            await self._opener.skip_gaps({tp: self._owned[tp] for tp in error.args[0] if tp in self._owned})

    # -- what is read

    def _follow(self) -> None:
        """Takes the published versions as they are now."""
        if self._versions.revision == self._revision:
            return
        self._revision, self._bound = self._versions.revision, self._versions.position
        published, limits = self._versions.published(), self._settings.limits
        sizes = {"event_bytes": limits.event_bytes, "record_bytes": limits.record_bytes}
        router = EventRouter(published, **sizes, sampling=self._memory.sampling, unframe=self._schemas)
        self._intake.router = router
        self._binding = source_binding(published, self._versions.bindings())
        log.info("versions_taken", versions=len(published), topics=sorted(router.topics), revision=self._revision)

    async def _look(self) -> None:
        """Sees in which state the wanted topics are, and opens what could not be opened before."""
        times = dict(self._outbox.times)
        self._described = await self._sources.describe(self._intake.router.topics)
        self._memory.note(self._described.states)
        missing = [topic for topic, state in self._described.states.items() if state is TopicState.MISSING]
        self._watermarks.missing(times, missing)
        if self._described.topics != self._subscribed:
            self._changed.set()
        elif self._unopened - self._described.leaderless:
            async with self._busy:
                await self._open(self._unopened)

    async def _subscribe(self) -> None:
        """Reads the topics that may be read now. Everything read so far is finished and committed before, so nothing is
        lost or done twice."""
        if self._described.topics == self._subscribed:
            return
        async with self._busy:
            await self._commit()
            self._forget()
            self._subscribed = dict(self._described.topics)
            log.info("source_topics", topics=sorted(self._subscribed))
            if self._subscribed:
                self.consumer.subscribe(topics=sorted(self._subscribed), listener=self)
            elif self.consumer.subscription():
                self.consumer.unsubscribe()

    async def give_up(self) -> None:
        async with self._busy:
            await self._commit()
            self._forget()

    async def take_up(self, assigned: Sequence[TopicPartition]) -> None:
        async with self._busy:
            self._forget()
            await self._open(assigned)
            topics = sorted({tp.topic for tp in self._owned})
            log.info("sources_assigned", partitions=len(self._owned), topics=topics)

    async def _open(self, assigned: Iterable[TopicPartition]) -> None:
        wanted = {tp for tp in assigned if tp.topic in self._subscribed}
        opened = await self._opener.open(wanted, self._subscribed, self._binding.first)
        self._owned = {**self._owned, **opened}
        self._unopened = wanted - opened.keys()

    def _forget(self) -> None:
        """What was read and not committed is read again."""
        self._owned = {}
        self._unopened = set()
        self._intake.drop()
        self._watermarks.opened()

    # -- commits, watermarks and counts

    async def _commit_now(self) -> None:
        async with self._busy:
            await self._commit()

    async def _commit(self) -> None:
        """Commits what is acknowledged. A failure costs nothing: the offsets are committed later, or read again by
        their next owner."""
        if self._unacknowledged:
            return  # a round failed, and the session ends
        self._settle()
        await commit_moved(self.membership, self._owned)

    def _settle(self) -> None:
        """Moves on over what is no record (marks of transactions, what compaction took), when nothing is between the
        consumer and the commit."""
        if not self._fetched:
            for tp, source in self._owned.items():
                source.next = max(source.next, self.membership.position(tp))

    async def _send_watermarks(self) -> None:
        if not self._binding.limited:
            return
        times, asked = await self._watermarks.ask(self._binding, self._owned)
        async with self._busy:
            if self._unacknowledged:
                return  # a round failed, and the session ends
            self._settle()
            held = self._intake.held
            await self._watermarks.send(
                self._binding, self._bound, self._owned, self._described, times, asked, held.blocked, held.sources()
            )

    async def _measure_lag(self) -> None:
        self.metrics.gauge("sources_stopped", len(self._intake.stopped))
        read = self._read()
        if read == self._measured and not self._intake.held.blocked:
            return
        self._measured = read
        self._intake.held.blocked = await self._lag.behind(await self._outbox.partitions())

    async def _log_counts(self) -> None:
        if (read := self._read()) != self._logged:
            self._logged = read
            self._memory.counts([source.counts for source in self._owned.values()], self._described.states)

    def _read(self) -> int:
        return sum(source.counts.read for source in self._owned.values())


async def _every(seconds: float, job: Callable[[], Coroutine[Any, Any, None]]) -> None:
    while True:
        await asyncio.sleep(seconds)
        await job()
