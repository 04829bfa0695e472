"""One consumer and one producer of a lane, from their start to their first error: read, send, commit.

**At least once, and as seldom twice as can be.** An offset is committed when the broker has the answer of its task, or
knows that there will be none; with the offset goes what is finished above it. Commits are made as soon as something is
finished, one at a time, and `commit_s` apart.

**A rebalance waits for attempts**, up to `drain_s`, so that no other worker makes them again; those that are still not
done go on if their partition comes back to us, and are cancelled if it does not.

**Nothing is read that nobody has a place for.** Partitions are paused while the lane is full, and what was fetched by
then stays with the consumer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import Any

import structlog
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.abc import ConsumerRebalanceListener
from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from aiokafka.errors import KafkaError, NoOffsetForPartitionError, OffsetOutOfRangeError
from aiokafka.structs import TopicPartition

from streamflow.core.contiguity import Contiguity, Verdict
from streamflow.errors import OperationError
from streamflow.kafka.admin import Admin
from streamflow.kafka.cancellation import is_asked_for
from streamflow.kafka.connection import FetchWait, aiokafka_config, max_batch_bytes, stop_consumer
from streamflow.kafka.serving import client_role, group_of, instance_name
from streamflow.kafka.topics import COMMANDS, topic_name
from streamflow.runtime.changelog import stop_producer
from streamflow.runtime.lane import Lane
from streamflow.runtime.membership import Membership
from streamflow.wire.lane_position import encode_position

log = structlog.get_logger(__name__)

CLOSE_S = 10.0  # seconds that closing may take beside the attempts, whatever the broker does

_READ_MS = 5_000  # a read that finds nothing while there was something lately; errors and rebalances end it sooner
_IDLE_MS = 60_000  # and when there was not
_FETCH_WAIT_MS = 100
_COMMIT_AGAIN_S = 0.5
_ANSWER_S = 10.0
_LOOK_S = 1.0


class LaneSession(ConsumerRebalanceListener):
    """`run` it once. `worked` says that it got as far as having partitions."""

    def __init__(self, lane: Lane) -> None:
        self.worked = False
        self._lane = lane
        self._log = log.bind(lane=lane.name)
        settings, self._drain_s = lane.settings, lane.settings.tasks.drain_s
        config = aiokafka_config(settings, client_role(lane.name, instance_name(settings)))
        self._producer = AIOKafkaProducer(
            **config,
            enable_idempotence=True,
            acks="all",
            linger_ms=0,
            retry_backoff_ms=50,
            max_batch_size=max(1 << 19, settings.limits.record_bytes + 50_000),
            max_request_size=2 * max_batch_bytes(settings),
        )
        timeout_ms = int(lane.config.session_timeout_s * 1000)
        self._consumer = AIOKafkaConsumer(
            **config,
            group_id=group_of(settings, lane.name),
            group_instance_id=settings.tasks.instance_id,
            session_timeout_ms=timeout_ms,
            heartbeat_interval_ms=min(2000, timeout_ms // 4),
            # others wait while our attempts end
            rebalance_timeout_ms=max(timeout_ms, int(self._drain_s * 1000) + 10_000),
            # and so do our requests to join, for theirs
            request_timeout_ms=max(40_000, int(self._drain_s * 1000) + 20_000),
            max_poll_interval_ms=2**31 - 1,  # a full lane is no reason to leave
            enable_auto_commit=False,
            auto_offset_reset="none",
            fetch_max_wait_ms=_FETCH_WAIT_MS,
            max_partition_fetch_bytes=1 << 20,
            partition_assignment_strategy=(RoundRobinPartitionAssignor,),
        )
        self._membership: Membership
        self._fetch_wait: FetchWait
        self._topic_id = ""
        self._generation = 0
        self._contiguity = Contiguity()
        self._open = asyncio.Event()  # between an assignment and the next revocation
        self._committing = asyncio.Lock()
        self._committed: dict[int, tuple[int, str]] = {}
        self._failure: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._forgotten_told = False

    async def run(self, stop: asyncio.Event) -> None:
        """Works until `stop` is set. Raises what ended it before."""
        lane = self._lane
        jobs: list[asyncio.Task[Any]] = []
        orderly = False
        try:
            await self._start()
            work = (self._read(), lane.answers.serve(self._producer), self._commits(), self._watch_group())
            jobs = [asyncio.create_task(job) for job in (*work, stop.wait())]
            await asyncio.wait({*jobs, self._failure}, return_when=asyncio.FIRST_COMPLETED)
            for job in (self._failure, *jobs[: len(work)]):
                if job.done():
                    job.result()
            jobs[0].cancel()
            await self._drain()
            orderly = True
        finally:
            lane.attempts.hold()
            for job in jobs:
                job.cancel()
            await asyncio.gather(*jobs, return_exceptions=True)
            if self._failure.done() and not self._failure.cancelled():
                self._failure.exception()
            await self._close(orderly)

    async def _start(self) -> None:
        lane, settings = self._lane, self._lane.settings
        ids = await asyncio.to_thread(lambda: Admin(settings).topic_ids([lane.topic]))
        if lane.topic not in ids:
            raise OperationError(
                "topics_missing",
                f"expected the topic {lane.topic} but it is not there; do run `streamflow topics apply`",
            )
        self._topic_id = ids[lane.topic]
        await self._producer.start()
        await self._producer.partitions_for(topic_name(settings, COMMANDS))  # metadata now, not at the first answer
        await self._consumer.start()
        # a task waits no longer than that behind a fetch for other partitions
        self._fetch_wait = FetchWait(self._consumer, busy_ms=_FETCH_WAIT_MS)
        self._membership = Membership(self._consumer, group_of(settings, lane.name), settings.tasks.instance_id)
        self._consumer.subscribe(topics=[lane.topic], listener=self)

    # -- reading

    async def _read(self) -> None:
        lane, consumer = self._lane, self._consumer
        while True:
            await self._open.wait()
            room = lane.attempts.room()
            if room == 0:
                await self._wait_room()
                continue
            generation = self._generation
            try:
                batches = await consumer.getmany(
                    timeout_ms=_IDLE_MS if self._fetch_wait.idle else _READ_MS, max_records=room
                )
            except NoOffsetForPartitionError:
                continue  # asked for before the partition was opened, which seeks
            except OffsetOutOfRangeError as error:
                await self._out_of_range(error.args[0])
                continue
            self._fetch_wait.note(bool(batches))
            if self._open.is_set():  # or else the next assignment says where to go on
                for place, records in batches.items():
                    self._hand_over(place, records, current=generation == self._generation)

    def _hand_over(self, place: TopicPartition, records: Sequence[Any], *, current: bool) -> None:
        finished = self._lane.logs.get(place.partition)
        if finished is None:
            return
        first, expected = records[0].offset, finished.next
        verdict = self._contiguity.judge(place.partition, expected, first, current=current)
        if verdict is Verdict.SEEK:
            self._log.info(
                "lane_read_again",
                partition=place.partition,
                expected=expected,
                found=first,
                reason="a rebalance came between",
            )
            self._seek(place)
            return
        if verdict is Verdict.HOLE:
            self._log.warning("offsets_without_records", partition=place.partition, expected=expected, found=first)
        self._lane.take(place.partition, records)

    def _seek(self, place: TopicPartition) -> None:
        """Go on with what comes next in the lane's own account."""
        offset = self._lane.logs[place.partition].next
        self._contiguity.sought(place.partition, offset)
        self._consumer.seek(place, offset)

    async def _wait_room(self) -> None:
        paused = self._consumer.assignment()
        self._consumer.pause(*paused)
        try:
            await self._lane.attempts.wait_room()
        finally:
            self._consumer.resume(*(paused & self._consumer.assignment()))

    async def _out_of_range(self, places: Iterable[TopicPartition]) -> None:
        """Reading goes on at the nearest record that there is."""
        for place in places:
            finished = self._lane.logs.get(place.partition)
            if finished is None:
                continue
            async with asyncio.timeout(_ANSWER_S):
                begin, end = (
                    (await self._consumer.beginning_offsets([place]))[place],
                    (await self._consumer.end_offsets([place]))[place],
                )
            if finished.next > end:
                raise OperationError(
                    "lane_cut",
                    f"expected {place.topic} to go on from {finished.next} but it ends at {end}; it is opened anew",
                )
            self._log.error(
                "tasks_deleted",
                partition=place.partition,
                offset=finished.next,
                goes_on_at=begin,
                reason="the broker deleted them unread",
            )
            self._lane.skip(place.partition, begin)
            self._seek(place)

    # -- the group

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        """The group is dealt anew: attempts get their time to end, and what is finished is committed."""
        self._open.clear()
        self._lane.attempts.hold()
        if not self._lane.logs:
            return
        try:
            await self._settle()
        except (Exception, asyncio.CancelledError) as error:
            self._fail(error)  # aiokafka only logs it
            raise

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """The group has dealt: partitions are opened from what it knows of them."""
        try:
            await self._take_up(list(assigned))
        except (Exception, asyncio.CancelledError) as error:
            self._fail(error)
            raise

    async def _take_up(self, places: list[TopicPartition]) -> None:
        committed = await self._membership.committed(places)
        fresh = [place for place in places if place not in committed]
        async with asyncio.timeout(_ANSWER_S):
            first = await self._consumer.beginning_offsets(fresh) if fresh else {}
        known = {place.partition: position for place, position in committed.items()}
        nexts = self._lane.open(known, {place.partition: offset for place, offset in first.items()}, self._topic_id)
        for place in places:
            self._seek(place)
        self._committed = {}
        self._generation += 1
        self._open.set()
        self._lane.attempts.go()
        self._lane.moved.set()
        self.worked = True
        self._log.info("lane_assigned", partitions=sorted(nexts), next=nexts, topic=self._lane.topic)

    def _fail(self, error: BaseException) -> None:
        if not self._failure.done():
            leaked = isinstance(error, asyncio.CancelledError)
            self._failure.set_exception(
                OperationError("rebalance_cut", "expected a rebalance to end but it was cancelled") if leaked else error
            )

    async def _watch_group(self) -> None:
        """Between two assignments nothing is read and nothing is committed, and so nobody would see that the group does
        not come about."""
        while True:
            self._membership.check()
            await asyncio.sleep(_LOOK_S)

    # -- commits

    async def _commits(self) -> None:
        while True:
            await self._lane.moved.wait()
            await self._open.wait()
            try:
                await self._commit()
            except KafkaError as error:
                self._log.warning("commit_failed", error=repr(error), again_in_s=_COMMIT_AGAIN_S)
                self._lane.moved.set()
                await asyncio.sleep(_COMMIT_AGAIN_S)
            await asyncio.sleep(self._lane.config.commit_s)

    async def _commit(self) -> None:
        async with self._committing:
            self._lane.moved.clear()
            changed: dict[TopicPartition, tuple[int, str]] = {}
            forgotten = 0
            for partition, finished in self._lane.logs.items():
                if finished.changed or partition not in self._committed:
                    position = finished.position()
                    metadata, left_out = encode_position(position)
                    forgotten += left_out
                    if self._committed.get(partition) != (position.offset, metadata):
                        changed[TopicPartition(self._lane.topic, partition)] = (position.offset, metadata)
            if forgotten and not self._forgotten_told:
                self._log.warning(
                    "finished_not_remembered",
                    tasks=forgotten,
                    consequence="they are done again, should this worker die now",
                )
            self._forgotten_told = bool(forgotten)
            if not changed:
                return
            try:
                await self._membership.commit(changed)
            except BaseException:
                for place in changed:
                    self._committed.pop(place.partition, None)  # nobody knows
                raise
            self._committed.update({place.partition: position for place, position in changed.items()})

    # -- the end

    async def _drain(self) -> None:
        self._log.info("lane_draining", running=self._lane.attempts.running, waiting_s=self._drain_s)
        self._lane.attempts.hold()
        await self._settle()

    async def _settle(self) -> None:
        """Wait until what runs has ended and its answers are acknowledged, for a while; then commit. Errors of the
        broker are left to others."""
        attempts = self._lane.attempts
        await _within(self._drain_s, attempts.wait_idle())
        await _within(CLOSE_S / 3, attempts.wait_answered())
        if attempts.running:
            self._log.warning("attempts_not_drained", running=attempts.running, waited_s=self._drain_s)
        try:
            async with asyncio.timeout(CLOSE_S / 3):
                await self._commit()
        except (KafkaError, TimeoutError) as error:
            self._log.warning("commit_failed", error=repr(error), consequence="what is not committed is done again")

    async def _close(self, orderly: bool) -> None:
        jobs: list[tuple[str, Callable[[], Coroutine[Any, Any, None]]]] = (
            [("membership", self._membership.close)] if orderly else []
        )
        for name, job in jobs:
            try:
                async with asyncio.timeout(CLOSE_S / 3):
                    await job()
            except (KafkaError, OSError, TimeoutError, asyncio.CancelledError) as error:
                if is_asked_for(error):
                    raise
                self._log.warning(
                    "close_failed", what=name, error=repr(error), consequence="the broker finds out by itself"
                )
        await stop_consumer(self._consumer)
        await stop_producer(self._producer)


async def _within(seconds: float, work: Coroutine[Any, Any, None]) -> None:
    try:
        async with asyncio.timeout(seconds):
            await work
    except TimeoutError:
        return
