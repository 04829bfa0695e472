"""A bounded queue of spans, and a thread that exports them in batches.

Nothing waits for it: a span for which there is no room, and a batch that the receiver does not take in time, are
dropped and counted (`streamflow_trace_spans_total`). The SDK's own batch processor drops without a count, and makes its
spans in the thread that ends them; here the hot path appends to a queue, and this thread makes them, many in a row.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice

import structlog

from streamflow.core.metrics import Metrics, NoMetrics
from streamflow.core.tracing import Span, Tracer
from streamflow.errors import OperationError
from streamflow.settings import Settings
from streamflow.settings import Tracing as Limits

log = structlog.get_logger(__name__)

Export = Callable[[Sequence[Span]], bool]  # whether the receiver has taken them
_UNMADE = 128  # hops whose spans are not made yet: each holds its command and what was decided
_LOG_EVERY_S = 60.0  # between two log lines on what was dropped
_LAST_S = 3.0  # for the last spans of a process that ends
EXPORTED, QUEUE_FULL, EXPORT_FAILED = "exported", "queue_full", "export_failed"


class SpanQueue:
    """A `Tracer`. `export` is called in its own thread, from `start` to `close`."""

    def __init__(self, limits: Limits, export: Export, metrics: Metrics | None = None) -> None:
        self._limits = limits
        self._export = export
        self._metrics = metrics or NoMetrics()
        self._waiting: deque[Iterable[Span]] = deque()
        self._full = threading.Event()  # a batch is there, or the end has come
        self._closing = False
        self._thread = threading.Thread(target=self._work, name="spans", daemon=True)
        self._dropped, self._logged_s = 0, float("-inf")

    def take(self, spans: Iterable[Span]) -> None:
        """See `Tracer`."""
        waiting = len(self._waiting)
        if waiting >= self._limits.queue_spans:
            self._drop(sum(1 for _ in spans), QUEUE_FULL)
            return
        self._waiting.append(spans if waiting < _UNMADE else tuple(spans))
        if waiting + 1 >= self._limits.batch_spans:
            self._full.set()

    def start(self) -> None:
        """Begin to export."""
        self._thread.start()

    def close(self) -> None:
        """Export what is there, for three seconds at most; the rest is dropped."""
        self._closing = True
        self._full.set()
        self._thread.join(min(self._limits.timeout_s, _LAST_S))

    def _work(self) -> None:
        while not self._closing:
            self._full.wait(self._limits.export_s)
            self._full.clear()
            self._send_all()
        self._send_all()

    def _send_all(self) -> None:
        made = self._made()
        while batch := list(islice(made, self._limits.batch_spans)):
            self._send(batch)

    def _made(self) -> Iterator[Span]:
        while self._waiting:
            try:
                spans = tuple(self._waiting.popleft())
            except Exception:
                log.exception("span_not_made", consequence="traces have gaps; nothing else is affected")
                self._drop(1, EXPORT_FAILED)
            else:
                yield from spans

    def _send(self, batch: Sequence[Span]) -> None:
        try:
            taken = self._export(batch)
        except Exception as error:  # noqa: BLE001 - an exporter that fails must not end the thread
            log.debug("spans_export_raised", error=repr(error))
            taken = False
        if taken:
            self._metrics.count("trace_spans", len(batch), outcome=EXPORTED)
        else:
            self._drop(len(batch), EXPORT_FAILED)

    def _drop(self, spans: int, outcome: str) -> None:
        self._metrics.count("trace_spans", spans, outcome=outcome)
        self._dropped += spans
        now_s = time.monotonic()
        if now_s - self._logged_s >= _LOG_EVERY_S:
            self._logged_s = now_s
            log.warning(
                "spans_dropped",
                spans=self._dropped,
                reason=outcome,
                consequence="traces have gaps; nothing else is affected",
            )
            self._dropped = 0


@contextmanager
def exported_spans(settings: Settings, role: str, metrics: Metrics | None) -> Iterator[Tracer | None]:
    """What takes the spans of this process while they are exported; None: the settings do not ask for them.

    Raises OperationError: `tracing_missing` without the extra, `secret_missing` for a header without its value."""
    if settings.tracing.endpoint is None:
        yield None
        return
    try:
        from streamflow.tracing.otlp import OtlpExport
    except ModuleNotFoundError as error:
        raise OperationError(
            "tracing_missing",
            "tracing.endpoint is set, but OpenTelemetry is not installed. Install the wheel with the extra tracing, as "
            "README.md shows under extras.",
            retryable=False,
        ) from error
    export = OtlpExport(settings, role)
    queue = SpanQueue(settings.tracing, export, metrics)
    queue.start()
    log.info("tracing_on", endpoint=settings.tracing.endpoint, sample_ratio=settings.tracing.sample_ratio)
    try:
        yield queue
    finally:
        queue.close()
        export.close()
