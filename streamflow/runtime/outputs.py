"""Sends what the core of one partition has queued for Streamflow's own topics, through one idempotent producer of the
process.

Records of one topic partition leave in the order they were given (law identical-replay needs no more). `flush` returns
when everything that was sent is acknowledged.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from streamflow.core.outputs import AUDIT, COMMANDS, DEAD_LETTERS, RUNS, TASKS, UNCLAIMED, Output
from streamflow.core.partition import PartitionCore
from streamflow.errors import OperationError
from streamflow.kafka.topics import lane_topic_name, topic_name
from streamflow.settings import Settings

BATCH_BYTES = 512 * 1024
UNSENT = "outputs_unsent"
STUCK_S = 60.0  # for acknowledgements; aiokafka's idempotent producer would try for ever


class Target(NamedTuple):
    """Where records of one interval between two captures go."""

    topic: str
    partition: int
    interval: int


class Sent(NamedTuple):
    """A batch on its way."""

    future: Any
    interval: int
    records: int
    at_s: float  # when the producer took it


def names_of(settings: Settings) -> dict[str, str]:
    """The full names of the topics that the engine writes, by role."""
    roles = {role: topic_name(settings, role) for role in (COMMANDS, RUNS, DEAD_LETTERS, UNCLAIMED, AUDIT)}
    return roles | {TASKS + lane: lane_topic_name(settings, lane) for lane in settings.tasks.lanes}


class Outputs:
    """The outgoing records of one engine partition. `names` are the full names of topics by role."""

    def __init__(
        self, producer: AIOKafkaProducer, names: Mapping[str, str], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._producer = producer
        self._names = names
        self._clock = clock
        self._queued: dict[Target, list[Output]] = {}
        self._unacked: deque[Sent] = deque()
        self._core: PartitionCore | None = None

    def bind(self, core: PartitionCore) -> None:
        """Send what `core` queues from now on."""
        self._core = core

    async def send(self) -> None:
        """Hand everything queued to the producer, in order. Acknowledgements come later. Cancelled, it leaves in the
        queue what the producer did not take: a checkpoint that follows must not save a decision whose outputs were
        dropped."""
        while self._gather():
            target, records = next(iter(self._queued.items()))
            while records:
                taken = await self._submit(target, records)
                del records[:taken]
            del self._queued[target]

    def _gather(self) -> bool:
        """Whether there is anything to send, also what the core has queued in the meantime."""
        queued = self._core.outputs if self._core is not None else ()
        last: tuple[str, int, int] | None = None  # most go where the one before went
        records: list[Output] = []
        while queued:
            interval, output = queued.popleft()
            target = (output.topic, output.partition, interval)
            if target != last:
                last, records = target, self._queued.setdefault(Target(*target), [])
            records.append(output)
        return bool(self._queued)

    async def _submit(self, target: Target, records: list[Output]) -> int:
        """Send the first of `records`, as many as a batch takes; how many those are."""
        batch = self._producer.create_batch()
        for output in records:
            if batch.append(key=output.key, value=output.value, timestamp=None, headers=list(output.headers)) is None:
                break
        count: int = batch.record_count()
        if not count:
            raise OperationError(
                "record_refused",
                f"A record for {target.topic} does not fit a batch. Lower the limits of the sizes of records.",
            )
        batch.close()
        future = await self._producer.send_batch(batch, self._names[target.topic], partition=target.partition)
        self._unacked.append(Sent(future, target.interval, count, self._clock()))
        return count

    @property
    def unacked(self) -> int:
        """How many batches wait for their acknowledgement; failed ones stay until `flush` raises them."""
        self._settle()
        return len(self._unacked)

    def _settle(self) -> None:
        """Tell the core what has arrived."""
        while self._unacked and _arrived(self._unacked[0].future):
            sent = self._unacked.popleft()
            if self._core is not None:
                self._core.acknowledged(sent.interval, sent.records)

    def oldest_s(self) -> float:
        """For how many seconds the oldest batch has waited."""
        self._settle()
        return self._clock() - self._unacked[0].at_s if self._unacked else 0.0

    async def flush(self) -> None:
        """Return when everything sent so far is acknowledged. Raises OperationError (`outputs_unsent`): the producer
        must be replaced, for aiokafka's is refused ever after by a partition that has refused it once."""
        try:
            async with asyncio.timeout(STUCK_S):
                for sent in list(self._unacked):
                    await sent.future
        except (KafkaError, TimeoutError) as error:
            raise OperationError(
                UNSENT, f"The broker did not take all outputs ({error!r}). They are made and sent again."
            ) from error
        self._settle()

    def close(self) -> None:
        """Forget what is on its way: the next owner of the partition sends it again."""
        for sent in self._unacked:
            sent.future.add_done_callback(lambda done: done.cancelled() or done.exception())
        self._unacked.clear()


def _arrived(future: Any) -> bool:
    return future.done() and not future.cancelled() and future.exception() is None
