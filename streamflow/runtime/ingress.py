"""Ingress: source topics in, commands out. A process and a consumer group of its own, hosted by a `mode.Service`.

What it promises is said in `session`. A session ends with its first broker error and the next one begins at the
committed offsets, for ever, with back-off: aiokafka's producer never recovers from some errors, and its consumer not
from some others, so neither is mended.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any

import structlog
from aiokafka.errors import KafkaError
from confluent_kafka.admin import AdminClient
from mode import Service

from streamflow.engine.match import Published
from streamflow.errors import OperationError
from streamflow.kafka.admin import require_topics
from streamflow.kafka.cancellation import is_asked_for
from streamflow.kafka.connection import confluent_config
from streamflow.kafka.definitions import DefinitionsLog
from streamflow.kafka.groups import GroupOffsets, engine_group
from streamflow.runtime.intake import Intake
from streamflow.runtime.session import CLOSE_S, Session
from streamflow.runtime.versions import PublishedVersions, Versions
from streamflow.settings import Settings

log = structlog.get_logger(__name__)

_BACKOFF_S = (0.2, 5.0)


class Ingress(Service):
    """Reads, matches and appends until it is stopped. Stopping commits, leaves the group, and takes some seconds at
    most."""

    abstract = False

    def __init__(
        self, settings: Settings, versions: Versions, intake: Callable[[Iterable[Published]], Intake], **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self._settings = settings
        self._versions = versions
        self._intake = intake
        self._known: dict[str, str] = {}
        self._stop_asked = asyncio.Event()
        self._ended = asyncio.Event()

    async def on_stop(self) -> None:
        """Lets the session end in order before `mode` cancels it."""
        self._stop_asked.set()
        try:
            async with asyncio.timeout(CLOSE_S):
                await self._ended.wait()
        except TimeoutError:
            log.warning(
                "ingress_cut_short",
                waited_s=CLOSE_S,
                consequence="what is not committed is read again by the next ingress",
            )

    @Service.task
    async def _serve(self) -> None:
        try:
            admin = AdminClient(confluent_config(self._settings, "ingress"))
            # closed with the process: a thread may be asking
            engine = GroupOffsets(self._settings, engine_group(self._settings))
            low, high = _BACKOFF_S
            backoff = low
            while not self._stop_asked.is_set():
                session = Session(self._settings, self._versions, self._intake, admin, engine, self._known)
                try:
                    await session.run(self._stop_asked)
                except (KafkaError, OperationError, OSError, TimeoutError, asyncio.CancelledError) as error:
                    if is_asked_for(error):
                        raise
                    backoff = low if session.worked else min(high, backoff * 2)
                    log.warning(
                        "ingress_interrupted",
                        error=repr(error),
                        again_in_s=backoff,
                        consequence="it begins again at the committed offsets",
                    )
                    await self.sleep(backoff)
        finally:
            self._ended.set()


async def host(service: Ingress, stop: asyncio.Event) -> None:
    """Runs `service` until `stop` is set. Raises what ended it before that."""
    await service.start()
    try:
        await service.wait_first(stop.wait())
    finally:
        await service.stop()
    if service.crash_reason is not None:
        raise service.crash_reason


async def serve_ingress(settings: Settings, stop: asyncio.Event) -> None:
    """Runs an ingress worker until `stop` is set.

    Raises OperationError at once when a topic of ours is missing or has drifted; a broker that is away later is waited
    for."""
    await asyncio.to_thread(require_topics, settings)
    definitions = DefinitionsLog(settings)
    await definitions.start()
    definitions.require_environment()
    versions = PublishedVersions(settings, definitions)
    try:
        await versions.start()
        await host(Ingress(settings, versions, lambda published: Intake(published, settings.limits)), stop)
    finally:
        await versions.stop()
        await definitions.stop()
