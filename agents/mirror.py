"""The mirror: Streamflow's own records once more in Avro, for other systems. It decides nothing, and nothing waits for
it.

runs, commands, dead-letters -> [write with the schema of the registry] -> runs.avro, commands.avro, dead-letters.avro
"""

from __future__ import annotations

import asyncio

from streamflow.core.metrics import Metrics
from streamflow.core.tracing import Tracer
from streamflow.mirror.worker import serve_mirror
from streamflow.settings import Settings


async def run(
    settings: Settings, stop: asyncio.Event, metrics: Metrics | None = None, tracer: Tracer | None = None
) -> None:
    """One mirror worker, until `stop` is set. It makes no spans."""
    await serve_mirror(settings, stop, metrics)
