"""What decisions send: transitions, commands, dead letters and emitted events, through one idempotent producer of the
process.

Records of one topic partition leave in the order they were given (law 2 needs no more). `Outputs` belongs to one engine
partition; `flush` returns when everything that it was given is acknowledged.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from typing import Any, NamedTuple

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import (
    InvalidTopicError,
    KafkaError,
    MessageSizeTooLargeError,
    RecordListTooLargeError,
    TopicAuthorizationFailedError,
)

from streamflow.engine.commands import Command, FailAttempt
from streamflow.engine.effects import AppendCommand, DeadLetter, PrintLine, PublishEvent, RecordRejection, SendTask
from streamflow.engine.outcome import Decision
from streamflow.engine.tasks import Task
from streamflow.errors import OperationError
from streamflow.ids import partition_of
from streamflow.kafka.topics import lane_topic_name
from streamflow.runtime.changelog import stop_producer
from streamflow.settings import Settings
from streamflow.wire.codec import encode_command
from streamflow.wire.dead_letter import dead_letter
from streamflow.wire.decoding import Record
from streamflow.wire.rejection import rejection
from streamflow.wire.tasks import Source, encode_task, source_header
from streamflow.wire.transitions import encode_event, encode_transition

log = structlog.get_logger()
BATCH_BYTES = 512 * 1024
MISSING_TOPIC_WAIT_S = 5.0  # for the metadata of a topic that an `emit` names
# by a user's topic, for good
REFUSED = (InvalidTopicError, MessageSizeTooLargeError, RecordListTooLargeError, TopicAuthorizationFailedError)
UNSENT = "outputs_unsent"
STUCK_S = 60.0  # for acknowledgements; aiokafka's idempotent producer would try for ever
MISSING_TOPIC_KNOWN_S = 30.0  # how long a missing topic is not asked for again


class Addressed(NamedTuple):
    """Records go to a partition that we choose."""

    topic: str
    partition: int


class Names(NamedTuple):
    """Names of the topics that the engine writes."""

    commands: str
    runs: str
    dead_letters: str


class Emitter:
    """Publishes to the users' topics by a producer of its own, each topic in order, none of them waiting for another.
    One for all partitions of the process. What such a topic does not take becomes a dead letter, by the process's
    `producer`."""

    def __init__(self, producer: AIOKafkaProducer, user_producer: AIOKafkaProducer, names: Names) -> None:
        self._producer = producer
        self._user_producer = user_producer
        self._names = names
        self._queues: dict[str, asyncio.Queue[tuple[PublishEvent, asyncio.Future[None]]]] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._missing: dict[str, float] = {}

    async def start(self) -> None:
        """Connect. Raises KafkaError."""
        await self._user_producer.start()

    def emit(self, event: PublishEvent) -> asyncio.Future[None]:
        """A future that is done when the event, or its dead letter, is acknowledged."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()
        if event.topic not in self._queues:
            self._queues[event.topic] = asyncio.Queue()
            self._tasks.append(loop.create_task(self._serve(event.topic)))
        self._queues[event.topic].put_nowait((event, done))
        return done

    async def _serve(self, topic: str) -> None:
        queue = self._queues[topic]
        while True:
            event, done = await queue.get()
            try:
                key, value, headers = encode_event(event)
                if not await self._exists(topic):
                    await self._give_up(
                        event, f"expected topic {topic} but it does not exist; create it and replay this record", done
                    )
                    continue
                sent = await self._user_producer.send(topic, value, key=key, headers=headers)
            except REFUSED as error:
                await self._give_up(event, _refusal(topic, error), done)
            except Exception as error:
                _settle(done, error)
            else:
                sent.add_done_callback(lambda future, event=event, done=done: self._acked(future, event, done))

    def _acked(self, sent: asyncio.Future[Any], event: PublishEvent, done: asyncio.Future[None]) -> None:
        if sent.cancelled():
            done.cancel()
        elif isinstance(error := sent.exception(), REFUSED):
            self._tasks.append(
                asyncio.get_running_loop().create_task(self._give_up(event, _refusal(event.topic, error), done))
            )
        else:
            _settle(done, error)

    async def _give_up(self, event: PublishEvent, message: str, done: asyncio.Future[None]) -> None:
        """Make `event` a dead letter."""
        try:
            key, value, headers = encode_event(event)
            record = Record(event.topic, -1, -1, event.at_ms, key, value, tuple(headers))
            letter = dead_letter(record, "undeliverable", message, "emit", run=event.run, event=event.type, id=event.id)
            sent = await self._producer.send(
                self._names.dead_letters, letter.value, key=letter.key, headers=list(letter.headers)
            )
            await sent
        except Exception as error:
            _settle(done, error)
        else:
            _settle(done, None)

    async def _exists(self, topic: str) -> bool:
        now = asyncio.get_running_loop().time()
        if self._missing.get(topic, 0.0) > now:
            return False
        try:
            await asyncio.wait_for(self._user_producer.partitions_for(topic), MISSING_TOPIC_WAIT_S)
        except (TimeoutError, KafkaError):
            self._missing[topic] = now + MISSING_TOPIC_KNOWN_S
            log.warning("topic_missing", topic=topic, consequence="events for it become dead letters until it exists")
            return False
        self._missing.pop(topic, None)
        return True

    async def close(self) -> None:
        """Stop. Whoever still waits for an event is told that it was cancelled."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await stop_producer(self._user_producer)


def _refusal(topic: str, error: BaseException | None) -> str:
    return (
        f"expected topic {topic} to take this record but {type(error).__name__} came back; correct the topic or "
        "the rights, and replay this record"
    )


def _settle(done: asyncio.Future[None], error: BaseException | None) -> None:
    """Tell whoever waits for an event, if anybody still does."""
    if done.done():
        return
    if error is None:
        done.set_result(None)
    else:
        done.set_exception(error)


class Outputs:
    """The outgoing records of one engine partition. `commands_id` is the id of the topic of commands: tasks say where
    they were decided."""

    def __init__(
        self,
        producer: AIOKafkaProducer,
        emitter: Emitter,
        settings: Settings,
        names: Names,
        partition: int,
        commands_id: str,
    ) -> None:
        self._producer = producer
        self._emitter = emitter
        self._names = names
        self._partitions = settings.topics.partitions
        self._limit = settings.limits.record_bytes
        self._partition = partition
        self._commands_id = commands_id
        self._lanes = {lane: lane_topic_name(settings, lane) for lane in settings.tasks.lanes}
        self._queued: dict[Addressed, list[tuple[bytes | None, bytes | None, Any]]] = defaultdict(list)
        self._unacked: deque[Any] = deque()
        self.broker_ms = 0  # the latest time that the broker showed in an acknowledgement of `commands`

    def add(self, decision: Decision, record: Any, trace: str | None) -> None:
        """Queue what `decision` on `record` sends; `send` sends it."""
        if decision.transitions:
            queued = self._queued[Addressed(self._names.runs, self._partition)]
            queued.extend(encode_transition(transition, trace) for transition in decision.transitions)
        tasks = 0
        for effect in decision.effects:
            if isinstance(effect, AppendCommand):
                self.append(effect.command, effect.key)
            elif isinstance(effect, SendTask):
                self._send_task(effect, Source(self._commands_id, record.offset, tasks))
                tasks += 1
            elif isinstance(effect, PublishEvent):
                self._unacked.append(self._emitter.emit(effect))
            elif isinstance(effect, PrintLine):
                log.info("print", run=effect.run, step=effect.step, text=effect.text)
            elif isinstance(effect, RecordRejection):
                self._dead_letter(rejection(_as_record(record), effect))
            elif isinstance(effect, DeadLetter):
                self._dead_letter(
                    dead_letter(_as_record(record), effect.reason, effect.message, "engine", limit_bytes=self._limit)
                )

    def append(self, command: Command, key: str) -> None:
        """Queue a command of the engine's own."""
        target = Addressed(self._names.commands, partition_of(key, self._partitions))
        self._queued[target].append((key.encode(), encode_command(command), []))

    def _send_task(self, effect: SendTask, source: Source) -> None:
        """Queue a task for its lane, in the partition with our number: lanes have as many as `commands`."""
        task, topic = effect.task, self._lanes.get(effect.lane)
        if topic is not None:
            self._queued[Addressed(topic, self._partition)].append(
                (task.key.encode(), encode_task(task), [source_header(source)])
            )
        elif isinstance(task, Task):
            text = (
                f"expected a lane of the settings ({', '.join(sorted(self._lanes))}) but {effect.lane}; do add it "
                "under tasks.lanes, or correct the step"
            )
            self.append_here(
                FailAttempt(
                    f"{task.id}/failed", task.run, task.address, task.attempt, "lane_unknown", text, item=task.item
                )
            )

    def append_here(self, command: Command) -> None:
        """Queue a command for this very partition."""
        self._queued[Addressed(self._names.commands, self._partition)].append((b"", encode_command(command), []))

    def _dead_letter(self, letter: Any) -> None:
        self._queued[Addressed(self._names.dead_letters, 0)].append((letter.key, letter.value, list(letter.headers)))

    async def send(self) -> None:
        """Hand everything queued to the producer, in order. Acknowledgements come later. Cancelled, it leaves in the
        queue what the producer did not take: a checkpoint that follows must not save a decision whose outputs were
        dropped."""
        while self._queued:
            target, records = next(iter(self._queued.items()))
            while records:
                taken = await self._submit(target, records)
                del records[:taken]
            del self._queued[target]

    async def _submit(self, target: Addressed, records: list[tuple[bytes | None, bytes | None, Any]]) -> int:
        """Send the first of `records`, as many as a batch takes; how many those are."""
        batch = self._producer.create_batch()
        for key, value, headers in records:
            if batch.append(key=key, value=value, timestamp=None, headers=headers) is None:
                break
        count: int = batch.record_count()
        if not count:
            raise OperationError(
                "record_refused",
                f"expected a record that fits a batch but one for {target.topic} does not; lower the limits",
            )
        batch.close()
        future = await self._producer.send_batch(batch, target.topic, partition=target.partition)
        if target.topic == self._names.commands:
            future.add_done_callback(self._acked_command)
        self._unacked.append(future)
        return count

    def _acked_command(self, future: Any) -> None:
        if not future.cancelled() and future.exception() is None:
            self.broker_ms = max(self.broker_ms, future.result().timestamp or 0)

    @property
    def unacked(self) -> int:
        """How many batches and events wait for their acknowledgement; failed ones stay until `flush` raises them."""
        while (
            self._unacked
            and self._unacked[0].done()
            and not self._unacked[0].cancelled()
            and self._unacked[0].exception() is None
        ):
            self._unacked.popleft()
        return len(self._unacked)

    async def flush(self) -> None:
        """Return when everything sent so far is acknowledged. Raises OperationError (`outputs_unsent`): the producer
        must be replaced, for aiokafka's is refused ever after by a partition that has refused it once."""
        try:
            async with asyncio.timeout(STUCK_S):
                for future in list(self._unacked):
                    await future
        except (KafkaError, TimeoutError) as error:
            raise OperationError(
                UNSENT, f"expected the broker to take all outputs but {error!r}; they are made and sent again"
            ) from error

    def close(self) -> None:
        """Forget what is on its way: the next owner of the partition sends it again."""
        for future in self._unacked:
            future.add_done_callback(lambda done: done.cancelled() or done.exception())
        self._unacked.clear()


def _as_record(record: Any) -> Record:
    return Record(
        record.topic, record.partition, record.offset, record.timestamp, record.key, record.value, tuple(record.headers)
    )
