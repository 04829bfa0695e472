"""The page `/metrics` of a process, in a separate thread: OpenMetrics, or Prometheus's older text for who asks for
it. `/live` says that the process answers, and collects nothing: a probe must not wait for a disk that a sample waits
for."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import structlog
from prometheus_client import CollectorRegistry, ProcessCollector, make_wsgi_app
from prometheus_client.exposition import ThreadingWSGIServer

from streamflow.errors import OperationError
from streamflow.metrics.collector import ProcessMetrics

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

log = structlog.get_logger(__name__)

_REQUEST_S = 10.0  # a request that takes longer to come is given up


class _Handler(WSGIRequestHandler):
    timeout = _REQUEST_S

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: a scrape each few seconds is no news."""


class _Server(ThreadingWSGIServer):
    daemon_threads = True
    request_queue_size = 16

    def handle_error(self, request: Any, client_address: Any) -> None:
        log.debug("metrics_request_failed", client=str(client_address))


@contextmanager
def served(metrics: ProcessMetrics, listen: str) -> Iterator[str]:
    """Serves `metrics` and figures of the process itself at `listen` (host:port; port 0: any free one), and `/live`.
    Yields the address of the page `/metrics`. Raises OperationError (`port_taken`)."""
    host, _, port = listen.rpartition(":")
    page = CollectorRegistry(auto_describe=False)
    page.register(metrics)
    ProcessCollector(registry=page)
    try:
        server = make_server(host.strip("[]"), int(port), _pages(page), _server_of(host), handler_class=_Handler)
    except (OSError, OverflowError) as error:
        raise OperationError(
            "port_taken",
            f"Metrics cannot be served at {listen}: {error}. Set STREAMFLOW_METRICS__LISTEN to an address of this "
            "machine with a free port, another one for each process.",
        ) from error
    thread = threading.Thread(target=server.serve_forever, name="metrics", daemon=True)
    thread.start()
    url = f"http://{host}:{server.server_port}/metrics"
    log.info("metrics_served", url=url)
    try:
        yield url
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


def _pages(page: CollectorRegistry) -> WSGIApplication:
    metrics: WSGIApplication = make_wsgi_app(page)

    def answer(environment: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        if environment["PATH_INFO"] != "/live":
            return metrics(environment, start)
        start("200 OK", [("Content-Type", "text/plain; charset=utf-8")])
        return [b"live\n"]

    return answer


def _server_of(host: str) -> type[WSGIServer]:
    if not host.startswith("["):
        return _Server
    import socket

    return type("_Server6", (_Server,), {"address_family": socket.AF_INET6})
