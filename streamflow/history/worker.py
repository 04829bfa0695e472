"""The history worker: `runs`, `unclaimed`, `dead-letters` and `logs` into the history store, exactly once.

The position in the topics is in the store, in the transaction of the rows (`writer`); what the group has committed only
shows how far the worker is. With a file one worker reads all partitions; with PostgreSQL the group shares them among
workers, and the position in the store is the fence between an owner and the next one.
"""

from __future__ import annotations

import asyncio
import threading
from contextlib import ExitStack

import structlog

from streamflow.core.metrics import Metrics, NoMetrics
from streamflow.errors import OperationError
from streamflow.history.session import Session
from streamflow.history.sqlite import only_writer
from streamflow.kafka.thread_worker import serve_in_thread
from streamflow.settings import Settings

log = structlog.get_logger(__name__)

_BACKOFF_S = (0.5, 10.0)


async def serve_history(settings: Settings, stop: asyncio.Event, metrics: Metrics | None = None) -> None:
    """One history worker, until `stop` is set. It reads and writes in a separate thread.

    Raises OperationError for what does not pass by itself (`history_in_use`, `history_newer`,
    `history_other_topics`)."""
    await serve_in_thread(lambda halt: _serve(settings, halt, metrics or NoMetrics()), stop)


def _serve(settings: Settings, halt: threading.Event, metrics: Metrics) -> None:
    low, high = _BACKOFF_S
    backoff = low
    with ExitStack() as held:
        if settings.history.postgresql is None:
            held.enter_context(only_writer(settings.history.path))
        while not halt.is_set():
            session: Session | None = None
            try:
                with Session.opened(settings, metrics) as session:
                    session.run(halt)
            except OperationError as error:
                if not error.retryable:
                    raise
                backoff = low if session is not None and session.worked else min(high, backoff * 2)
                log.warning("history_interrupted", code=error.code, error=error.message, again_in_s=backoff)
                halt.wait(backoff)
