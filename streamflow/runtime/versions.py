"""The published versions as ingress matches them: from the definitions log, each compiled once.

**How new they are.** `read_to_end` asks for the end of the log and returns when the log is read up to there. A
publication is a transaction, and its acknowledgement may come before the broker's marker that makes it readable: so the
end that is asked for includes open transactions, and their ends are waited for. A publisher that dies inside one would
hold up everything, so that wait is short and is done once for each such end; markers of acknowledged publications
follow within milliseconds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import structlog
from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaConnectionError
from aiokafka.structs import TopicPartition

from streamflow.core.event_router import readable
from streamflow.core.metrics import Metrics, NoMetrics
from streamflow.definition.catalog import Binding
from streamflow.definition.compile import plan_of
from streamflow.definition.content import read_content
from streamflow.engine.match import Published
from streamflow.errors import OperationError
from streamflow.kafka.connection import aiokafka_config, stop_consumer
from streamflow.kafka.definitions import DefinitionsLog
from streamflow.kafka.refusals import away_at_start
from streamflow.kafka.topics import DEFINITIONS, topic_name
from streamflow.settings import Settings
from streamflow.wire.unreadable import UNREADABLE

log = structlog.get_logger(__name__)

_OPEN_TRANSACTION_S = 0.5


class Versions(Protocol):
    """The published versions as ingress needs them."""

    @property
    def revision(self) -> int:
        """Grows with every change."""

    @property
    def position(self) -> int:
        """Up to which offset `definitions` is read; the same for all workers, as `revision` is not."""

    def bindings(self) -> Mapping[str, Binding]:
        """Where events are found, by name of the event."""

    def published(self) -> Sequence[Published]:
        """All versions that are served, and those that are retired: no run starts by them, but their runs continue and
        wait. Where approvals are required, those that have a valid one."""

    async def read_to_end(self) -> None:
        """Returns when every publication is known that was acknowledged before the call. Raises KafkaError or
        OperationError."""


class PublishedVersions:
    """`Versions` from a started DefinitionsLog. `start` and `stop` it within one event loop."""

    def __init__(self, settings: Settings, definitions: DefinitionsLog, metrics: Metrics | None = None) -> None:
        self.revision = 0
        self._definitions = definitions
        self._metrics = metrics or NoMetrics()
        self._partition = TopicPartition(topic_name(settings, DEFINITIONS), 0)
        self._settings = settings
        self._askers: dict[str, AIOKafkaConsumer] = {}
        self._given_up = -1
        self._compiled: dict[str, Published | None] = {}
        self._unapproved: dict[tuple[str, str], int] = {}  # offsets of versions that do not count
        definitions.subscribe(self._changed)

    async def start(self) -> None:
        """Connects. Raises OperationError when the broker has gone away."""
        for level in ("read_uncommitted", "read_committed"):
            asker = AIOKafkaConsumer(
                **aiokafka_config(self._settings, "ingress-definitions"), group_id=None, isolation_level=level
            )
            self._askers[level] = asker
            try:
                await asker.start()
            except KafkaConnectionError as error:
                raise away_at_start(error) from error

    async def stop(self) -> None:
        """Disconnects."""
        for asker in self._askers.values():
            await stop_consumer(asker)

    async def read_to_end(self) -> None:
        end = await self._end("read_uncommitted")
        while end > max(self._definitions.position, self._given_up):
            try:
                await self._definitions.wait_position(end, _OPEN_TRANSACTION_S)
            except OperationError:
                position, committed = self._definitions.position, await self._end("read_committed")
                if position >= committed:
                    self._given_up = end
                    log.warning(
                        "publication_open",
                        position=position,
                        end=end,
                        consequence="matching continues with what is committed",
                    )
                else:
                    log.warning(
                        "definitions_behind",
                        position=position,
                        end=committed,
                        consequence="nothing is matched until they are read",
                    )

    async def _end(self, level: str) -> int:
        return int((await self._askers[level].end_offsets([self._partition]))[self._partition])

    @property
    def position(self) -> int:
        return self._definitions.position

    def bindings(self) -> Mapping[str, Binding]:
        return self._definitions.readable_bindings()

    def published(self) -> Sequence[Published]:
        found, revision, bindings = [], self._definitions.revision, self._definitions.readable_bindings()
        unapproved: dict[tuple[str, str], int] = {}
        for (name, version), record in self._definitions.versions.items():
            if (refusal := self._definitions.refusal(name, version)) is not None:
                unapproved[name, version] = record.offset
                if self._unapproved.get((name, version)) != record.offset:
                    self._log_unapproved(name, version, record.sha, refusal)
                continue
            if record.sha not in self._compiled:
                self._compiled[record.sha] = self._compile(record.sha, name, version)
            live = self._compiled[record.sha]
            if live is not None:
                current = self._definitions.names.get(name)
                newest = current is not None and current.version == version and not record.retired
                found.append(
                    Published(
                        plan=live.plan,
                        specs={event: spec.bound(bindings.get(event)) for event, spec in live.specs.items()},
                        at=live.at,
                        newest=newest,
                        published_ms=record.published_ms,
                        revision=revision,
                        bound_ms={event: bindings[event].bound_ms for event in live.specs if event in bindings},
                    )
                )
        if unapproved != self._unapproved:
            self._metrics.gauge("versions_unapproved", len(unapproved))
            log.warning("unapproved_versions_changed", count=len(unapproved), loaded=len(found))
        self._unapproved = unapproved
        return found

    def _log_unapproved(self, name: str, version: str, sha: str, refusal: str) -> None:
        log.error(
            "version_unapproved",
            code=refusal,
            definition=name,
            version=version,
            sha=sha,
            consequence="it is not loaded; approve it, and publish it with its approval",
        )

    def _compile(self, sha: str, name: str, version: str) -> Published | None:
        content = self._definitions.contents.get(sha)
        try:
            if content is None:
                raise ValueError("its content is not in the log")
            _, catalog = read_content(content[0])
            readable(catalog.events)
            return Published(
                plan=plan_of(content[0]),
                specs={spec.name: spec for spec in catalog.events},
                at=content[1],
                newest=False,
            )
        except UNREADABLE as error:
            log.error(
                "version_unusable",
                definition=name,
                version=version,
                sha=sha,
                error=str(error),
                consequence="it is not matched; others are",
            )
            return None

    def _changed(self) -> None:
        self.revision += 1
