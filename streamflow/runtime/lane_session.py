"""One consumer and one producer of a lane, from their start to their first error: read, send, commit.

**At least once, and as seldom twice as can be.** An offset is committed when the broker has the answer of its task, or
knows that there will be none; with the offset goes what is finished above it. Commits are made as soon as something is
finished, one at a time, and `commit_s` apart.

**A rebalance waits for attempts**, up to `drain_s`, so that no other worker makes them again; those that are still not
done continue if their partition comes back to us, and are cancelled if it does not.

**Nothing is read that nobody has a place for.** Partitions are paused while the lane is full, and what was fetched by
then stays with the consumer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable, Sequence
from typing import Any

import structlog
from aiokafka.errors import KafkaError, NoOffsetForPartitionError, OffsetOutOfRangeError
from aiokafka.structs import TopicPartition

from streamflow.core.gap_check import GapCheck, Verdict
from streamflow.errors import OperationError
from streamflow.kafka.admin import Admin
from streamflow.kafka.connection import FetchWait, aiokafka_config, max_batch_bytes
from streamflow.kafka.topics import COMMANDS, topic_name
from streamflow.kafka.worker_registry import client_role, group_of, instance_name
from streamflow.runtime.consumer_session import CLOSE_S, FETCH_WAIT_MS, ConsumerSession, within
from streamflow.runtime.lane import Lane
from streamflow.wire.lane_position import encode_position

log = structlog.get_logger(__name__)

_READ_MS = 5_000  # a read that finds nothing while there was something lately; errors and rebalances end it sooner
_IDLE_MS = 60_000  # and when there was not
_COMMIT_AGAIN_S = 0.5
_ANSWER_S = 10.0


class LaneSession(ConsumerSession):
    """`run` it once. `worked` says that it got as far as having partitions."""

    def __init__(self, lane: Lane) -> None:
        settings, self._drain_s = lane.settings, lane.settings.tasks.drain_s
        drain_ms = int(self._drain_s * 1000)
        super().__init__(
            aiokafka_config(settings, client_role(lane.name, instance_name(settings))),
            group_of(settings, lane.name),
            settings.tasks.instance_id,
            lane.config.session_timeout_s,
            log.bind(lane=lane.name),
            metrics=lane.metrics,
            consumer_options={
                # others wait while our attempts end
                "rebalance_timeout_ms": max(int(lane.config.session_timeout_s * 1000), drain_ms + 10_000),
                # and so do our requests to join, for theirs
                "request_timeout_ms": max(40_000, drain_ms + 20_000),
            },
            producer_options={
                "max_batch_size": max(1 << 19, settings.limits.record_bytes + 50_000),
                "max_request_size": 2 * max_batch_bytes(settings),
            },
        )
        self._lane = lane
        self._fetch_wait: FetchWait
        self._topic_id = ""
        self._generation = 0
        self._contiguity = GapCheck()
        self._open = asyncio.Event()  # between an assignment and the next revocation
        self._draining = False
        self._committing = asyncio.Lock()
        self._committed: dict[int, tuple[int, str]] = {}
        self._left_out_logged = False

    async def begin(self) -> None:
        lane, settings = self._lane, self._lane.settings
        topic_id, passed_ms = await asyncio.to_thread(self._look)
        if topic_id is None:
            raise OperationError(
                "topics_missing", f"The topic {lane.topic} does not exist. Run `streamflow topics apply`."
            )
        self._topic_id = topic_id
        lane.clock.passed(passed_ms)
        await self.producer.partitions_for(topic_name(settings, COMMANDS))  # metadata now, not at the first answer
        # a task waits no longer than that behind a fetch for other partitions
        self._fetch_wait = FetchWait(self.consumer, busy_ms=FETCH_WAIT_MS)
        self.consumer.subscribe(topics=[lane.topic], listener=self)

    def _look(self) -> tuple[str | None, int]:
        """The id of the lane's topic, and a time that the broker has passed. Where the engine has given up an attempt,
        a later command says so: the tasks that piled up while no worker was here are judged by it, until an answer is
        acknowledged."""
        admin, lane, commands = Admin(self._lane.settings), self._lane.topic, topic_name(self._lane.settings, COMMANDS)
        found = admin.describe([lane, commands], with_config=False)
        newest = max((admin.newest_ms(topic) for topic in found.values()), default=0)
        return found[lane].id if lane in found else None, newest

    def jobs(self) -> Sequence[Coroutine[Any, Any, None]]:
        return (self._read(), self._lane.answers.serve(self.producer), self._commits())

    async def finish(self) -> None:
        """Attempts get their time to end; nothing more is read meanwhile."""
        self._draining = True
        self.log.info("lane_draining", running=self._lane.attempts.running, waiting_s=self._drain_s)
        self._lane.attempts.hold()
        await self._settle()

    def interrupted(self) -> None:
        self._lane.attempts.hold()

    # -- reading

    async def _read(self) -> None:
        lane, consumer = self._lane, self.consumer
        while not self._draining:
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
            if self._open.is_set() and not self._draining:  # or else the next assignment says where to continue
                for place, records in batches.items():
                    self._hand_over(place, records, current=generation == self._generation)

    def _hand_over(self, place: TopicPartition, records: Sequence[Any], *, current: bool) -> None:
        finished = self._lane.logs.get(place.partition)
        if finished is None:
            return
        first, expected = records[0].offset, finished.next
        verdict = self._contiguity.judge(place.partition, expected, first, current=current)
        if verdict is Verdict.SEEK:
            self.log.info(
                "lane_read_again",
                partition=place.partition,
                expected=expected,
                found=first,
                reason="a rebalance came between",
            )
            self._seek(place)
            return
        if verdict is Verdict.HOLE:
            self.log.warning("offsets_without_records", partition=place.partition, expected=expected, found=first)
        self._lane.take(place.partition, records)

    def _seek(self, place: TopicPartition) -> None:
        """Go on with what comes next in the lane's own account."""
        offset = self._lane.logs[place.partition].next
        self._contiguity.sought(place.partition, offset)
        self.consumer.seek(place, offset)

    async def _wait_room(self) -> None:
        paused = self.consumer.assignment()
        self.consumer.pause(*paused)
        try:
            await self._lane.attempts.wait_room()
        finally:
            self.consumer.resume(*(paused & self.consumer.assignment()))

    async def _out_of_range(self, places: Iterable[TopicPartition]) -> None:
        """Reading continues at the nearest record that there is."""
        for place in places:
            tracker = self._lane.logs.get(place.partition)
            if tracker is None:
                continue
            async with asyncio.timeout(_ANSWER_S):
                begin, end = (
                    (await self.consumer.beginning_offsets([place]))[place],
                    (await self.consumer.end_offsets([place]))[place],
                )
            if tracker.next > end:
                raise OperationError(
                    "lane_cut",
                    f"{place.topic} was read up to {tracker.next} and ends at {end}. It is opened again.",
                )
            self.log.error(
                "tasks_deleted",
                partition=place.partition,
                offset=tracker.next,
                goes_on_at=begin,
                reason="the broker deleted them unread",
            )
            self._lane.skip(place.partition, begin)
            self._seek(place)

    # -- the group

    async def give_up(self) -> None:
        """Attempts get their time to end, and what is finished is committed."""
        self._open.clear()
        self._lane.attempts.hold()
        if self._lane.logs:
            await self._settle()

    async def take_up(self, assigned: Sequence[TopicPartition]) -> None:
        committed = await self.membership.committed(assigned)
        fresh = [place for place in assigned if place not in committed]
        async with asyncio.timeout(_ANSWER_S):
            first = await self.consumer.beginning_offsets(fresh) if fresh else {}
        known = {place.partition: position for place, position in committed.items()}
        nexts = self._lane.open(known, {place.partition: offset for place, offset in first.items()}, self._topic_id)
        for place in assigned:
            self._seek(place)
        self._committed = {}
        self._generation += 1
        self._open.set()
        self._lane.attempts.go()
        self._lane.moved.set()
        self.worked = True
        self.log.info("lane_assigned", partitions=sorted(nexts), next=nexts, topic=self._lane.topic)

    # -- commits

    async def _commits(self) -> None:
        while True:
            await self._lane.moved.wait()
            await self._open.wait()
            try:
                await self._commit()
            except KafkaError as error:
                self.log.warning("commit_failed", error=repr(error), again_in_s=_COMMIT_AGAIN_S)
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
            if forgotten and not self._left_out_logged:
                self.log.warning(
                    "finished_not_remembered",
                    tasks=forgotten,
                    consequence="they are done again, should this worker die now",
                )
            self._left_out_logged = bool(forgotten)
            if not changed:
                return
            try:
                await self.membership.commit(changed)
            except BaseException:
                for place in changed:
                    self._committed.pop(place.partition, None)  # nobody knows
                raise
            self._committed.update({place.partition: position for place, position in changed.items()})

    # -- the end

    async def _settle(self) -> None:
        """Wait until what runs has ended and its answers are acknowledged, for a while; then commit. Errors of the
        broker are left to others."""
        attempts = self._lane.attempts
        await within(self._drain_s, attempts.wait_idle())
        await within(CLOSE_S / 3, attempts.wait_answered())
        if attempts.running:
            self.log.warning("attempts_not_drained", running=attempts.running, waited_s=self._drain_s)
        try:
            async with asyncio.timeout(CLOSE_S / 3):
                await self._commit()
        except (KafkaError, TimeoutError) as error:
            self.log.warning("commit_failed", error=repr(error), consequence="uncommitted tasks are repeated")
