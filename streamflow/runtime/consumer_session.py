"""What every worker does that reads with a consumer group: one consumer and one producer from their start to their
first error, and then again, with a back-off, for ever.

aiokafka's producer never recovers from some errors and its consumer not from some others, so neither is repaired: a
session ends with its first error, and the next one begins at what the group has committed.
"""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from typing import Any, Protocol

import structlog
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.abc import ConsumerRebalanceListener
from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from aiokafka.errors import KafkaError
from aiokafka.structs import TopicPartition

from streamflow.core.metrics import Metrics
from streamflow.errors import OperationError
from streamflow.kafka.cancellation import is_own_cancellation
from streamflow.kafka.connection import stop_consumer, stop_producer
from streamflow.runtime.membership import Membership

log = structlog.get_logger(__name__)

CLOSE_S = 10.0  # that closing may take, whatever the broker does
FETCH_WAIT_MS = 100  # that the broker may hold a fetch that finds nothing

_BACKOFF_S = (0.2, 5.0)
_LOOK_S = 1.0
_BROKEN = (KafkaError, OperationError, OSError, TimeoutError, asyncio.CancelledError)


class ConsumerSession(ConsumerRebalanceListener):
    """`run` it once. `worked` says that it got so far that the next one need not wait longer than the last.

    `consumer_options` and `producer_options` are what a kind of session sets itself; the rest is the same for all:
    offsets are committed by us, with metadata; waiting is no reason to leave the group; and an idempotent producer."""

    def __init__(
        self,
        config: Mapping[str, Any],
        group: str,
        instance_id: str | None,
        session_timeout_s: float,
        log: Any,
        *,
        metrics: Metrics,
        consumer_options: Mapping[str, Any],
        producer_options: Mapping[str, Any],
    ) -> None:
        self.worked = False
        self.metrics = metrics
        timeout_ms = int(session_timeout_s * 1000)
        self.consumer = AIOKafkaConsumer(
            **{
                **config,
                "group_id": group,
                "group_instance_id": instance_id,
                "session_timeout_ms": timeout_ms,
                "heartbeat_interval_ms": min(1000, timeout_ms // 4),
                "max_poll_interval_ms": 2**31 - 1,
                "enable_auto_commit": False,
                "auto_offset_reset": "none",
                "fetch_max_wait_ms": FETCH_WAIT_MS,
                "metadata_max_age_ms": 5000,  # how soon the group's leader sees that a topic has more partitions
                "max_partition_fetch_bytes": 1 << 20,
                "partition_assignment_strategy": (RoundRobinPartitionAssignor,),
                **consumer_options,
            }
        )
        self.producer = AIOKafkaProducer(
            **{
                **config,
                "enable_idempotence": True,
                "acks": "all",
                "linger_ms": 0,
                "metadata_max_age_ms": 5000,
                "retry_backoff_ms": 50,
                **producer_options,
            }
        )
        self.membership: Membership
        self._group = group
        self._instance_id = instance_id
        self.failure: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.log = log

    # -- what a kind of session is

    @abstractmethod
    async def begin(self) -> None:
        """The clients are connected: subscribe."""

    @abstractmethod
    def jobs(self) -> Sequence[Coroutine[Any, Any, None]]:
        """What goes on until the session ends, each for ever."""

    @abstractmethod
    async def give_up(self) -> None:
        """The group takes all partitions away: finish and commit what is on its way."""

    @abstractmethod
    async def take_up(self, assigned: Sequence[TopicPartition]) -> None:
        """The group has given out partitions: open them from what it knows of them."""

    @abstractmethod
    async def finish(self) -> None:
        """The worker is stopped in order: finish and commit what is on its way."""

    def interrupted(self) -> None:
        """The session ends, in order or not; its jobs are cancelled after this."""

    # -- the life of a session

    async def run(self, stop: asyncio.Event) -> None:
        """Works until `stop` is set. Raises what ended it before."""
        jobs: list[asyncio.Task[Any]] = []
        orderly = False
        try:
            await self.producer.start()
            await self.consumer.start()
            self.membership = Membership(self.consumer, self._group, self._instance_id)
            await self.begin()
            work = (*self.jobs(), self._watch_group())
            jobs = [asyncio.create_task(job) for job in (*work, _wait(stop))]
            await asyncio.wait({*jobs, self.failure}, return_when=asyncio.FIRST_COMPLETED)
            for job in (self.failure, *jobs[: len(work)]):
                if job.done():
                    job.result()
            await self.finish()
            orderly = True
        finally:
            self.interrupted()
            for job in jobs:
                job.cancel()
            await asyncio.gather(*jobs, return_exceptions=True)
            if self.failure.done() and not self.failure.cancelled():
                self.failure.exception()
            await self._close(orderly)

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        await self._captured(self.give_up())

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        self.metrics.count("rebalances")
        await self._captured(self.take_up(list(assigned)))

    def fail(self, error: BaseException) -> None:
        """End the session by `error`."""
        if not self.failure.done():
            leaked = isinstance(error, asyncio.CancelledError)
            self.failure.set_exception(
                OperationError("rebalance_cut", "A rebalance was cancelled. The session begins again.")
                if leaked
                else error
            )

    async def _captured(self, work: Awaitable[None]) -> None:
        try:
            await work
        except (Exception, asyncio.CancelledError) as error:
            self.fail(error)  # aiokafka only logs it
            raise

    async def _watch_group(self) -> None:
        """Between two assignments nothing is read and nothing is committed, so nothing else would notice that the group
        does not form."""
        while True:
            self.membership.check()
            await asyncio.sleep(_LOOK_S)

    async def _close(self, orderly: bool) -> None:
        """What a broken broker does not answer in time is left to the next session."""
        if orderly:
            try:
                async with asyncio.timeout(CLOSE_S / 3):
                    await self.membership.close()
            except (KafkaError, OSError, TimeoutError, asyncio.CancelledError) as error:
                if is_own_cancellation(error):
                    raise
                self.log.warning("close_failed", what="membership", error=repr(error))
        await stop_consumer(self.consumer)
        await stop_producer(self.producer)


class _Runs(Protocol):
    worked: bool

    async def run(self, stop: asyncio.Event) -> None: ...


async def serve_sessions(
    make: Callable[[], _Runs], stop: asyncio.Event, interrupted: Callable[[BaseException, float], None]
) -> None:
    """Runs one session after the other until `stop` is set. `interrupted` is told what ended one, and in how many
    seconds the next one begins."""
    low, high = _BACKOFF_S
    backoff = low
    while not stop.is_set():
        session = make()
        try:
            await session.run(stop)
        except _BROKEN as error:
            if is_own_cancellation(error):
                raise
            backoff = low if session.worked else min(high, backoff * 2)
            interrupted(error, backoff)
            await within(backoff, stop.wait())


async def within(seconds: float, work: Coroutine[Any, Any, Any]) -> bool:
    """Whether `work` ended within `seconds`; it is cancelled if not."""
    try:
        async with asyncio.timeout(seconds):
            await work
    except TimeoutError:
        return False
    return True


async def _wait(stop: asyncio.Event) -> None:
    await stop.wait()
