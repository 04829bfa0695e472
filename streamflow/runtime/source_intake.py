"""From fetched records to commands in the outbox, and the commands for which the engine has no room now."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import structlog
from aiokafka import AIOKafkaConsumer
from aiokafka.structs import TopicPartition

from streamflow.core.event_router import EventRouter
from streamflow.core.held_commands import Held, HeldCommands, resumable
from streamflow.core.source_position import SourcePosition
from streamflow.kafka.batches import RefusedBatch
from streamflow.runtime.outbox import Outbox
from streamflow.runtime.schema_waits import SchemaWaits
from streamflow.runtime.source_log import SourceLog
from streamflow.wire.decoding import Record

log = structlog.get_logger(__name__)

_YIELD_RECORDS = 200  # heartbeats run in this loop
_LOG_APPEND = 1  # Kafka's number of the timestamp type


class SourceIntake:
    """`router` is to be set before anything is taken. `stopped` are the partitions of sources of which nothing more is
    read, each with the partition of `commands` that has no room; `schemas` are those that wait for a schema, None
    without a registry."""

    def __init__(
        self, consumer: AIOKafkaConsumer, outbox: Outbox, memory: SourceLog, schemas: SchemaWaits | None = None
    ) -> None:
        self.router = EventRouter((), event_bytes=0, record_bytes=0)
        self.held = HeldCommands()
        self.stopped: dict[TopicPartition, int] = {}
        self.schemas = schemas
        self._consumer = consumer
        self._outbox = outbox
        self._memory = memory

    async def take(self, tp: TopicPartition, source: SourcePosition, records: Sequence[Any]) -> None:
        """The inner loop: one record to its commands. The counts hold only once the outbox is flushed."""
        route, outbox, held, schemas = self.router.route, self._outbox, self.held, self.schemas
        for number, raw in enumerate(records, 1):
            if raw.offset < source.next:
                continue  # read before a seek
            if number % _YIELD_RECORDS == 0:
                await asyncio.sleep(0)
            record = Record(
                raw.topic,
                raw.partition,
                raw.offset,
                raw.timestamp,
                raw.key,
                raw.value,
                raw.headers,
                raw.timestamp_type == _LOG_APPEND,
            )
            if type(raw.value) is RefusedBatch:
                self._refuse(record, source, raw.value)
                continue
            if schemas is not None and schemas.must_wait(tp, record):
                self._consumer.seek(tp, raw.offset)
                self._consumer.pause(tp)
                return
            routed = route(record, source.topic_id, source.committed)
            placed = [(outbox.partition_of(key), key, value) for key, value in routed.commands]
            full = next((to for to, _, _ in placed if held.must_hold(to) and not held.room(to)), None)
            if full is not None:
                self._stop(tp, raw.offset, full)
                return
            for to, key, value in placed:
                if held.must_hold(to):
                    held.hold(to, Held(key, value, (tp.topic, tp.partition), raw.offset))
                    source.hold(raw.offset)
                else:
                    outbox.add(to, key, value)
            if routed.entered:
                self._memory.entered(record, routed)
            if routed.dead_letters:
                outbox.add_dead(routed.dead_letters)
                self._memory.dead(record, routed)
            outcome = "matched" if placed else "dead" if routed.dead_letters else "ignored"
            source.count(raw.offset, outcome, routed.outdated)

    def _refuse(self, record: Record, source: SourcePosition, batch: RefusedBatch) -> None:
        """The records of a batch that was not read are one dead letter, with their places and without their bytes."""
        routed = self.router.refuse(
            record, source.topic_id, batch.reason, batch.message, first_offset=batch.first_offset, records=batch.records
        )
        self._outbox.add_dead(routed.dead_letters)
        self._memory.dead(record, routed)
        source.count(record.offset, "dead", records=batch.records)

    def _stop(self, tp: TopicPartition, offset: int, full: int) -> None:
        """Reads no more of `tp` until there is room for the command of the record at `offset`."""
        self._consumer.seek(tp, offset)
        self._consumer.pause(tp)
        self.stopped[tp] = full
        log.warning("source_stopped", topic=tp.topic, partition=tp.partition, offset=offset, engine_partition=full)

    @property
    def unread(self) -> set[TopicPartition]:
        """The partitions of sources that are not read now."""
        return self.stopped.keys() | (self.schemas.partitions if self.schemas is not None else set())

    @property
    def releasable(self) -> bool:
        """Whether something is held back for a partition that takes commands again."""
        return self.held.releasable

    async def release(self, owned: Mapping[TopicPartition, SourcePosition]) -> None:
        """Sends what was held back for partitions that take commands again. Raises KafkaError."""
        taken = self.held.take()
        for to, one in taken:
            self._outbox.add(to, one.key, one.value)
        await self._outbox.flush()
        for _, one in taken:
            owned[TopicPartition(*one.source)].release(one.offset)

    def resume(self) -> None:
        """Reads the stopped sources for which there is room again, and those whose schema has come."""
        for tp in self.schemas.ready() if self.schemas is not None else ():
            self._consumer.resume(tp)
        for place in resumable([((tp.topic, tp.partition), to) for tp, to in self.stopped.items()], self.held):
            tp = TopicPartition(*place)
            del self.stopped[tp]
            self._consumer.resume(tp)
            log.warning("source_resumed", topic=tp.topic, partition=tp.partition)

    def drop(self) -> None:
        """The sources are opened again, from what is committed."""
        self.held.drop()
        self.stopped = {}
        if self.schemas is not None:
            self.schemas.drop()
