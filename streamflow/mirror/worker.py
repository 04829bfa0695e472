"""The mirror worker: `runs`, `commands` and `dead-letters` to topics in Avro, each record once."""

from __future__ import annotations

import asyncio
import threading

import structlog

from streamflow.core.metrics import Metrics, NoMetrics
from streamflow.errors import OperationError
from streamflow.kafka.thread_worker import serve_in_thread
from streamflow.mirror.formats import registered_formats
from streamflow.mirror.session import Session, opened
from streamflow.settings import Settings

log = structlog.get_logger(__name__)

_BACKOFF_S = (0.5, 10.0)


async def serve_mirror(settings: Settings, stop: asyncio.Event, metrics: Metrics | None = None) -> None:
    """One mirror worker, until `stop` is set. While the registry or a broker is away, or the registry refuses a schema,
    it tries again, and nothing is written.

    Raises OperationError for what does not pass by itself (`mirror_unset`, `registry_unset`, `extra_missing`)."""
    if not settings.mirror.topics:
        raise OperationError(
            "mirror_unset", "No topics are mirrored. Name them in mirror.topics, or start no mirror.", retryable=False
        )
    await serve_in_thread(lambda halt: _serve(settings, halt, metrics or NoMetrics()), stop)


def _serve(settings: Settings, halt: threading.Event, metrics: Metrics) -> None:
    low, high = _BACKOFF_S
    backoff = low
    while not halt.is_set():
        session: Session | None = None
        try:
            formats = registered_formats(settings)
            with opened(settings, formats, metrics) as session:
                session.run(halt)
        except OperationError as error:
            if not error.retryable:
                raise
            backoff = low if session is not None and session.worked else min(high, backoff * 2)
            log.warning(
                "mirror_interrupted",
                code=error.code,
                error=error.message,
                again_in_s=backoff,
                consequence="the mirrored topics stand still; nothing is lost while the records are kept",
            )
            halt.wait(backoff)
