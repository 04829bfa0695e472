"""What demos share: a folder, a Kafka and workers that go with them, and a console that tells the story."""

from __future__ import annotations

import contextlib
import signal
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import typer
from rich.console import Console
from rich.markup import escape
from rich.text import Text

from streamflow.cli import output
from streamflow.cli.demo_pages import LISTENING, DemoPages
from streamflow.cli.dev import with_bootstrap
from streamflow.cli.processes import Workers, environment
from streamflow.errors import OperationError
from streamflow.kafka.admin import Admin, apply
from streamflow.kafka.embedded.broker import EmbeddedBroker
from streamflow.kafka.topics import Topic
from streamflow.settings import Kafka, Settings, Topics

PARTITIONS = 4
_READY_S = 60.0
_TEND_S = 0.2
_SPEED = {
    # Small and quick: a crash shall be over in seconds, and limits fire soon after they are due.
    "STREAMFLOW_ENGINE__INSTANCE_ID": "demo",
    "STREAMFLOW_INGRESS__WATERMARK_S": "0.25",
    "STREAMFLOW_LOG_FORMAT": "console",
}


def perform(play: Callable[[DemoStage], bool], *, keep: bool) -> None:
    """Plays a demo in a folder that goes with it; with `keep` everything stays until Ctrl-C. Raises typer.Exit with 1
    unless `play` gives true, and OperationError."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # the clean-up is for both
    with tempfile.TemporaryDirectory(prefix="streamflow-demo-") as folder, contextlib.ExitStack() as stack:
        stage = DemoStage(stack, Path(folder))
        try:
            ok = play(stage)
        except OperationError:
            stage.tell_logs()
            raise
        if not ok:
            stage.tell_logs()
        if keep:
            stage.stay()
    if not ok:
        raise typer.Exit(1)


class DemoStage:
    """Where a demo plays. Everything that it starts ends with `stack`."""

    def __init__(self, stack: contextlib.ExitStack, folder: Path) -> None:
        self.console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)
        self.settings = Settings(
            kafka=Kafka(),
            topics=Topics(partitions=PARTITIONS),
            state_dir=folder / "state",
            broker_dir=folder / "broker",
        )
        self.pages = DemoPages(self.settings, folder)
        self.workers: Workers
        self._serves = False
        self.folder = folder
        self.stack = stack
        self._logs: deque[str] = deque(maxlen=60)

    def start_kafka(self, topics: Iterable[str]) -> None:
        """Starts Kafka with the fixed topics and with these. Raises OperationError."""
        with self.busy("starting Kafka"):
            broker = self.stack.enter_context(EmbeddedBroker(self.settings.broker_dir, progress=self._note))
            self.settings = with_bootstrap(self.settings, broker.bootstrap_servers)
        names = sorted(set(topics))
        with self.busy("creating topics"):
            apply(self.settings)
            Admin(self.settings).create([Topic("", name, PARTITIONS, 1, ()) for name in names])
        self.console.print(f"  Kafka is at {broker.bootstrap_servers}; the shop's topics are {', '.join(names)}")

    def start_workers(self, **own: str) -> None:
        """Starts ingress, engine, task worker and the pages, with these variables, and waits until they are ready.
        Raises OperationError (`demo_stuck`)."""
        bootstrap = self.settings.kafka.bootstrap_servers
        assert bootstrap is not None
        self.workers = Workers(environment(self.settings, bootstrap) | _SPEED | own, self._hear)
        self.stack.callback(self.workers.stop)
        for role in ("ingress", "engine", "tasks"):
            self.workers.start(role, role)
        self.pages.start(self.workers)
        self._serves = "sidecar" in self.workers.workers
        with self.busy("waiting for the workers"):
            self.until(self._ready, _READY_S, "the workers to be ready")
        workers = self.workers.workers.values()
        pids = ", ".join(f"{worker.name} is process {worker.process.pid}" for worker in workers)
        self.console.print(f"  {pids}\n  {self.pages.told}")

    def stay(self) -> None:
        """Keeps everything running until Ctrl-C or SIGTERM, with which all of it ends."""
        self.console.print(f"\n  Everything stays until Ctrl-C. {self.pages.told}")
        with contextlib.suppress(KeyboardInterrupt):
            while True:
                self.workers.tend()
                time.sleep(_TEND_S)

    def tell_logs(self) -> None:
        """The end of what the workers said."""
        if self._logs:
            output.err().print(escape("The workers' last lines:\n" + "\n".join(self._logs)))

    def title(self, text: str) -> None:
        """A part of the story begins."""
        self.console.print()
        self.console.rule(f"[bold]{text}", align="left", characters="─")

    def lines(self, text: str) -> None:
        """Text as it is, set in a little; lines that are too long for the terminal go on below, so that they can be
        copied whole."""
        self.console.print(Text("\n".join(f"    {line}" for line in text.splitlines())), soft_wrap=True)

    @contextlib.contextmanager
    def busy(self, what: str) -> Iterator[None]:
        """Says what is waited for."""
        if not self.console.is_terminal:
            self.console.print(f"  {what}")
            yield
            return
        with self.console.status(what):
            yield

    def until(self, condition: Callable[[], bool], timeout_s: float, what: str) -> None:
        """Waits for it. Raises OperationError (`demo_stuck`)."""
        deadline = time.monotonic() + timeout_s
        while not condition():
            self.workers.tend()
            if time.monotonic() > deadline:
                raise OperationError(
                    "demo_stuck",
                    f"expected {what} within {timeout_s:.0f} s but they are not. Read their last lines above.",
                )
            time.sleep(0.05)

    def _ready(self) -> bool:
        lines = list(self._logs)  # the workers' listeners add to it
        opened = {
            line.split("partition=")[1].split()[0]
            for line in lines
            if "partition_open " in line and "partition=" in line
        }
        wanted = ["versions_taken", *([LISTENING] if self._serves else [])]
        return len(opened) >= PARTITIONS and all(any(word in line for line in lines) for word in wanted)

    def _note(self, text: str) -> None:
        self.console.print(f"  [dim]{escape(text)}[/]")

    def _hear(self, name: str, line: str) -> None:
        self._logs.append(f"{name}: {line}")
