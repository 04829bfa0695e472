"""`streamflow dev`: all of Streamflow on one machine, until Ctrl-C."""

from __future__ import annotations

import signal
import threading
from typing import Annotated

import typer
from rich.text import Text

from streamflow.cli import output
from streamflow.cli.dev_discovery import SidecarPlace, announced, approval_key, remembered_for_dev, running
from streamflow.cli.output import examples
from streamflow.cli.processes import GRACE_S, Workers, environment
from streamflow.cli.session import session_of
from streamflow.errors import OperationError
from streamflow.kafka.admin import apply
from streamflow.kafka.embedded.broker import open_broker
from streamflow.settings import Settings

app = typer.Typer(add_completion=False, rich_markup_mode=None)

_COLORS = ("cyan", "magenta", "green", "blue", "bright_magenta", "yellow")
_TEND_S = 0.2


@app.command(epilog=examples("dev", "dev --engines 2", "dev --bootstrap kafka-1:9092"))
def dev(ctx: typer.Context, engines: Annotated[int, typer.Option(min=1, max=16, help="engine workers")] = 1) -> None:
    """Runs a Kafka (unless --bootstrap names one), its topics and all workers, and shows their logs. Ctrl-C stops
    everything. Records and state are kept in the folder `var`, and the next `dev` continues with them. Address, prefix
    and environment are kept there as well: later commands in this folder use the same ones."""
    settings = remembered_for_dev(session_of(ctx).given)
    if settings.kafka.bootstrap_servers is None and running(settings):
        raise OperationError(
            "dev_runs",
            f"expected to be the only `streamflow dev` in {settings.broker_dir} but one runs. Stop it first.",
            retryable=False,
        )
    stop = threading.Event()
    # Ctrl-C must not interrupt the clean-up; a second one must.
    previous = {
        number: signal.signal(number, lambda number, frame: _stop(stop)) for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        output.note("starting" if settings.kafka.bootstrap_servers else "starting Kafka")
        with open_broker(settings, output.note) as bootstrap, announced(settings, bootstrap):
            if not stop.is_set():
                _serve(with_bootstrap(settings, bootstrap), bootstrap, engines, stop)
            output.note("stopping Kafka" if settings.kafka.bootstrap_servers is None else "stopped")
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def with_bootstrap(settings: Settings, bootstrap: str) -> Settings:
    """The same settings on another Kafka."""
    return settings.model_copy(update={"kafka": settings.kafka.model_copy(update={"bootstrap_servers": bootstrap})})


def pages_at(url: str) -> str:
    """Where people look at what runs, for them."""
    from streamflow.sidecar.pages import are_built  # with Starlette: only for those who need it

    if are_built():
        return f"Open {url}/ in a browser to watch."
    return "The pages are not built in this installation. Build them: make ui."


def _stop(stop: threading.Event) -> None:
    if stop.is_set():
        raise KeyboardInterrupt
    stop.set()


def _serve(settings: Settings, bootstrap: str, engines: int, stop: threading.Event) -> None:
    apply(settings)
    names = [
        "ingress",
        *(f"engine-{number}" if engines > 1 else "engine" for number in range(engines)),
        "tasks",
        "history",
        *(("mirror",) if settings.mirror.topics else ()),
        "sidecar",
    ]
    sidecar = SidecarPlace(settings)
    quick = {"STREAMFLOW_TASKS__DRAIN_S": str(min(settings.tasks.drain_s, GRACE_S / 2))}
    own_keys = sidecar.environment() | approval_key(settings)
    workers = Workers(environment(settings, bootstrap) | own_keys | quick, _Voices(names).hear)
    try:
        for name in names:
            own = {"STREAMFLOW_STATE_DIR": str(settings.state_dir / name)} if name.startswith("engine-") else {}
            workers.start(name, name.partition("-")[0], **own)
        output.say(
            f"The environment is {settings.environment}, its topics are {settings.topics.prefix}*. Kafka is at "
            f"{bootstrap}, the sidecar at {sidecar.url}; workers: {', '.join(names)}. Ctrl-C ends "
            "everything."
        )
        output.say(pages_at(sidecar.url))
        output.say(
            "In another terminal, in this folder: streamflow definitions publish definitions/order-fulfilment "
            "--create-topics"
        )
        while not stop.wait(_TEND_S):
            workers.tend()
    finally:
        output.note("stopping the workers")
        workers.stop()


class _Voices:
    """Lines of several processes on one stderr, each with its name in its colour."""

    def __init__(self, names: list[str]) -> None:
        self._console = output.err()
        self._lock = threading.Lock()
        self._width = max(len(name) for name in names)
        self._styles = {name: _COLORS[place % len(_COLORS)] for place, name in enumerate(names)}

    def hear(self, name: str, line: str) -> None:
        with self._lock:
            self._console.print(Text.assemble((f"{name:<{self._width}} | ", self._styles[name]), line))
