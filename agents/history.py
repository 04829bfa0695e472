"""History: transitions and outcomes in, searchable rows out. It decides nothing, and nothing waits for it.

runs, unclaimed, dead-letters, logs -> [project] -> history store (rows and positions, one transaction)
history store, access -> [notify] -> people
"""

from __future__ import annotations

import asyncio

from streamflow.core.metrics import Metrics
from streamflow.core.tracing import Tracer
from streamflow.history.worker import serve_history
from streamflow.notifications.worker import serve_notifications
from streamflow.settings import Settings


async def run(
    settings: Settings, stop: asyncio.Event, metrics: Metrics | None = None, tracer: Tracer | None = None
) -> None:
    """One history worker, until `stop` is set. It makes no spans."""
    ended = asyncio.Event()
    notifying = asyncio.create_task(serve_notifications(settings, ended, metrics))
    try:
        await serve_history(settings, stop, metrics)
    finally:
        ended.set()
        await notifying
