"""The engine: commands in, transitions out.

commands    -> [decide, evolve] -> runs, tasks.<lane>, commands, users' topics
definitions ->       |             unclaimed, dead-letters, logs, audit (erasures)
                   state (changelog of RocksDB)
"""

from __future__ import annotations

import asyncio
from typing import Any

from streamflow.core.metrics import Metrics
from streamflow.core.tracing import Tracer
from streamflow.runtime.app import create_app, serve
from streamflow.runtime.engine import EngineHost
from streamflow.runtime.transport import BatchSchema
from streamflow.settings import Settings


async def run(
    settings: Settings, stop: asyncio.Event, metrics: Metrics | None = None, tracer: Tracer | None = None
) -> None:
    """One engine worker, until `stop` is set."""
    host = EngineHost(settings, metrics, tracer)
    app = create_app(settings, host)
    commands = app.topic(host.commands, schema=BatchSchema(), acks=False)

    @app.agent(commands, name="engine")
    async def engine(batches: Any) -> None:
        async for batch in batches.noack().events():
            host.feed(batch.message.partition, batch.value)

    await serve(app, host, stop)
