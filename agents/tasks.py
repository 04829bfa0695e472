"""Tasks: attempts in, their results out. A consumer group for each lane.

tasks.<lane> -> [operations, many at a time] -> commands
definitions  ->              |               -> dead-letters, logs, definitions (operations served)
                      external systems
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from streamflow.core.metrics import Metrics
from streamflow.core.tracing import Tracer
from streamflow.runtime.tasks import serve_tasks
from streamflow.settings import Settings


async def run(
    settings: Settings,
    stop: asyncio.Event,
    metrics: Metrics | None = None,
    tracer: Tracer | None = None,
    lanes: Sequence[str] = (),
) -> None:
    """One task worker of `lanes` (all that are configured, by default), until `stop` is set."""
    await serve_tasks(settings, lanes, stop, metrics, tracer)
