"""Sends the outbox of one partition to the users' topics.

Of each partition of a topic one batch is on its way at a time, so its order is kept when a batch has to be sent again;
partitions and topics wait for no other. What a topic refuses for good becomes a dead letter, and so does what is for a
topic that does not exist.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import (
    InvalidTopicError,
    KafkaError,
    MessageSizeTooLargeError,
    RecordListTooLargeError,
    TopicAuthorizationFailedError,
)

from streamflow.core.outbox import Batch, Entry
from streamflow.core.partition import PartitionCore
from streamflow.kafka.cancellation import cancel, is_own_cancellation
from streamflow.runtime.batch_sender import Destination, send_batch

log = structlog.get_logger()
MISSING_TOPIC_WAIT_S = 5.0  # for the metadata of a topic that an `emit` names
MISSING_TOPIC_KNOWN_S = 30.0  # how long a missing topic is not asked for again
AGAIN_S = 1.0  # between attempts
# by a user's topic, for good
REFUSED = (InvalidTopicError, MessageSizeTooLargeError, RecordListTooLargeError, TopicAuthorizationFailedError)


class UserTopics:
    """The users' topics as the producer of events sees them; one for all partitions of the process."""

    def __init__(self, producer: AIOKafkaProducer) -> None:
        self.producer = producer
        self._missing: dict[str, float] = {}
        self._looks: dict[str, asyncio.Task[int | None]] = {}

    async def partitions(self, topic: str) -> int | None:
        """How many partitions `topic` has; None if it is not known to exist."""
        if self._missing.get(topic, 0.0) > asyncio.get_running_loop().time():
            return None
        if topic not in self._looks:
            self._looks[topic] = look = asyncio.create_task(self._look(topic), name=f"look-{topic}")
            look.add_done_callback(lambda done: self._looks.pop(topic, None))
        return await asyncio.shield(self._looks[topic])

    async def _look(self, topic: str) -> int | None:
        try:
            async with asyncio.timeout(MISSING_TOPIC_WAIT_S):
                found = await self.producer.partitions_for(topic)
        except (TimeoutError, KafkaError) as error:
            self._missing[topic] = asyncio.get_running_loop().time() + MISSING_TOPIC_KNOWN_S
            log.warning(
                "topic_missing",
                topic=topic,
                error=repr(error),
                consequence="events for it become dead letters until it exists",
            )
            return None
        self._missing.pop(topic, None)
        return len(found)

    async def close(self) -> None:
        """Stop looking."""
        await cancel(self._looks.values())


class Publisher:
    """Publishes the outbox of `core`. `changed` is called when events were acknowledged, `bury` after some became dead
    letters, to have them sent."""

    def __init__(
        self,
        topics: UserTopics,
        core: PartitionCore,
        *,
        changed: Callable[[], None],
        bury: Callable[[], Awaitable[None]],
    ) -> None:
        self._topics = topics
        self._core = core
        self._changed = changed
        self._bury = bury
        self._partitions: dict[str, int] = {}
        self._busy: dict[str, set[int]] = {}
        self._looking: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False

    def publish(self) -> None:
        """Begin to send what waits and can be sent now. Never blocks."""
        if self._closed:
            return
        outbox = self._core.emitted.outbox
        for topic in outbox.depths():
            partitions = self._partitions.get(topic)
            if partitions is None:
                if topic not in self._looking:
                    self._looking.add(topic)
                    self._begin(self._look(topic))
                continue
            busy = self._busy.setdefault(topic, set())
            while (batch := outbox.next(topic, partitions, busy)) is not None:
                busy.add(batch.partition)
                self._begin(self._send(topic, batch))

    def _begin(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("publisher_failed", partition=self._core.place.number, error=repr(error), exc_info=error)

    async def _look(self, topic: str) -> None:
        """Find out where the events of `topic` go."""
        try:
            found = await self._topics.partitions(topic)
            if found is None:
                message = f"The topic {topic} does not exist. Create it, and replay this record."
                await self._refused(self._core.emitted.outbox.waiting(topic), message)
            else:
                self._partitions[topic] = found
        finally:
            self._looking.discard(topic)
        self.publish()

    async def _send(self, topic: str, batch: Batch) -> None:
        """Send `batch`; after a failure wait a moment and ask for the topic again."""
        left: Sequence[Entry] = batch.entries
        try:
            left, _ = await self._submitted(topic, batch.partition, left)
            for entry in left:  # the broker refuses a whole batch for one record: find it
                _, error = await self._submitted(topic, batch.partition, [entry])
                if error is not None:
                    await self._refused([entry], _refusal(topic, error))
            left = ()
        except (Exception, asyncio.CancelledError) as error:
            if is_own_cancellation(error):
                raise
            log.warning(
                "events_unsent",
                topic=topic,
                partition=batch.partition,
                error=repr(error),
                again_in_s=AGAIN_S,
                consequence="they stay in the outbox; other topics and checkpoints go on",
            )
            self._partitions.pop(topic, None)
            self._core.emitted.failed([entry for entry in left if entry.sending])
            await self._bury()
            await asyncio.sleep(AGAIN_S)
        finally:
            self._core.emitted.outbox.put_back(left)
            self._busy.setdefault(topic, set()).discard(batch.partition)
            self.publish()

    async def _submitted(
        self, topic: str, partition: int, entries: Iterable[Entry]
    ) -> tuple[Sequence[Entry], KafkaError | None]:
        """Send `entries` in one batch; those that are not acknowledged, because the topic refuses them for good, and
        its error. What does not fit the batch waits again."""
        queued = deque(entries)
        batch = await send_batch(self._topics.producer, Destination(topic, partition), queued, Entry.record)
        self._core.emitted.outbox.put_back(queued)
        try:
            await batch.acked
        except REFUSED as error:
            refused: KafkaError = error
            return batch.records, refused
        self._core.emitted.published(batch.records)
        self._changed()
        return (), None

    async def _refused(self, entries: Sequence[Entry], message: str) -> None:
        self._core.emitted.refused(entries, message)
        await self._bury()

    async def close(self) -> None:
        """Stop. What is still in the outbox is sent by the next owner."""
        self._closed = True
        await cancel(self._tasks)


def _refusal(topic: str, error: BaseException) -> str:
    return (
        f"The topic {topic} refused this record ({type(error).__name__}). Correct the topic or the rights, and replay "
        "this record."
    )
