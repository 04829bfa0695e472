"""The log of everything authors publish: the topic `definitions`, one partition, compacted, in one total order.

Key, and what its value is:

- `definition/<sha256>`: canonical content, bytes; written once, so that its offset stays what start commands name.
- `version/<name>@<version>`: which content a version is, whether it is retired, and its signed `approval` (`Approval`;
  null if it has none). Where approvals are required, a version without a valid one does not count.
- `name/<name>`: the version that starts use, which is the one published last of those not retired.
- `approval/<sha256>`: the last approval of a content, published or not, and the report that it is bound to
  (`Approved`). Whether it is accepted is verified when the content is published, and by each worker.
- `event/<name>`: the catalog entry of an event without its topics, as published last.
- `binding/<name>`: the topics that the event is found in here (`Binding`), as published last. It is no part of any
  content; the hosts look here where to read and where to emit.
- `operation/<name>`: the contract of a plugin's operation, and where the plugin is.
- `serving/<lane>/<instance>`: which operations a task worker does, and since when; deleted when it stops in order (see
  `serving`).
- `engine/revision`: the revision of the engine that runs are to start with; at first that of the program that made the
  topics.
- `engine/limits`: the limits that decisions use, fixed with the topics: the same for every worker and for ever.
- `engine/environment`: the name of the environment that run ids contain, fixed with the topics as well.
- `engine/skip/<partition>/<offset>`: a person's leave to pass over that command (`Skip`).

A missing value deletes. Other keys belong to later versions of this program and are passed over. Only `publication`
writes here, in transactions.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError, OffsetOutOfRangeError

from streamflow.approvals.approval import Approval, Refusal
from streamflow.approvals.required import required_trust
from streamflow.definition.catalog import Binding
from streamflow.errors import OperationError
from streamflow.kafka.cancellation import is_own_cancellation
from streamflow.kafka.connection import aiokafka_config, stop_consumer
from streamflow.kafka.refusals import code_of
from streamflow.kafka.snapshot import NameRecord, Served, Skip, Snapshot, VersionRecord
from streamflow.kafka.topics import DEFINITIONS, is_own, topic_name
from streamflow.settings import Settings
from streamflow.wire.unreadable import Unreadable

__all__ = [
    "Approval",
    "DefinitionsLog",
    "NameRecord",
    "Served",
    "Skip",
    "Snapshot",
    "VersionRecord",
    "require_environment",
]

_log = structlog.get_logger(__name__)

_POLL_MS = 1000
# Until the end is reached: a poll that finds only a transaction's marker moves the position but does not return.
_FIRST_POLL_MS = 50
_FIRST_BACKOFF_S = 0.1
_LONGEST_BACKOFF_S = 5.0


def require_environment(settings: Settings, fixed: str) -> None:
    """Raises OperationError when `settings` name another environment than `fixed`, the one of the topics."""
    if settings.environment != fixed:
        raise OperationError(
            "environment_differs",
            f"The settings name the environment {settings.environment}, but these topics belong to {fixed}. Set "
            f"`environment: {fixed}`, or another topics.prefix.",
            retryable=False,
        )


class DefinitionsLog:
    """A worker's view of the log: read to its end by `start()`, followed in the background until `stop()`.

    It belongs to one event loop and no consumer group. While the broker is away it keeps what it has and tries again
    for ever. Raises OperationError (`approval_key_invalid`) when it is made, if a trusted key is none."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._partition = TopicPartition(topic_name(settings, DEFINITIONS), 0)
        self._trust = required_trust(settings)
        self._snapshot = Snapshot(trust=self._trust)
        self._task: asyncio.Task[None] | None = None
        self._caught_up = asyncio.Event()
        self._waiters: list[tuple[int, asyncio.Future[None]]] = []
        self._subscribers: list[Callable[[], None]] = []
        self._refused: set[tuple[str, str]] = set()
        self._consumer: AIOKafkaConsumer | None = None

    @property
    def contents(self) -> dict[str, tuple[bytes, int]]:
        """Content and its offset, by sha256."""
        return self._snapshot.contents

    @property
    def versions(self) -> dict[tuple[str, str], VersionRecord]:
        """Every version, by name and version; retired ones too."""
        return self._snapshot.versions

    def refusal(self, name: str, version: str) -> Refusal | None:
        """Why a version does not count, where approvals are required; None: it counts."""
        return self._snapshot.refusal(name, version)

    def is_approved(self, sha: str) -> bool:
        """Whether a content may be loaded: always where approvals are not required."""
        return self._snapshot.is_approved(sha)

    @property
    def names(self) -> dict[str, NameRecord]:
        """The version that starts use, by name."""
        return self._snapshot.names

    @property
    def events(self) -> dict[str, dict[str, Any]]:
        """The catalog entries, by name of the event."""
        return self._snapshot.events

    @property
    def bindings(self) -> dict[str, Binding]:
        """Where events are found, by name of the event."""
        return self._snapshot.bindings

    def readable_bindings(self) -> dict[str, Binding]:
        """Where events are read, by name: their bindings without topics of Streamflow's own, which are never read,
        whatever the log says. Each such topic is logged once."""
        found = {}
        for event, binding in self.bindings.items():
            allowed = [topic for topic in binding.topics if not is_own(self._settings, topic)]
            refused = {(event, topic) for topic in binding.topics if topic not in allowed}
            for name, topic in sorted(refused - self._refused):
                _log.error("topic_reserved", name=name, topic=topic, consequence="it is not read; bind another topic")
            self._refused |= refused
            found[event] = binding.model_copy(update={"topics": allowed})
        return found

    @property
    def operations(self) -> dict[str, dict[str, Any]]:
        """The registered plugins, by name of the operation."""
        return self._snapshot.operations

    @property
    def engine(self) -> dict[str, dict[str, Any]]:
        """What is fixed for the engine: `limits`, `environment`, `revision`."""
        return self._snapshot.engine

    def skips(self, partition: int) -> dict[int, Skip]:
        """The commands of `partition` that a person lets the engine pass over, by offset."""
        return self._snapshot.skips.get(partition, {})

    @property
    def environment(self) -> str:
        """The name of the environment, as it was fixed with the topics."""
        return self._snapshot.environment

    def require_environment(self) -> None:
        """Raises OperationError when the settings name another environment than the one fixed with the topics."""
        require_environment(self._settings, self.environment)

    @property
    def revision(self) -> str:
        """The revision of the engine that runs are to start with."""
        return self._snapshot.revision

    @property
    def position(self) -> int:
        """The offset up to which the log has been read, exclusive."""
        return self._snapshot.position

    @property
    def unreadable(self) -> Unreadable:
        """Records that could not be understood and were left out."""
        return self._snapshot.unreadable

    def subscribe(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Has `callback` called in the event loop after every batch of records that was read, until the function that
        is returned is called."""
        self._subscribers.append(callback)
        return lambda: self._subscribers.remove(callback)

    async def start(self) -> None:
        """Returns when everything is read that was committed when the reader first reached the broker; waits for a
        broker that is away."""
        if self._task is None:
            self._task = asyncio.create_task(self._follow(), name="definitions log")
        reached = asyncio.create_task(self._caught_up.wait())
        try:
            await asyncio.wait({reached, self._task}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            reached.cancel()
        if not self._caught_up.is_set():
            await self._task

    async def stop(self) -> None:
        """Stops following; what was read stays readable."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def wait_position(self, position: int, timeout_s: float) -> None:
        """Returns when everything below `position` has been read: to see the record at an offset, wait for offset + 1.

        Raises OperationError if that takes longer than `timeout_s`."""
        if self.position >= position:
            return
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        entry = (position, waiter)
        self._waiters.append(entry)
        try:
            await asyncio.wait_for(waiter, timeout_s)
        except TimeoutError:
            found = f"it is read to {self.position} after {timeout_s} s"
            raise OperationError(
                "definitions_behind",
                f"expected the definitions log to be read to offset {position} but {found}. Check the broker.",
                topic=self._partition.topic,
            ) from None
        finally:
            with contextlib.suppress(ValueError):
                self._waiters.remove(entry)

    async def committed_end(self) -> int | None:
        """The offset at which the committed log ends now, as the broker says; None if it does not answer."""
        if self._consumer is None:
            return None
        try:
            return int((await self._consumer.end_offsets([self._partition]))[self._partition])
        except (KafkaError, OSError) as error:
            _log.warning("definitions_end_unknown", error=repr(error))
            return None

    async def _follow(self) -> None:
        backoff = _FIRST_BACKOFF_S
        while True:
            before = self.position
            try:
                await self._read()
            except OffsetOutOfRangeError:
                # The topic was made again: what we have of the old one is no longer published.
                _log.exception("definitions_log_replaced", topic=self._partition.topic, position=self.position)
                self._snapshot = Snapshot(trust=self._trust)
            except (KafkaError, OSError, asyncio.CancelledError) as error:
                if is_own_cancellation(error):
                    raise
                _log.warning("definitions_log_unreachable", code=code_of(error), error=repr(error), next_try_s=backoff)
            backoff = _FIRST_BACKOFF_S if self.position != before else min(backoff * 2, _LONGEST_BACKOFF_S)
            await asyncio.sleep(backoff)

    async def _read(self) -> None:
        """Reads from our position until an error. The broker answers a waiting fetch as soon as a transaction is
        committed."""
        consumer = AIOKafkaConsumer(
            **aiokafka_config(self._settings, "definitions"),
            group_id=None,
            enable_auto_commit=False,
            isolation_level="read_committed",
            auto_offset_reset="none",
            fetch_max_wait_ms=5000,  # of the only partition that it reads: what comes ends the wait
        )
        try:
            await consumer.start()
            self._consumer = consumer
            consumer.assign([self._partition])
            if self.position:
                consumer.seek(self._partition, self.position)
            else:
                await consumer.seek_to_beginning(self._partition)
            end = (await consumer.end_offsets([self._partition]))[self._partition]
            while True:
                if self.position >= end:
                    self._caught_up.set()
                batches = await consumer.getmany(
                    self._partition, timeout_ms=_POLL_MS if self._caught_up.is_set() else _FIRST_POLL_MS
                )
                for record in batches.get(self._partition, ()):
                    self._snapshot.read(record.key, record.value, record.offset, record.timestamp)
                # Past the last record too: markers of transactions have offsets of their own.
                self._snapshot.position = max(self._snapshot.position, await consumer.position(self._partition))
                self._announce(changed=bool(batches))
        finally:
            self._consumer = None
            await stop_consumer(consumer)

    def _announce(self, *, changed: bool) -> None:
        for position, waiter in self._waiters:
            if position <= self.position and not waiter.done():
                waiter.set_result(None)
        if not changed:
            return
        for callback in self._subscribers:
            try:
                callback()
            except Exception:  # noqa: BLE001 - a subscriber's fault is its own; publishing goes on for the others
                _log.exception("definitions_subscriber_failed")
