"""A receiver of traces: OTLP over HTTP, protobuf, as a collector has it; and a partner that requests may be sent to."""

from __future__ import annotations

import gzip
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

KINDS = ("unspecified", "internal", "server", "client", "producer", "consumer")


class Received(NamedTuple):
    """A span as it came."""

    trace_id: str
    span_id: str
    parent_id: str  # empty: it has none
    name: str
    kind: str
    state: str
    began_ns: int
    ended_ns: int
    attributes: dict[str, Any]
    links: tuple[tuple[str, str], ...]  # (trace id, span id)
    status: int  # 0 unset, 1 ok, 2 error
    service: str
    resource: dict[str, Any]


def _value(value: Any) -> Any:
    kind = value.WhichOneof("value")
    found = getattr(value, kind)
    return tuple(_value(one) for one in found.values) if kind == "array_value" else found


def spans_in(body: bytes) -> list[Received]:
    """The spans of one export request."""
    found: list[Received] = []
    for group in ExportTraceServiceRequest.FromString(body).resource_spans:
        resource = {one.key: _value(one.value) for one in group.resource.attributes}
        for scoped in group.scope_spans:
            found += [_received(span, resource) for span in scoped.spans]
    return found


def _received(span: Any, resource: dict[str, Any]) -> Received:
    return Received(
        span.trace_id.hex(),
        span.span_id.hex(),
        span.parent_span_id.hex(),
        span.name,
        KINDS[span.kind],
        span.trace_state,
        span.start_time_unix_nano,
        span.end_time_unix_nano,
        {one.key: _value(one.value) for one in span.attributes},
        tuple((link.trace_id.hex(), link.span_id.hex()) for link in span.links),
        span.status.code,
        resource.get("service.name", ""),
        resource,
    )


class Receiver:
    """What was received: `spans` in the order of their coming, copies included, and the headers of each export;
    `requests` are the headers of what was sent to the partner. `status` is what exports are answered with."""

    def __init__(self) -> None:
        self.spans: list[Received] = []
        self.exports: list[dict[str, str]] = []
        self.requests: list[dict[str, str]] = []
        self.status = 200
        self.port = 0

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1/traces"

    @property
    def partner(self) -> str:
        return f"http://127.0.0.1:{self.port}/partner"

    def by_id(self) -> dict[tuple[str, str], list[Received]]:
        """All copies of each span, by its trace and its own id."""
        found: dict[tuple[str, str], list[Received]] = {}
        for span in list(self.spans):
            found.setdefault((span.trace_id, span.span_id), []).append(span)
        return found

    def trace(self, trace_id: str) -> list[Received]:
        """The spans of a trace, each once, the earliest first."""
        found = [copies[0] for (trace, _), copies in self.by_id().items() if trace == trace_id]
        return sorted(found, key=lambda span: span.began_ns)

    def took(self, path: str, headers: dict[str, str], body: bytes) -> int:
        if path != "/v1/traces":
            self.requests.append(headers)
            return 200
        self.exports.append(headers)
        if self.status == 200:
            self.spans += spans_in(gzip.decompress(body) if headers.get("content-encoding") == "gzip" else body)
        return self.status


@contextmanager
def receiving() -> Iterator[Receiver]:
    """A receiver on a free port of this machine."""
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            status = receiver.took(self.path, {name.lower(): text for name, text in self.headers.items()}, body)
            answer = b"" if self.path == "/v1/traces" else b"{}"
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    receiver.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


if __name__ == "__main__":  # for a measurement that must not pay for the receiver: until its input ends
    with receiving() as alone:
        print(alone.endpoint, flush=True)
        sys.stdin.read()
