"""Ingress: users' topics in, commands out.

users' topics -> [decode, match triggers and waits] -> commands
definitions   ->                                    -> dead-letters, logs
"""

from __future__ import annotations

import asyncio

from streamflow.core.metrics import Metrics
from streamflow.core.tracing import Tracer
from streamflow.runtime.ingress import serve_ingress
from streamflow.settings import Settings


async def run(
    settings: Settings, stop: asyncio.Event, metrics: Metrics | None = None, tracer: Tracer | None = None
) -> None:
    """One ingress worker, until `stop` is set."""
    await serve_ingress(settings, stop, metrics, tracer)
