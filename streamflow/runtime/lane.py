"""One lane in this worker: what outlives a connection to the broker. Its tasks, their attempts, and what of it is
finished.

A session (`lane_session`) reads, sends and commits. When it ends by an error, the next one goes on with what is here:
attempts run on meanwhile, answers wait, and a partition that nobody else has committed since is taken up where it was
left.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import structlog

from streamflow.core.metrics import Metrics, NoMetrics
from streamflow.core.offset_tracker import OffsetTracker, Outcome, Seen
from streamflow.core.tracing import Span, Tracer, attempt_span
from streamflow.engine.tasks import CancelTask
from streamflow.kafka.topics import COMMANDS, DEAD_LETTERS, lane_topic_name, topic_name
from streamflow.kafka.worker_registry import group_of
from streamflow.runtime.answers import Answers, BrokerClock
from streamflow.runtime.attempts import Attempts, Held
from streamflow.runtime.task_executor import TaskExecutor, failure
from streamflow.settings import Settings
from streamflow.wire.codec import DecodeError, encode_command
from streamflow.wire.dead_letter import dead_letter
from streamflow.wire.decoding import Record
from streamflow.wire.lane_position import LanePosition, decode_position
from streamflow.wire.tasks import decode_task, named_attempt, source_of

log = structlog.get_logger(__name__)

AHEAD = 16  # tasks that wait for a place at least, so that requests to cancel are seen
_TELL_S = 10.0


class Lane:
    """Lane `name`. `run` it once."""

    def __init__(
        self,
        settings: Settings,
        name: str,
        executor: TaskExecutor,
        metrics: Metrics | None = None,
        tracer: Tracer | None = None,
    ) -> None:
        self._tracer = tracer
        self.name = name
        self.topic = lane_topic_name(settings, name)
        self.settings = settings
        self.config = settings.tasks.lanes[name]
        self.moved = asyncio.Event()  # something is finished that is not committed
        self.logs: dict[int, OffsetTracker] = {}  # by partition
        clock = BrokerClock()
        self.clock = clock
        self.answers = Answers(topic_name(settings, COMMANDS), topic_name(settings, DEAD_LETTERS), clock)
        ahead = max(AHEAD, self.config.in_flight // 4)
        self.metrics = metrics or NoMetrics()
        self.attempts = Attempts(
            name,
            self.config.in_flight,
            executor.perform,
            self._answer,
            self.moved.set,
            clock.now_ms,
            ahead,
            self.metrics,
            self.topic,
        )
        self._end_samples = self.metrics.sample(self._sample)
        self._by = uuid.uuid4().hex[:12]
        self._log = log.bind(lane=name)
        self._telling: asyncio.TimerHandle | None = None

    async def close(self) -> None:
        """Cancel what still runs; its tasks are left to the partitions' next owners."""
        self._end_samples()
        await self.attempts.abandon()
        if self._telling is not None:
            self._telling.cancel()
        self.tell()

    # -- what sessions tell

    def open(self, committed: Mapping[int, tuple[int, str]], first: Mapping[int, int], topic_id: str) -> dict[int, int]:
        """The group has given us these partitions: `committed` are their offsets and metadata, `first` where the others
        begin. Returns where each is to be read from. All that we had and were not given is dropped."""
        for partition in self.logs.keys() - committed.keys() - first.keys():
            self._drop(partition)
        for partition, offset in first.items():
            known = self.logs.get(partition)
            if known is None or known.topic_id != topic_id:  # ours, and no one has committed it yet
                self._begin(partition, LanePosition(offset, topic_id, self._by))
        for partition, (offset, metadata) in committed.items():
            self._reopen(partition, LanePosition(offset, "", ""), metadata, topic_id)
        return {partition: finished.next for partition, finished in self.logs.items()}

    def _reopen(self, partition: int, bare: LanePosition, metadata: str, topic_id: str) -> None:
        position = decode_position(bare.offset, metadata)
        known = self.logs.get(partition)
        if position is None:
            self._log.warning(
                "position_bare",
                partition=partition,
                offset=bare.offset,
                consequence="everything from there on is done, also what was done",
            )
            self._begin(partition, LanePosition(bare.offset, topic_id, self._by))
        elif position.topic_id != topic_id:
            self._log.warning("lane_topic_made_again", partition=partition, topic=self.topic, begins_at=0)
            self._begin(partition, LanePosition(0, topic_id, self._by))
        elif position.by != self._by or known is None:
            self._begin(
                partition,
                LanePosition(position.offset, topic_id, self._by, position.source, position.finished, position.counts),
            )

    def _begin(self, partition: int, position: LanePosition) -> None:
        self._drop(partition)
        self.logs[partition] = OffsetTracker(position)

    def _drop(self, partition: int) -> None:
        if (gone := self.logs.pop(partition, None)) is not None:
            self.attempts.drop(gone)

    def skip(self, partition: int, offset: int) -> None:
        """Records before `offset` were deleted unread: the engine holds their attempts to be lost, in time."""
        self.logs[partition].next = max(self.logs[partition].next, offset)
        self.moved.set()

    def take(self, partition: int, records: Sequence[Any]) -> None:
        """Records of a partition that is open, in order."""
        finished = self.logs[partition]
        for record in records:
            self.clock.passed(record.timestamp)
            if finished.read(record.offset, source_of(record.headers)) is not Seen.NEW:
                self.moved.set()
                continue
            try:
                task = decode_task(record.value or b"")
            except DecodeError as error:
                self._bury(record, error, finished)
                continue
            if isinstance(task, CancelTask):
                self.attempts.cancel(task, finished, record.offset)
            else:
                self.attempts.take(task, finished, partition, record.offset, record.timestamp, len(record.value or b""))
        if self._telling is None:
            self._telling = asyncio.get_running_loop().call_later(_TELL_S, self.tell)

    def tell(self) -> None:
        """Log how the tasks of our partitions have ended, of all time."""
        self._telling = None
        counts = {
            outcome.value: sum(finished.counts[outcome] for finished in self.logs.values()) for outcome in Outcome
        }
        if read := sum(counts.values()):
            self._log.info(
                "lane_counts",
                read=read,
                held=self.attempts.held,
                running=self.attempts.running,
                partitions=len(self.logs),
                **counts,
            )

    # -- inside

    def _sample(self) -> None:
        self.metrics.gauge("attempts_running", self.attempts.running, lane=self.name)
        self.metrics.gauge("attempts_held", self.attempts.held, lane=self.name)

    def _answer(self, held: Held, value: bytes) -> None:
        if self._tracer is not None and held.task.trace is not None and held.task.trace.recorded:
            self._tracer.take((self._span(held),))
        self.answers.add(held.partition, held.task.key, value, partial(self.attempts.finish, held))

    def _span(self, held: Held) -> Span:
        ended_ns, now_s = time.time_ns(), asyncio.get_running_loop().time()
        return attempt_span(
            held.task,
            topic=self.topic,
            partition=held.partition,
            offset=held.offset,
            group=group_of(self.settings, self.name),
            outcome=held.outcome.value if held.outcome is not None else "",
            error=held.error,
            began_ns=ended_ns - int((now_s - (now_s if held.began_s is None else held.began_s)) * 1e9),
            ended_ns=ended_ns,
        )

    def _bury(self, raw: Any, error: DecodeError, finished: OffsetTracker) -> None:
        """A dead letter, and after it the failure of the attempt where the record names one: the engine need not wait
        until it counts as lost."""
        named = named_attempt(raw.value or b"")
        self.metrics.count("tasks_unreadable", lane=self.name)

        def answered() -> None:
            finished.finish(raw.offset, Outcome.UNREADABLE)
            self.moved.set()

        def buried() -> None:
            if named is None:
                answered()
                return
            message = f"A task worker could not read the task: {error.message} It is a dead letter of the lane."
            self.answers.add(raw.partition, named.key, encode_command(failure(named, error.code, message)), answered)

        record = Record(raw.topic, raw.partition, raw.offset, raw.timestamp, raw.key, raw.value, tuple(raw.headers))
        limit = self.settings.limits.record_bytes
        self.answers.add_dead(
            dead_letter(record, error.code, error.message, "tasks", topic_id=finished.topic_id, limit_bytes=limit),
            buried,
        )
        self._log.warning(
            "task_unreadable",
            partition=raw.partition,
            offset=raw.offset,
            error=error.message,
            consequence="it is a dead letter"
            + (", and its attempt is lost in time" if named is None else ", and its attempt has failed"),
        )
