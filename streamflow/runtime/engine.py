"""The engine's host: opens the partitions that Faust's group gives this worker, feeds them, and opens them again when
one fails.

Partitions open in parallel and each starts when it is ready; every new assignment opens again, also a partition held
before (law fenced-owner).
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import structlog
from faust.types import TP

from streamflow.core.aside import is_out_of_memory
from streamflow.core.metrics import Metrics, NoMetrics
from streamflow.core.outbox import usable_topic
from streamflow.core.place import Place
from streamflow.core.tracing import Tracer
from streamflow.errors import EngineFault, OperationError
from streamflow.kafka import topics
from streamflow.kafka.admin import require_topics
from streamflow.kafka.cancellation import is_own_cancellation, set_within
from streamflow.kafka.connection import aiokafka_config
from streamflow.kafka.definitions import DefinitionsLog
from streamflow.kafka.groups import engine_group
from streamflow.kafka.refusals import code_of
from streamflow.kafka.rights import Role, own_topics
from streamflow.runtime.changelog import Changelog
from streamflow.runtime.decision_spans import DecisionSpans
from streamflow.runtime.outputs import UNSENT, Outputs, names_of
from streamflow.runtime.partition import Partition
from streamflow.runtime.plans import Plans
from streamflow.runtime.producers import REOPEN_S, Producers
from streamflow.runtime.store import STORE_FAILED, RocksStore
from streamflow.runtime.transport import BatchConsumer, Fetched
from streamflow.settings import Settings

log = structlog.get_logger()
REMIND_S = 60.0


class EngineHost:
    """All partitions of this worker. Made before the Faust app starts; `start` needs the broker and the fixed
    topics."""

    def __init__(self, settings: Settings, metrics: Metrics | None = None, tracer: Tracer | None = None) -> None:
        self.settings = settings
        self._tracer = tracer
        self._measured = metrics  # None: the core need not measure either
        self._metrics = metrics or NoMetrics()
        self._stopped: set[int] = set()  # partitions that wait for a person
        self.commands = topics.topic_name(settings, topics.COMMANDS)
        self.definitions = DefinitionsLog(settings)
        self.partitions: dict[int, Partition] = {}
        self._owned: set[int] = set()
        self._consumer: BatchConsumer | None = None
        self._names = names_of(settings)
        self._producers = Producers(settings, self._names)
        self._openings: dict[int, asyncio.Task[None]] = {}
        self._recovering = asyncio.Lock()
        self._recoveries: set[asyncio.Task[None]] = set()
        # by partition: where it failed last, and how often there in a row
        self._failures: dict[int, tuple[int, int]] = {}
        self._out_of_memory: dict[int, int] = {}  # by partition: the command that needed more memory than there was
        self._topic_ids: dict[str, str] = {}
        self._end_samples: Callable[[], None] = lambda: None

    async def start(self) -> None:
        """Check the topics, read the definitions, connect. Raises OperationError when a topic is missing or has
        drifted."""
        self._topic_ids = await asyncio.to_thread(require_topics, self.settings, own_topics(self.settings, Role.ENGINE))
        await self.definitions.start()
        self._plans = Plans(self.definitions)
        self._plans.limits()
        await self._producers.connect()
        self._end_samples = self._metrics.sample(self._sample)

    async def stop(self) -> None:
        """Close every partition with a last checkpoint."""
        self._end_samples()
        await self.revoke(self._owned)
        for recovery in self._recoveries:
            recovery.cancel()
        await asyncio.gather(*self._recoveries, return_exceptions=True)
        await self._producers.close()
        await self.definitions.stop()

    def _topic_of(self, event: str) -> str:
        """The topic that `event` is to be emitted to. Raises Rejected when there is none that may be used."""
        topic = self._plans.topic(event)
        return usable_topic(event, topic, own=topic is not None and topics.is_own(self.settings, topic))

    # -- what Faust tells

    def attach(self, consumer: Any) -> None:
        """The consumer that feeds the agent; known once Faust has started. No partition of a new assignment is released
        yet."""
        self._consumer = consumer
        consumer.released.clear()

    def feed(self, partition: int, fetched: Fetched) -> None:
        """A fetched batch of a partition, from the agent."""
        if owned := self.partitions.get(partition):
            owned.feed(fetched)

    async def revoke(self, partitions: Iterable[int]) -> None:
        """These partitions are taken away: close them, after a last checkpoint, all at once."""
        gone = sorted(set(partitions))
        self._owned.difference_update(gone)
        openings = [self._openings.pop(p) for p in gone if p in self._openings]
        for opening in openings:
            opening.cancel()
        await asyncio.gather(*openings, return_exceptions=True)
        closing = [self.partitions.pop(p) for p in gone if p in self.partitions]
        await asyncio.gather(*(partition.close(save=True) for partition in closing))
        for number in gone:
            self._metrics.forget(partition=str(number))

    async def assign(self, partitions: Iterable[int]) -> None:
        """These partitions are ours now: begin to open them. Returns at once."""
        wanted = sorted(set(partitions))
        await self.revoke(self._owned)
        self._owned = set(wanted)
        log.info("partitions_assigned", partitions=wanted)
        self._metrics.count("rebalances")
        for number in wanted:
            self._begin_opening(number, delay_s=0.0)

    # -- opening

    def _begin_opening(self, number: int, delay_s: float) -> None:
        self._openings[number] = asyncio.create_task(self._open(number, delay_s), name=f"open-{number}")

    async def _open(self, number: int, delay_s: float) -> None:
        attempt = 0
        await asyncio.sleep(delay_s)
        while number in self._owned:
            await self._producers.connected.wait()
            partition = self._make(number)
            try:
                await partition.open()
            except (Exception, asyncio.CancelledError) as error:
                await partition.close(save=False)
                if is_own_cancellation(error):
                    raise
                self._discard_if_failed(number, error)
                if _is_final(error):
                    await self._stay_stopped(number, error)
                    return
                wait_s = REOPEN_S[min(attempt, len(REOPEN_S) - 1)]
                attempt += 1
                log.warning(
                    "partition_open_failed",
                    partition=number,
                    code=code_of(error),
                    error=str(error) or repr(error),
                    again_in_s=wait_s,
                )
                await asyncio.sleep(wait_s)
            else:
                self.partitions[number] = partition
                self._openings.pop(number, None)
                return

    def _make(self, number: int) -> Partition:
        settings = self.settings
        own, users = self._producers.own, self._producers.users
        if own is None or users is None:
            raise RuntimeError("the host is not connected")
        state = topics.topic_name(settings, topics.STATE)
        changelog = Changelog(
            aiokafka_config(settings, f"engine-{number}"),
            topic=state,
            topic_id=self._topic_ids[state],
            commands=self.commands,
            commands_id=self._topic_ids[self.commands],
            partition=number,
            group=engine_group(settings),
            transactional_id=f"{engine_group(settings)}-{number}",
            tombstone_retention_ms=settings.topics.tombstone_retention_hours * 3_600_000,
        )
        topic_id, traced = self._topic_ids[self.commands], None
        if self._tracer is not None:
            traced = DecisionSpans(self._tracer, topic_id, engine_group(settings), self._topic_of)
        return Partition(
            Place(
                number=number,
                partitions=settings.topics.partitions,
                topic_id=topic_id,
                lanes=frozenset(settings.tasks.lanes),
                limits=self._plans.limits(),
            ),
            settings,
            store=lambda: RocksStore(
                self._folder(number),
                write_buffer_bytes=settings.engine.store_write_buffer_bytes,
                block_cache_bytes=settings.engine.store_block_cache_bytes,
                measured=partial(self._store_measured, number) if self._measured is not None else None,
            ),
            changelog=changelog,
            outputs=Outputs(own, self._names),
            topics=users,
            plans=self._plans,
            source=self,
            failed=self._failed,
            topic_of=self._topic_of,
            writer_of=self._plans.writer,
            failed_at=self._out_of_memory.get(number),
            metrics=self._measured,
            traced=traced,
        )

    def _store_measured(self, number: int, sizes: Mapping[str, int]) -> None:
        for kind, size in sizes.items():
            self._metrics.gauge("store_bytes", size, partition=str(number), kind=kind)

    def _sample(self) -> None:
        """Before a scrape, in its thread: nothing is awaited and nothing changed here."""
        open_, owned, stopped = list(self.partitions.items()), len(self._owned), len(self._stopped)
        self._metrics.gauge("partitions", len(open_), state="open")
        self._metrics.gauge("partitions", stopped, state="stopped")
        self._metrics.gauge("partitions", max(0, owned - len(open_) - stopped), state="opening")
        for number, partition in open_:
            if (applied := partition.applied) is not None:
                self._metrics.gauge("applied_offset", applied, partition=str(number))
                self._metrics.gauge("checkpoint_age_seconds", partition.checkpoint_age_s, partition=str(number))

    def _folder(self, number: int) -> Path:
        return self.settings.state_dir / f"{self.settings.topics.prefix}{number}"

    def _discard_if_failed(self, number: int, error: BaseException) -> None:
        """Delete a local store that cannot be read or written; the changelog has all of it."""
        if isinstance(error, OperationError) and error.code == STORE_FAILED:
            shutil.rmtree(self._folder(number), ignore_errors=True)
            log.warning("store_thrown_away", partition=number, reason=error.message)

    def _failed(self, number: int, error: BaseException) -> None:
        failed = self.partitions.get(number)
        self._metrics.count("partition_failures")
        log.error(
            "partition_failed",
            partition=number,
            applied=failed.applied if failed else None,
            code=code_of(error),
            error=str(error) or repr(error),
            exc_info=error,
            consequence="it is closed and opened again after the last checkpoint; other partitions go on",
        )
        if failed is not None and failed.applied is not None and is_out_of_memory(error):
            self._out_of_memory[number] = failed.applied + 1
        recovery = asyncio.get_running_loop().create_task(self._recover(failed, error))
        self._recoveries.add(recovery)
        recovery.add_done_callback(self._recoveries.discard)

    async def _recover(self, failed: Partition | None, error: BaseException) -> None:
        """Close what failed, and everything that shared its producer if that is what broke. One at a time: many fail
        together."""
        async with self._recovering:
            if failed is None or self.partitions.get(failed.number) is not failed:
                return  # revoked, or closed by the recovery before
            broken = self._producers.broken or (isinstance(error, OperationError) and error.code == UNSENT)
            closing = [self.partitions.pop(n) for n in (sorted(self.partitions) if broken else [failed.number])]
            await asyncio.gather(*(partition.close(save=False) for partition in closing))
            self._discard_if_failed(failed.number, error)
            if broken:
                await self._producers.reconnect()
            for partition in closing:
                number = partition.number
                if number not in self._owned or number in self._openings:
                    continue  # assigned elsewhere or again meanwhile
                if partition is failed and _is_final(error):
                    self._openings[number] = asyncio.create_task(self._stay_stopped(number, error))
                else:
                    self._begin_opening(number, self._pause(partition))

    def _pause(self, partition: Partition) -> float:
        """Seconds before an opening: more each time that a partition fails at the same command, for that may be what
        fails it."""
        applied = -1 if partition.applied is None else partition.applied
        before, times = self._failures.get(partition.number, (-1, 0))
        times = times + 1 if applied == before else 0
        self._failures[partition.number] = (applied, times)
        return REOPEN_S[min(times, len(REOPEN_S) - 1)]

    async def _stay_stopped(self, number: int, error: BaseException) -> None:
        """Remind of it until the partition is taken away, or a person passes over a command of it."""
        skips, changed = self._plans.skips(number), asyncio.Event()
        unsubscribe = self.definitions.subscribe(changed.set)
        self._stopped.add(number)
        try:
            while number in self._owned:
                log.error(
                    "partition_stopped",
                    partition=number,
                    error=str(error),
                    consequence="its runs wait until a person acts; other partitions go on",
                )
                deadline = asyncio.get_running_loop().time() + REMIND_S
                while (left_s := deadline - asyncio.get_running_loop().time()) > 0:
                    await set_within(changed, left_s)
                    changed.clear()
                    if self._plans.skips(number) != skips:
                        self._begin_opening(number, 0.0)
                        return
        finally:
            self._stopped.discard(number)
            unsubscribe()

    # -- how a partition steers its input

    def _tp(self, number: int) -> TP:
        return TP(self.commands, number)

    def _source(self) -> BatchConsumer:
        if self._consumer is None:
            raise RuntimeError("the consumer is not attached")
        return self._consumer

    async def release(self, partition: int, offset: int) -> None:
        await self._source().release(self._tp(partition), offset)

    def epoch(self, partition: int) -> int:
        return self._source().epochs.get(self._tp(partition), 0)

    def pause(self, partition: int) -> None:
        self._source().pause_partitions({self._tp(partition)})

    def resume(self, partition: int) -> None:
        self._source().resume_partitions({self._tp(partition)})

    async def first_offset(self, partition: int) -> int:
        offsets = await self._source().earliest_offsets(self._tp(partition))
        return offsets[self._tp(partition)]


def _is_final(error: BaseException) -> bool:
    """Whether opening the partition again cannot help: a person must act first."""
    return isinstance(error, EngineFault) or (
        isinstance(error, OperationError) and error.code in ("changelog_truncated", "changelog_recreated")
    )
