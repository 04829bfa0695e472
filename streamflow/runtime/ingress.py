"""Ingress: source topics in, commands out. A separate process and consumer group, hosted by a `mode.Service`.

What it promises is said in `ingress_session`.
"""

from __future__ import annotations

import asyncio
from typing import Any

import structlog
from confluent_kafka.admin import AdminClient
from mode import Service

from streamflow.core.metrics import Metrics
from streamflow.core.tracing import Tracer
from streamflow.kafka.admin import require_topics
from streamflow.kafka.connection import confluent_config
from streamflow.kafka.definitions import DefinitionsLog
from streamflow.kafka.groups import GroupOffsets, engine_group, ingress_group
from streamflow.kafka.refusals import code_of
from streamflow.kafka.rights import Role, own_topics
from streamflow.registry.readers import SchemaReaders, schema_readers
from streamflow.runtime.consumer_session import CLOSE_S, serve_sessions, within
from streamflow.runtime.ingress_session import IngressSession
from streamflow.runtime.source_log import SourceLog
from streamflow.runtime.versions import PublishedVersions, Versions
from streamflow.settings import Settings
from streamflow.tracing.sampling import sampling_of

log = structlog.get_logger(__name__)


class Ingress(Service):
    """Reads, routes and appends until it is stopped. Stopping commits, leaves the group, and takes some seconds at
    most."""

    abstract = False

    def __init__(
        self,
        settings: Settings,
        versions: Versions,
        metrics: Metrics | None = None,
        tracer: Tracer | None = None,
        schemas: SchemaReaders | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self._schemas = schemas
        self._settings = settings
        self._versions = versions
        self._metrics = metrics
        self._memory = SourceLog(sampling_of(settings.tracing), tracer, ingress_group(settings))
        self._stop_asked = asyncio.Event()
        self._ended = asyncio.Event()

    async def on_stop(self) -> None:
        """Lets the session end in order before `mode` cancels it."""
        self._stop_asked.set()
        if not await within(CLOSE_S, self._ended.wait()):
            log.warning(
                "ingress_cut_short",
                waited_s=CLOSE_S,
                consequence="uncommitted records are read again by the next ingress",
            )

    @Service.task
    async def _serve(self) -> None:
        admin = AdminClient(confluent_config(self._settings, "ingress"))
        # closed with the process: a thread may be asking
        engine = GroupOffsets(self._settings, engine_group(self._settings))

        def session() -> IngressSession:
            return IngressSession(
                self._settings, self._versions, admin, engine, self._memory, self._metrics, self._schemas
            )

        try:
            await serve_sessions(session, self._stop_asked, _interrupted)
        finally:
            self._ended.set()


def _interrupted(error: BaseException, again_in_s: float) -> None:
    log.warning(
        "ingress_interrupted",
        code=code_of(error),
        error=repr(error),
        again_in_s=again_in_s,
        consequence="it begins again at the committed offsets",
    )


async def host(service: Ingress, stop: asyncio.Event) -> None:
    """Runs `service` until `stop` is set. Raises what ended it before that."""
    await service.start()
    try:
        await service.wait_first(stop.wait())
    finally:
        await service.stop()
    if service.crash_reason is not None:
        raise service.crash_reason


async def serve_ingress(
    settings: Settings, stop: asyncio.Event, metrics: Metrics | None = None, tracer: Tracer | None = None
) -> None:
    """Runs an ingress worker until `stop` is set.

    Raises OperationError at once when a topic of ours is missing or has drifted, and when the settings of a schema
    registry cannot be used; a broker that is away later is waited for, and so is a registry."""
    schemas = schema_readers(settings)
    await asyncio.to_thread(require_topics, settings, own_topics(settings, Role.INGRESS))
    definitions = DefinitionsLog(settings)
    await definitions.start()
    definitions.require_environment()
    versions = PublishedVersions(settings, definitions, metrics)
    try:
        await versions.start()
        await host(Ingress(settings, versions, metrics, tracer, schemas), stop)
    finally:
        if schemas is not None:
            schemas.close()
        await versions.stop()
        await definitions.stop()
