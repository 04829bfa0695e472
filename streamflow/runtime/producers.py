"""The two producers that all partitions of a worker share: for Streamflow's own topics, and for the users'."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from itertools import chain, repeat

import structlog
from aiokafka import AIOKafkaProducer

from streamflow.kafka import topics
from streamflow.kafka.cancellation import is_own_cancellation
from streamflow.kafka.connection import aiokafka_config, max_batch_bytes, stop_producer
from streamflow.kafka.refusals import code_of
from streamflow.runtime.outputs import BATCH_BYTES
from streamflow.runtime.publisher import UserTopics
from streamflow.settings import Settings

log = structlog.get_logger()
REOPEN_S = (0.2, 0.5, 1.0, 2.0, 5.0)


class Producers:
    """`names` are the full names of Streamflow's own topics, by role. `own` and `users` are None while there is no
    connection."""

    def __init__(self, settings: Settings, names: Mapping[str, str]) -> None:
        self._settings = settings
        self._names = names
        self.own: AIOKafkaProducer | None = None
        self.users: UserTopics | None = None
        self.connected = asyncio.Event()

    @property
    def broken(self) -> bool:
        """Whether the producer for our own topics was closed or has given up: after a fatal error aiokafka's
        sender ends, and every later send fails."""
        if self.own is None:
            return True
        task = self.own._sender.sender_task  # noqa: SLF001 - there is no public way to ask
        return task is None or task.done()

    async def connect(self) -> None:
        """Start both. Raises KafkaError."""
        settings = self._settings
        self.own = AIOKafkaProducer(
            **aiokafka_config(settings, "engine"),
            enable_idempotence=True,
            acks="all",
            linger_ms=0,
            metadata_max_age_ms=5000,
            max_batch_size=max(BATCH_BYTES, settings.limits.record_bytes + 50_000),
            max_request_size=2 * max_batch_bytes(settings),
            retry_backoff_ms=20,
        )
        await self.own.start()
        self.users = UserTopics(self._user_producer())
        await self.users.producer.start()
        # metadata now, not at the first run
        for role in (topics.COMMANDS, topics.RUNS, topics.DEAD_LETTERS, topics.UNCLAIMED, topics.AUDIT):
            await self.own.partitions_for(self._names[role])
        self.connected.set()

    def _user_producer(self) -> AIOKafkaProducer:
        """For the users' topics. Not idempotent: after one record that the broker refuses, an idempotent producer of
        aiokafka has a gap in its sequence and is refused ever after. A copy after a retry is harmless (law
        identical-replay), and aiokafka keeps the order of a partition."""
        return AIOKafkaProducer(
            **aiokafka_config(self._settings, "engine-emit"),
            acks="all",
            linger_ms=0,
            max_batch_size=max_batch_bytes(self._settings),
            max_request_size=2 * max_batch_bytes(self._settings),
            retry_backoff_ms=20,
        )

    async def close(self) -> None:
        """Stop both; by force when the broker does not answer."""
        self.connected.clear()
        user_topics, self.users = self.users, None
        producer, self.own = self.own, None
        if user_topics is not None:
            await user_topics.close()
            await stop_producer(user_topics.producer)
        if producer is not None:
            await stop_producer(producer)

    async def reconnect(self) -> None:
        """Replace the producers, for as long as it takes."""
        for wait_s in chain(REOPEN_S, repeat(REOPEN_S[-1])):
            await self.close()
            try:
                await self.connect()
            except (Exception, asyncio.CancelledError) as error:
                if is_own_cancellation(error):
                    raise
                log.warning(
                    "not_connected",
                    code=code_of(error),
                    error=str(error) or repr(error),
                    again_in_s=wait_s,
                    consequence="no partition is served until it is",
                )
                await asyncio.sleep(wait_s)
            else:
                return
