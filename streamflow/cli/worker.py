"""`streamflow worker`: one process, one role, until it is told to stop."""

from __future__ import annotations

import asyncio
import gc
import importlib
import os
import signal
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import structlog
import typer

import streamflow
from streamflow.cli.output import examples
from streamflow.cli.processes import die_with_parent
from streamflow.cli.session import session_of
from streamflow.kafka.admin import require_topics
from streamflow.ops.log import configure_log
from streamflow.settings import Settings

app = typer.Typer(
    help="Run one worker. SIGTERM or Ctrl-C ends it in order, a second one at once.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
log = structlog.get_logger(__name__)

GC_THRESHOLD = (200_000, 20, 100)  # records make no cycles; the default cost 4 to 5 us of every command (measured)

Parent = Annotated[int | None, typer.Option(hidden=True, help="end when this process, which started us, does")]
Run = Callable[[Settings, asyncio.Event], Awaitable[None]]


@app.command(epilog=examples("worker engine", "worker engine --bootstrap kafka-1:9092,kafka-2:9092"))
def engine(ctx: typer.Context, parent: Parent = None) -> None:
    """Decides commands and moves runs on. Start as many as you like, up to the partitions; they share them."""
    _run(session_of(ctx).settings, "engine", parent)


@app.command(epilog=examples("worker ingress"))
def ingress(ctx: typer.Context, parent: Parent = None) -> None:
    """Reads the topics that definitions name and turns events into commands."""
    _run(session_of(ctx).settings, "ingress", parent)


@app.command(
    epilog=examples("worker tasks", "worker tasks --lane default", "worker tasks --lane llm --lane slow-partner")
)
def tasks(
    ctx: typer.Context,
    lane: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="serve this lane; may be given again; all configured ones by default"),
    ] = None,
    parent: Parent = None,
) -> None:
    """Does what runs ask of the outside world, lane by lane. Start as many as you like, up to the partitions of a
    lane."""
    _run(session_of(ctx).settings, "tasks", parent, lanes=lane or ())


def _run(settings: Settings, role: str, parent: int | None, **options: Any) -> None:
    run_process(settings, role, partial(_entry(role), **options), parent)


def run_process(settings: Settings, role: str, serve: Run, parent: int | None) -> None:
    """Runs `serve` as this process's work until a signal asks it to stop. `parent` is the process whose end is ours, if
    there is one."""
    if parent is not None:
        die_with_parent(parent)
    configure_log(settings, **({} if settings.log_format == "console" else {"role": role}))
    require_topics(settings)
    _use_uvloop()
    gc.freeze()  # what was imported lives as long as the process
    gc.set_threshold(*GC_THRESHOLD)
    asyncio.run(_until_stopped(serve, settings, role))


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


async def _until_stopped(serve: Run, settings: Settings, role: str) -> None:
    stop = asyncio.Event()

    def asked(signum: int) -> None:
        if stop.is_set():
            log.warning(
                "worker_stops_at_once",
                signal=signal.Signals(signum).name,
                consequence="what is not saved is done again at the next start",
            )
            os._exit(128 + signum)
        log.info("worker_stopping", role=role, signal=signal.Signals(signum).name)
        stop.set()

    loop = asyncio.get_running_loop()
    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, asked, signum)
    log.info("worker_started", role=role, pid=os.getpid(), prefix=settings.topics.prefix)
    try:
        await serve(settings, stop)
    finally:
        for signum in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(signum)
    log.info("worker_stopped", role=role)
