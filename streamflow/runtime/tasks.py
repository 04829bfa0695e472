"""Task workers: the lanes that this process serves, and the operations that it has.

Each lane is read, bounded and committed for itself, so one that is slow keeps no other waiting. A lane's session ends
with its first broker error and the next one goes on, for ever, with back-off.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import structlog

from streamflow.core.metrics import Metrics
from streamflow.core.tracing import Tracer
from streamflow.errors import OperationError
from streamflow.kafka.admin import require_topics
from streamflow.kafka.definitions import DefinitionsLog
from streamflow.kafka.refusals import code_of
from streamflow.kafka.rights import Role, own_topics
from streamflow.operations.callbacks import callback_urls
from streamflow.operations.registry import Registry
from streamflow.runtime.consumer_session import serve_sessions
from streamflow.runtime.lane import Lane
from streamflow.runtime.lane_session import LaneSession
from streamflow.runtime.task_executor import TaskExecutor
from streamflow.runtime.worker_registry import Registrar
from streamflow.settings import Settings

log = structlog.get_logger(__name__)


def chosen_lanes(settings: Settings, names: Sequence[str] = ()) -> tuple[str, ...]:
    """The lanes that a worker serves: those named, or else all that are configured.

    Raises OperationError (`lane_unknown`)."""
    known = settings.tasks.lanes
    if unknown := [name for name in names if name not in known]:
        named, there = ", ".join(unknown), ", ".join(sorted(known))
        text = f"The settings have no lane {named}, only {there}. Add it under tasks.lanes."
        raise OperationError("lane_unknown", text, retryable=False)
    return tuple(dict.fromkeys(names)) or tuple(sorted(known))


async def serve_tasks(
    settings: Settings,
    lanes: Sequence[str],
    stop: asyncio.Event,
    metrics: Metrics | None = None,
    tracer: Tracer | None = None,
) -> None:
    """Runs a task worker until `stop` is set.

    Raises OperationError at once when a lane is unknown, or a topic of ours is missing or has drifted; a broker that is
    away later is waited for."""
    names = chosen_lanes(settings, lanes)
    await asyncio.to_thread(require_topics, settings, own_topics(settings, Role.TASKS, names))
    registry = Registry(settings)
    await registry.start()
    definitions = DefinitionsLog(settings)
    registrar = Registrar(settings, names, registry)

    def follow() -> None:
        registry.follow(definitions.operations)
        registrar.changed()

    definitions.subscribe(follow)
    telling: asyncio.Task[None] | None = None
    draining: asyncio.Task[None] | None = None
    try:
        await definitions.start()
        definitions.require_environment()
        follow()
        log.info("operations_ready", names=registry.names(), broken=[one.name for one in registry.broken])
        executor = TaskExecutor(settings, registry, callback_urls(settings), tracer)
        telling = asyncio.create_task(registrar.serve())
        draining = asyncio.create_task(_tell_stop(stop, registrar))
        async with asyncio.TaskGroup() as group:
            for name in names:
                lane = Lane(settings, name, executor, metrics, tracer)
                group.create_task(serve_lane(lane, stop), name=f"lane-{name}")
        await registrar.withdraw()
    finally:
        for task in (telling, draining):
            if task is not None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
        await definitions.stop()
        await registry.close()


async def _tell_stop(stop: asyncio.Event, registrar: Registrar) -> None:
    await stop.wait()
    registrar.drain()


async def serve_lane(lane: Lane, stop: asyncio.Event) -> None:
    """Serves a lane until `stop` is set, over as many sessions as that takes; then lets attempts end for as long as the
    settings say."""

    def interrupted(error: BaseException, again_in_s: float) -> None:
        log.warning(
            "lane_interrupted",
            lane=lane.name,
            code=code_of(error),
            error=str(error) or repr(error),
            again_in_s=again_in_s,
            running=lane.attempts.running,
            consequence="attempts go on, and their answers wait for the next connection",
        )

    try:
        await serve_sessions(lambda: LaneSession(lane), stop, interrupted)
    finally:
        await lane.close()
