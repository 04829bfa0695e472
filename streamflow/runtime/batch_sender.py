"""Records to Kafka in whole batches, which cost 3 us a record where `producer.send` takes 30.

Everything that Streamflow's processes send in numbers goes through here: commands of ingress, answers of lanes, outputs
and checkpoints of the engine. `BatchSender` keeps the order of each partition, fills batches by bytes, bounds how many
are on their way and awaits every one. The publisher of users' events uses `send_batch` alone: it has one batch of a
partition on its way, and a failure of one topic must end nothing else.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import count
from typing import Any, Generic, NamedTuple, NoReturn, TypeVar

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, KafkaTimeoutError

from streamflow.errors import OperationError
from streamflow.kafka.cancellation import cancel

IN_FLIGHT = 64  # batches; of one partition aiokafka keeps two
STUCK_S = 60.0  # for an acknowledgement; aiokafka's idempotent producer would try for ever

R = TypeVar("R")
Fields = tuple[bytes | None, bytes | None, Sequence[tuple[str, bytes]]]  # key, value, headers


class Destination(NamedTuple):
    """A partition to send to."""

    topic: str
    partition: int


class Batch(NamedTuple, Generic[R]):
    """What was sent at once. `acked` resolves to aiokafka's metadata of the batch, or raises KafkaError."""

    place: Destination
    records: list[R]
    acked: asyncio.Future[Any]
    at_s: float  # when it was sent, by the loop's clock


class BatchFailed(KafkaError):
    """A batch that the broker did not take; the cause says why. Its records may be in the topic all the same, when only
    the acknowledgement was lost."""

    def __init__(self, batch: Batch[Any], cause: BaseException) -> None:
        super().__init__(
            f"{len(batch.records)} records for {batch.place.topic}, partition {batch.place.partition}, were not taken "
            f"({cause!r})"
        )
        self.batch = batch
        self.__cause__ = cause


async def send_batch(
    producer: AIOKafkaProducer, place: Destination, queued: deque[R], fields: Callable[[R], Fields]
) -> Batch[R]:
    """Takes as many records from the front of `queued` as one batch holds, at least one, and hands them to `producer`.
    `fields` gives the key, the value and the headers of a record.

    Raises KafkaError, or OperationError (`record_refused`) for a record that no batch takes; then, and when it is
    cancelled, the records are in `queued` again."""
    builder, taken = _fill(producer, place, queued, fields)
    for _ in taken:
        queued.popleft()
    try:
        acked = await producer.send_batch(builder, place.topic, partition=place.partition)
    except BaseException:
        queued.extendleft(reversed(taken))
        raise
    return Batch(place, taken, acked, asyncio.get_running_loop().time())


def _fill(
    producer: AIOKafkaProducer, place: Destination, records: Iterable[R], fields: Callable[[R], Fields]
) -> tuple[Any, list[R]]:
    """A batch, and those of `records` that are in it."""
    builder = producer.create_batch()
    taken: list[R] = []
    for record in records:
        key, value, headers = fields(record)
        if builder.append(timestamp=None, key=key, value=value, headers=list(headers)) is None:
            break
        taken.append(record)
    if not taken:  # aiokafka takes a first record of any size
        raise OperationError(
            "record_refused",
            f"A record for {place.topic} does not fit a batch. Lower the limits of the sizes of records.",
        )
    builder.close()
    return builder, taken


def acked_ms(batch: Batch[Any]) -> int | None:
    """The time that the broker gave an acknowledged batch, in epoch milliseconds; None when it did not say (a batch
    that was sent twice)."""
    timestamp = batch.acked.result().timestamp
    return int(timestamp) if timestamp is not None and timestamp > 0 else None


class BatchSender(Generic[R]):
    """A queue for each partition. Records of one partition leave in the order in which they were queued; partitions
    take turns, so that a busy one holds up no other. One call of `send` or `serve` at a time.

    `acknowledged` is called with each batch that the broker has. A batch that it does not take within `STUCK_S` or
    refuses is a failure: from then on everything raises BatchFailed, because aiokafka's idempotent producer is refused
    ever after by a partition that has refused it once. `take_back` begins again, with another producer."""

    def __init__(
        self,
        fields: Callable[[R], Fields],
        acknowledged: Callable[[Batch[R]], None] = lambda batch: None,
        *,
        in_flight: int = IN_FLIGHT,
    ) -> None:
        self._fields = fields
        self._acknowledged = acknowledged
        self._most = in_flight
        self._queued: dict[Destination, deque[R]] = {}
        self._unacked: dict[int, Batch[R]] = {}  # in the order in which they were sent; failed ones stay
        self._numbers = count()
        self._watch: asyncio.TimerHandle | None = None  # for the oldest batch
        self._failure: Exception | None = None
        self._moved = asyncio.Event()  # something was queued, acknowledged or failed

    @property
    def waiting(self) -> bool:
        """Whether anything is queued."""
        return bool(self._queued)

    @property
    def unacked(self) -> int:
        """How many batches are on their way, and have failed."""
        return len(self._unacked)

    def oldest_s(self) -> float:
        """For how many seconds the oldest batch has waited for its acknowledgement."""
        if not self._unacked:
            return 0.0
        return asyncio.get_running_loop().time() - next(iter(self._unacked.values())).at_s

    # -- queueing

    def add(self, place: Destination, record: R) -> None:
        """Queue a record behind those that are there for its partition."""
        self.queue(place).append(record)
        self._moved.set()

    def queue(self, place: Destination) -> deque[R]:
        """What is queued for `place`, to append to until the next `await`."""
        queued = self._queued.get(place)
        if queued is None:
            queued = self._queued[place] = deque()
        return queued

    # -- sending

    async def send(self, producer: AIOKafkaProducer) -> None:
        """Hand everything queued to `producer`; acknowledgements come later. Cancelled, it leaves in the queue what the
        producer did not take: a checkpoint that follows must not save a decision whose outputs were dropped.

        Raises BatchFailed for an earlier batch, and as `send_batch`."""
        while self._queued:
            for place in list(self._queued):
                if self._failure is not None or len(self._unacked) >= self._most:
                    await self._room()
                if queued := self._queued.get(place):
                    self._track(await send_batch(producer, place, queued, self._fields))
                if not queued:
                    self._queued.pop(place, None)

    async def send_whole(self, producer: AIOKafkaProducer, place: Destination, records: Sequence[R]) -> Batch[R] | None:
        """Hand `records` to `producer` as one batch, which the broker takes or refuses as a whole. None if they do not
        fit one: then nothing is sent."""
        await self._room()
        builder, taken = _fill(producer, place, records, self._fields)
        if len(taken) < len(records):
            return None
        acked = await producer.send_batch(builder, place.topic, partition=place.partition)
        batch = Batch(place, taken, acked, asyncio.get_running_loop().time())
        self._track(batch)
        return batch

    async def serve(self, producer: AIOKafkaProducer) -> None:
        """Send what is queued and what will be, until a batch fails: ends only by raising, as `send` does."""
        sending = asyncio.ensure_future(self._send_always(producer))
        failing = asyncio.ensure_future(self._wait_failure())  # `sending` may be held up by another partition
        try:
            await asyncio.wait({sending, failing}, return_when=asyncio.FIRST_COMPLETED)
            (failing if failing.done() else sending).result()
        finally:
            await cancel((sending, failing))

    async def _send_always(self, producer: AIOKafkaProducer) -> NoReturn:
        while True:
            await self.send(producer)
            await self._wait_moved()

    async def _wait_failure(self) -> NoReturn:
        while True:
            await self._wait_moved()

    def _track(self, batch: Batch[R]) -> None:
        number = next(self._numbers)
        self._unacked[number] = batch
        batch.acked.add_done_callback(partial(self._settle, number))
        if self._watch is None:
            self._watch_oldest()

    async def _room(self) -> None:
        self._raise_failure()
        while len(self._unacked) >= self._most:
            await self._wait_moved()

    # -- acknowledgements

    async def flush(self) -> None:
        """Return when every batch sent so far is acknowledged. Raises BatchFailed, and cancels nothing on its way."""
        last = next(reversed(self._unacked), -1)
        self._raise_failure()
        while next(iter(self._unacked), last + 1) <= last:
            await self._wait_moved()

    async def _wait_moved(self) -> None:
        self._raise_failure()
        self._moved.clear()
        await self._moved.wait()
        self._raise_failure()

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure

    def _settle(self, number: int, acked: asyncio.Future[Any]) -> None:
        error = asyncio.CancelledError() if acked.cancelled() else acked.exception()
        if number not in self._unacked:
            return  # taken back
        batch = self._unacked[number]
        if error is not None:
            self._fail(BatchFailed(batch, error))
            return
        del self._unacked[number]
        self._moved.set()
        try:
            self._acknowledged(batch)
        except Exception as fault:  # in a callback of the loop nobody would see it
            self._fail(fault)

    def _watch_oldest(self) -> None:
        """Fail when the oldest batch has waited too long, else look again when it will have."""
        self._watch, loop = None, asyncio.get_running_loop()
        for batch in self._unacked.values():
            if batch.at_s + STUCK_S <= loop.time():
                self._fail(BatchFailed(batch, KafkaTimeoutError(f"no acknowledgement within {STUCK_S:g} s")))
            else:
                self._watch = loop.call_at(batch.at_s + STUCK_S, self._watch_oldest)
            return

    def _fail(self, error: Exception) -> None:
        if self._failure is None:
            self._failure = error
        self._moved.set()

    def take_back(self) -> None:
        """Queue what was sent and is not acknowledged in front of what waits, and begin again. An acknowledgement that
        comes later changes nothing."""
        for batch in reversed(self._unacked.values()):
            self.queue(batch.place).extendleft(reversed(batch.records))
        self._unacked.clear()
        self._failure = None
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None

    def forget(self) -> None:
        """Drop what is queued and what is on its way: another process makes it again."""
        self.take_back()
        self._queued.clear()
