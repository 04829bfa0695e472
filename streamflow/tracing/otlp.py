"""Spans as those of OpenTelemetry's SDK, and its exporter (OTLP 1.x over HTTP, protobuf, gzip).

Imported only where `tracing.endpoint` is set. The SDK's own settings from the environment (`OTEL_RESOURCE_ATTRIBUTES`,
`OTEL_EXPORTER_OTLP_CERTIFICATE` and so on) hold beside ours.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence

from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags, TraceState

import streamflow
from streamflow.core.tracing import Span
from streamflow.engine.trace import Trace
from streamflow.secrets import resolve_secret
from streamflow.settings import Settings

_KINDS = {
    "server": SpanKind.SERVER,
    "client": SpanKind.CLIENT,
    "producer": SpanKind.PRODUCER,
    "consumer": SpanKind.CONSUMER,
}


class OtlpExport:
    """Exports the spans of a process with `role`. Raises OperationError (`secret_missing`)."""

    def __init__(self, settings: Settings, role: str) -> None:
        tracing = settings.tracing
        self._exporter = OTLPSpanExporter(
            endpoint=tracing.endpoint,
            headers={name: resolve_secret(reference) for name, reference in tracing.headers.items()},
            timeout=tracing.timeout_s,
            compression=Compression.Gzip,
        )
        self._resource = Resource.create(
            {
                "service.name": f"streamflow-{role}",
                "service.namespace": "streamflow",
                "service.version": streamflow.__version__,
                "service.instance.id": f"{socket.gethostname()}/{os.getpid()}",
                "deployment.environment.name": settings.environment,
            }
        )
        self._scope = InstrumentationScope("streamflow", streamflow.__version__)

    def __call__(self, spans: Sequence[Span]) -> bool:
        """Whether the receiver has taken `spans`. Blocks."""
        return self._exporter.export([self._readable(span) for span in spans]) is SpanExportResult.SUCCESS

    def close(self) -> None:
        """End an export that is being tried again, and let the connection go."""
        self._exporter.shutdown()  # type: ignore[no-untyped-call]

    def _readable(self, span: Span) -> ReadableSpan:
        attributes = dict(span.attributes)
        if span.error:
            attributes["error.type"] = span.error
        return ReadableSpan(
            span.name,
            context=_context(span.trace, is_remote=False),
            parent=None if span.parent is None else _context(span.parent, is_remote=True),
            resource=self._resource,
            attributes=attributes,
            links=[Link(_context(other, is_remote=True)) for other in span.links],
            kind=_KINDS[span.kind],
            status=Status(StatusCode.ERROR, span.error) if span.error else Status(StatusCode.UNSET),
            start_time=span.began_ns,
            end_time=span.ended_ns,
            instrumentation_scope=self._scope,
        )


def _context(trace: Trace, *, is_remote: bool) -> SpanContext:
    return SpanContext(
        int(trace.trace_id, 16),
        int(trace.span_id, 16),
        is_remote,
        TraceFlags(int(trace.parent[53:55], 16)),
        TraceState.from_header([trace.state]) if trace.state else None,
    )
