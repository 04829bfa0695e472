"""The changelog of one partition: restoring the store from it, and writing a cut to it in one fenced transaction
(law one-cut and law fenced-owner).

Order of an opening: fence (init_transactions), age of the store, restore with the offset written last. Order of a
checkpoint: outputs acknowledged, transaction (changed records and the input offset), store.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import structlog
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.structs import OffsetAndMetadata, TopicPartition

from streamflow.core.cut import CUT_END, Batch, whole_cut
from streamflow.core.opening import is_too_old
from streamflow.core.restored import Restored
from streamflow.engine.overlay import META, Store, decode_record
from streamflow.engine.state import OWN
from streamflow.errors import EngineFault, OperationError, with_remedy
from streamflow.kafka.connection import stop_consumer, stop_producer
from streamflow.runtime.batch_sender import Batch as SentBatch
from streamflow.runtime.batch_sender import BatchSender, Destination, Fields
from streamflow.runtime.log_ends import LogEnds

log = structlog.get_logger()
POSITION = f"{META}changelog"  # the next offset of the changelog that the store lacks
CUT_AT = f"{META}cut_at"  # the offset of the record in the changelog that ends the store's last cut
WRITTEN = f"{META}written_ms"  # when the store was last written
TOPIC_ID = f"{META}topic_id"  # of the changelog; another id is another changelog
UNMARKED = f"{META}unmarked"  # key of the record in a transaction that is only there to be aborted
_CUT_END = CUT_END.encode()
_CHUNK_BYTES = 4_000_000
_POLL_MS = 20  # short: a poll that finds only the marks of transactions moves the position but does not return
REQUEST_BYTES = 2 << 20  # more than the largest record with its mark
# then the broker ends it, so waiting longer is useless; aiokafka would, for ever when it lost a connection in the
# middle
TRANSACTION_S = 30.0
MARKED_S = 10.0  # for the marks of an aborted transaction


class Changelog:
    """One partition of `state`, for its owner. `connection` are aiokafka's settings, `group` the engine's consumer
    group, `restored` what judges the records of a restore."""

    def __init__(
        self,
        connection: Mapping[str, Any],
        *,
        topic: str,
        topic_id: str,
        commands: str,
        commands_id: str,
        partition: int,
        group: str,
        transactional_id: str,
        tombstone_retention_ms: int,
        clock: Callable[[], float] = time.time,
        restored: type[Restored] = Restored,
    ) -> None:
        self._connection = connection
        self._tp = TopicPartition(topic, partition)
        self._input = TopicPartition(commands, partition)
        self._topic_id = topic_id
        self._commands_id = commands_id
        self._group = group
        self._transactional_id = transactional_id
        self._tombstone_retention_ms = tombstone_retention_ms
        self._clock = clock
        self._restored = restored
        self._producer: AIOKafkaProducer | None = None

    async def fence(self) -> None:
        """Take over: from here on no earlier owner can commit a checkpoint."""
        self._producer = AIOKafkaProducer(
            **self._connection,
            transactional_id=self._transactional_id,
            acks="all",
            linger_ms=0,
            max_batch_size=REQUEST_BYTES,
            max_request_size=REQUEST_BYTES,
            retry_backoff_ms=20,
            transaction_timeout_ms=int(TRANSACTION_S * 1000),
        )
        await self._producer.start()

    async def restore(self, store: Store) -> int:
        """Bring `store` to the end of the changelog; the number of records read. A store too old to know of deletions
        is thrown away."""
        consumer = AIOKafkaConsumer(
            **self._connection,
            isolation_level="read_committed",
            enable_auto_commit=False,
            auto_offset_reset="none",
            fetch_max_wait_ms=100,
            max_partition_fetch_bytes=4 << 20,
        )
        try:
            await consumer.start()
            consumer.assign([self._tp])
            await self._abort_unmarked(consumer)
            while True:
                began = self._clock()
                count = await self._restore_once(consumer, store)
                whole_cut(store)
                if not is_too_old((self._clock() - began) * 1000, self._tombstone_retention_ms):
                    return count
                log.warning(
                    "restore_again",
                    partition=self._tp.partition,
                    consequence="it took longer than deletions are kept, and starts from nothing",
                )
                store.clear()
        finally:
            await stop_consumer(consumer)

    async def _abort_unmarked(self, consumer: AIOKafkaConsumer) -> None:
        """Abort what an earlier owner's transaction has left in this partition without an end.

        The fence has ended every transaction, as the broker says. But a broker that comes back from a long pause or a
        crash may complete a transaction without marking it in this partition (Kafka 4.3.1: `CompleteAbort` in its log
        of transactions a millisecond after `PrepareAbort`, and no marker here). Readers would take those records for a
        part of the next transaction that is committed. One that is aborted marks them: nobody else writes here. They
        may be a cut whose commit was acknowledged, which is why a restore looks for the store's last cut.

        Raises OperationError (`changelog_open`) when the end stays open."""
        if await self._open_records(consumer) == 0:
            return
        producer = self._fenced()
        await producer.begin_transaction()
        await self._sent(producer, [[(UNMARKED, None)]])
        await producer.abort_transaction()
        left = 0
        for _ in range(int(MARKED_S * 1000 / _POLL_MS)):  # the broker answers before it has written the marks
            left = await self._open_records(consumer)
            if not left:
                break
            await asyncio.sleep(_POLL_MS / 1000)
        log.warning(
            "unmarked_transaction_aborted",
            topic=self._tp.topic,
            partition=self._tp.partition,
            left=left,
            consequence="the records of that checkpoint stay unread; its commands are decided again",
        )
        if left:
            raise OperationError(
                "changelog_open",
                f"The changelog has {left} records of a transaction without an end, after the fence. The partition is "
                "opened again.",
                topic=self._tp.topic,
                partition=self._tp.partition,
            )

    async def _open_records(self, consumer: AIOKafkaConsumer) -> int:
        """How many offsets lie behind the last stable one."""
        stable = (await consumer.end_offsets([self._tp]))[self._tp]
        ends = await LogEnds(consumer).ends([self._tp])
        if self._tp not in ends:
            raise OperationError(
                "changelog_unreadable",
                "The broker did not say where the changelog ends. The partition is opened again.",
                topic=self._tp.topic,
                partition=self._tp.partition,
            )
        return max(0, ends[self._tp] - int(stable))

    async def _restore_once(self, consumer: AIOKafkaConsumer, store: Store) -> int:
        end = (await consumer.end_offsets([self._tp]))[self._tp]
        start = self._start(store, end)
        first = (await consumer.beginning_offsets([self._tp]))[self._tp]
        cut_at = store.get(CUT_AT)
        unseen = None if cut_at is None else int(cut_at)  # the end of the store's last cut, until it was read
        consumer.seek(self._tp, max(first, start if unseen is None else unseen))
        count = 0
        chunk: dict[str, bytes | None] = {}
        size = 0
        checked = self._restored(self._tp.topic, self._tp.partition)
        while await consumer.position(self._tp) < end:
            for records in (await consumer.getmany(timeout_ms=_POLL_MS)).values():
                for record in records:
                    if unseen is not None and (record.offset, record.key) != (unseen, _CUT_END):
                        return await self._restore_from_nothing(consumer, store)
                    unseen = None
                    key = checked.take(record.key or b"", record.value, record.offset)
                    if key is None:
                        continue
                    if key == CUT_END:
                        cut_at = b"%d" % record.offset
                    chunk[key] = record.value
                    size += len(record.value or b"")
                    count += not key.startswith(META)
            if size > _CHUNK_BYTES:
                store.write(chunk)
                chunk, size = {}, 0
        if unseen is not None:
            return await self._restore_from_nothing(consumer, store)
        checked.require_readable()
        store.write({**chunk, **self._meta(end, cut_at)})  # the offset last: half a restore is begun again
        return count

    async def _restore_from_nothing(self, consumer: AIOKafkaConsumer, store: Store) -> int:
        """The store's last cut is not in the changelog: the broker acknowledged the commit and lost its marker, and an
        abort ended the records. The commands of that cut are decided again. (Or compaction removed the end of the cut
        because there is a newer one: then this is only slow.)"""
        log.warning(
            "store_thrown_away", partition=self._tp.partition, reason="its last checkpoint is not in the changelog"
        )
        store.clear()
        return await self._restore_once(consumer, store)

    def _start(self, store: Store, end: int) -> int:
        """The offset to restore from, after throwing away a store that cannot be brought up to date."""
        position, written = store.get(POSITION), store.get(WRITTEN)
        if position is None or written is None:
            store.clear()
            return 0
        if (store.get(TOPIC_ID) or b"").decode() != self._topic_id:
            own = store.get(OWN)
            if own is not None and decode_record(OWN, own).topic_id == self._commands_id:
                raise OperationError(
                    "changelog_recreated",
                    with_remedy(
                        "expected the changelog that the local store was made from but the topic is another one, and "
                        "the store may be all that is left",
                        "restore the topic, or delete the local store to begin again from commands",
                    ),
                    topic=self._tp.topic,
                    partition=self._tp.partition,
                )
            log.warning("store_thrown_away", partition=self._tp.partition, reason="it belongs to another changelog")
            store.clear()
            return 0
        if int(position) > end:
            raise OperationError(
                "changelog_truncated",
                with_remedy(
                    f"expected the changelog to reach offset {int(position)} but it ends at {end}",
                    "restore the topic, or delete the local store to accept the loss",
                ),
                topic=self._tp.topic,
                partition=self._tp.partition,
            )
        age_ms = self._clock() * 1000 - int(written)
        if int(position) < end and is_too_old(age_ms, self._tombstone_retention_ms):
            log.warning(
                "store_thrown_away",
                partition=self._tp.partition,
                reason="it is older than deletions are kept",
                age_s=int(age_ms / 1000),
            )
            store.clear()
            return 0
        return int(position)

    def _meta(self, position: int, cut_at: bytes | None) -> dict[str, bytes | None]:
        return {
            POSITION: b"%d" % position,
            CUT_AT: cut_at,
            WRITTEN: b"%d" % int(self._clock() * 1000),
            TOPIC_ID: self._topic_id.encode(),
        }

    async def commit(self, batches: Sequence[Batch], applied: int) -> dict[str, bytes | None]:
        """Commit the batches of a cut and the input offset `applied` + 1 in one transaction; returned are the records
        that the store takes beside the cut. Any error: the owner closes.

        A transaction that failed is left open: aborting it would wait for a broker that may be away, and the next
        owner's fence ends it."""
        producer = self._fenced()
        try:
            async with asyncio.timeout(TRANSACTION_S):
                position = await self._commit(producer, batches, applied)
        except TimeoutError as error:
            raise OperationError(
                "checkpoint_stuck",
                f"expected the broker to accept a checkpoint within {TRANSACTION_S:.0f} s but it did not; it is "
                "repeated",
                topic=self._tp.topic,
                partition=self._tp.partition,
            ) from error
        return self._meta(position, b"%d" % (position - 2))  # before it is the marker, and before that the cut's end

    def _fenced(self) -> AIOKafkaProducer:
        if self._producer is None:
            raise OperationError(
                "not_fenced",
                with_remedy("expected a fenced changelog but it is not open", "open the partition first"),
            )
        return self._producer

    async def _commit(self, producer: AIOKafkaProducer, batches: Sequence[Batch], applied: int) -> int:
        """The position behind the transaction.

        Every batch is acknowledged before anything is committed: aiokafka fails only the batch that the broker refused,
        and would commit the others."""
        await producer.begin_transaction()
        sent = await self._sent(producer, batches)
        await producer.send_offsets_to_transaction({self._input: OffsetAndMetadata(applied + 1, "")}, self._group)
        await producer.commit_transaction()
        position: int = max(batch.acked.result().offset + len(batch.records) for batch in sent)
        return position + 1  # behind the transaction's marker

    async def _sent(
        self, producer: AIOKafkaProducer, batches: Sequence[Batch]
    ) -> list[SentBatch[tuple[str, bytes | None]]]:
        """Send each of `batches` as one, its mark together with what it marks; all are acknowledged."""
        place, sender, sent = Destination(self._tp.topic, self._tp.partition), BatchSender(_fields), []
        try:
            for records in batches:
                batch = await sender.send_whole(producer, place, records)
                if batch is None:
                    raise EngineFault(
                        "batch_overflow",
                        f"The {len(records)} records of a checkpoint's batch do not fit one. Report this: records are "
                        "larger than the limits allow.",
                        partition=self._tp.partition,
                    )
                sent.append(batch)
            await sender.flush()
        finally:
            sender.forget()
        return sent

    async def close(self) -> None:
        if self._producer is not None:
            producer, self._producer = self._producer, None
            await stop_producer(producer)


def _fields(record: tuple[str, bytes | None]) -> Fields:
    key, value = record
    return key.encode(), value, ()
