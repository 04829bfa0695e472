"""`streamflow worker`: one process, one role, until SIGTERM or Ctrl-C."""

from __future__ import annotations

import asyncio
import gc
import importlib
import os
import signal
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import structlog
import typer

import streamflow
from streamflow.cli.output import examples
from streamflow.cli.processes import die_with_parent
from streamflow.cli.session import session_of
from streamflow.core.metrics import Metrics
from streamflow.core.tracing import Tracer
from streamflow.kafka.admin import require_topics
from streamflow.kafka.granted import require_rights
from streamflow.kafka.greeting import require_welcome
from streamflow.kafka.rights import Role, own_topics, rights
from streamflow.metrics.metric import Process
from streamflow.ops.log import configure_log
from streamflow.ops.run_log import RunLog
from streamflow.settings import Settings
from streamflow.tracing.exporter import exported_spans

app = typer.Typer(
    add_completion=False,
    help="Run one worker. SIGTERM or Ctrl-C shuts it down cleanly, a second one at once.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
log = structlog.get_logger(__name__)

GC_THRESHOLD = (200_000, 20, 100)  # records make no cycles; the default cost 4 to 5 us of every command (measured)

Parent = Annotated[int | None, typer.Option(hidden=True, help="stop when this parent process ends")]
Run = Callable[[Settings, asyncio.Event, Metrics | None, Tracer | None], Awaitable[None]]


@app.command(epilog=examples("worker engine", "worker engine --bootstrap kafka-1:9092,kafka-2:9092"))
def engine(ctx: typer.Context, parent: Parent = None) -> None:
    """Decides commands and advances runs. Engine workers share the partitions; start at most one for each."""
    _run(session_of(ctx).known, "engine", parent)


@app.command(epilog=examples("worker ingress"))
def ingress(ctx: typer.Context, parent: Parent = None) -> None:
    """Reads the topics of events and turns events into commands."""
    _run(session_of(ctx).known, "ingress", parent)


@app.command(
    epilog=examples("worker tasks", "worker tasks --lane default", "worker tasks --lane llm --lane slow-partner")
)
def tasks(
    ctx: typer.Context,
    lane: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="lane to serve; may be given several times; default: all configured lanes"),
    ] = None,
    parent: Parent = None,
) -> None:
    """Executes the calls of runs, by lane. Task workers share the partitions of a lane; start at most one for each."""
    _run(session_of(ctx).known, "tasks", parent, lanes=lane or ())


@app.command(epilog=examples("worker history"))
def history(ctx: typer.Context, parent: Parent = None) -> None:
    """Writes the history store. With a file, run one worker; with PostgreSQL, several share the partitions."""
    _run(session_of(ctx).known, "history", parent)


@app.command(epilog=examples("worker mirror"))
def mirror(ctx: typer.Context, parent: Parent = None) -> None:
    """Writes records of mirror.topics in Avro, with schemas in a registry. Mirror workers share the partitions."""
    _run(session_of(ctx).known, "mirror", parent)


def _run(settings: Settings, role: str, parent: int | None, **options: Any) -> None:
    lanes = options.get("lanes", ())
    run_process(settings, role, partial(_entry(role), **options), parent, lanes)


def run_process(settings: Settings, role: str, serve: Run, parent: int | None, lanes: Sequence[str] = ()) -> None:
    """Runs `serve` as this process's work until a signal asks it to stop. `parent` is the process whose end is ours, if
    there is one; `lanes` are those that it serves, if not all.

    Raises OperationError when Kafka does not let this process in, or its topics are not as they must be."""
    if parent is not None:
        die_with_parent(parent)
    run_log = RunLog(settings, role)
    configure_log(settings, copy=run_log, **({} if settings.log_format == "console" else {"role": role}))
    require_access(settings, Role(role), lanes)
    _use_uvloop()
    gc.freeze()  # what was imported lives as long as the process
    gc.set_threshold(*GC_THRESHOLD)
    run_log.start()
    try:
        with (
            process_metrics(settings, Process(role)) as metrics,
            exported_spans(settings, role, metrics) as tracer,
        ):
            asyncio.run(_until_stopped(serve, settings, role, metrics, tracer))
    finally:
        run_log.close()


def require_access(settings: Settings, role: Role, lanes: Sequence[str] = ()) -> None:
    """Returns when a broker lets this process in, grants what the role needs, and has the topics. Raises
    OperationError."""
    require_welcome(settings)
    if settings.kafka.security_protocol != "PLAINTEXT":
        require_rights(settings, rights(settings, role, lanes=lanes))
    require_topics(settings, own_topics(settings, role, lanes))


@contextmanager
def process_metrics(settings: Settings, process: Process) -> Iterator[Metrics | None]:
    """The metrics of this process while they are served; None: the settings do not ask for them."""
    if settings.metrics.listen is None:
        yield None
        return
    from streamflow.kafka.expiry import report_expiry
    from streamflow.metrics.collector import ProcessMetrics
    from streamflow.metrics.server import served

    metrics = ProcessMetrics(process)
    report_expiry(settings.kafka, metrics)
    with served(metrics, settings.metrics.listen):
        yield metrics


def _entry(role: str) -> Callable[..., Awaitable[None]]:
    """What serves `role`. Loaded by name: `agents` stands above the command line, and shows the running topology. A
    wheel has it inside the package, so that no other package of that name is taken for it."""
    installed = Path(streamflow.__file__).with_name("agents").is_dir()
    module = importlib.import_module(f"streamflow.agents.{role}" if installed else f"agents.{role}")
    run: Callable[..., Awaitable[None]] = module.run
    return run


def _use_uvloop() -> None:
    """Every event loop of the process, also the one in which Faust's consumer thread fetches."""
    try:
        import uvloop
    except ModuleNotFoundError:  # not made for Windows
        return
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())


async def _until_stopped(
    serve: Run, settings: Settings, role: str, metrics: Metrics | None, tracer: Tracer | None
) -> None:
    stop = asyncio.Event()

    def asked(signum: int) -> None:
        if stop.is_set():
            log.warning(
                "worker_stops_at_once",
                signal=signal.Signals(signum).name,
                consequence="unsaved work is repeated at the next start",
            )
            os._exit(128 + signum)
        log.info("worker_stopping", role=role, signal=signal.Signals(signum).name)
        stop.set()

    loop = asyncio.get_running_loop()
    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, asked, signum)
    log.info(
        "worker_started", role=role, pid=os.getpid(), environment=settings.environment, prefix=settings.topics.prefix
    )
    try:
        await serve(settings, stop, metrics, tracer)
    finally:
        for signum in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(signum)
    log.info("worker_stopped", role=role)
