"""`streamflow exporter`: lag for Prometheus, measured outside the workers."""

from __future__ import annotations

import signal
import threading
from typing import Annotated

import structlog
import typer

from streamflow.cli.output import examples
from streamflow.cli.session import session_of
from streamflow.metrics.metric import Process
from streamflow.ops.log import configure_log

app = typer.Typer(add_completion=False, rich_markup_mode=None)
log = structlog.get_logger(__name__)

_LISTEN = "127.0.0.1:9465"


@app.command(epilog=examples("exporter", "exporter --listen 0.0.0.0:9465"))
def exporter(
    ctx: typer.Context,
    listen: Annotated[
        str | None,
        typer.Option(
            metavar="HOST:PORT", help=f"address to listen on; overrides STREAMFLOW_METRICS__LISTEN; default: {_LISTEN}"
        ),
    ] = None,
) -> None:
    """Measures the lag of every group and lane in records and seconds, and serves it at /metrics until SIGTERM or
    Ctrl-C. It joins no consumer group; one exporter is enough."""
    from streamflow.kafka.expiry import report_expiry
    from streamflow.kafka.granted import require_rights
    from streamflow.kafka.greeting import require_welcome
    from streamflow.kafka.rights import Role, rights
    from streamflow.metrics.collector import ProcessMetrics
    from streamflow.metrics.server import served
    from streamflow.ops.exporter import export

    settings = session_of(ctx).known
    configure_log(settings, role=Process.EXPORTER.value)
    require_welcome(settings)
    if settings.kafka.security_protocol != "PLAINTEXT":
        require_rights(settings, rights(settings, Role.EXPORTER))
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, frame: stop.set())
    metrics = ProcessMetrics(Process.EXPORTER)
    report_expiry(settings.kafka, metrics)
    with served(metrics, listen or settings.metrics.listen or _LISTEN):
        export(settings, metrics, stop)
    log.info("exporter_stopped")
