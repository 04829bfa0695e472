"""`streamflow demo`: the main job in front of one's eyes, with a crash in the middle. Everything is temporary, nothing
stays running."""

from __future__ import annotations

import contextlib
import signal
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated

import typer
from confluent_kafka import OFFSET_END, Producer
from rich.console import Console, Group
from rich.live import Live
from rich.markup import escape
from rich.text import Text

from streamflow.cli import output, sources
from streamflow.cli.demo_check import Claim, claims
from streamflow.cli.demo_orders import Wave, wave
from streamflow.cli.dev import with_bootstrap
from streamflow.cli.examples import example_folder
from streamflow.cli.outline import outline
from streamflow.cli.output import examples
from streamflow.cli.processes import Workers, environment
from streamflow.cli.runs import timeline
from streamflow.cli.runs_watch import Board
from streamflow.definition.catalog import Catalog
from streamflow.definition.content import canonical, event_names
from streamflow.definition.mermaid import mermaid
from streamflow.definition.model import Definition
from streamflow.errors import OperationError
from streamflow.kafka.admin import Admin, apply
from streamflow.kafka.broker import EmbeddedBroker
from streamflow.kafka.connection import confluent_producer_config
from streamflow.kafka.publication import publish
from streamflow.kafka.topics import Topic
from streamflow.ops.history import open_runs, read_history, transitions
from streamflow.settings import Kafka, Settings, Topics

app = typer.Typer(rich_markup_mode=None)

_PARTITIONS = 4
_READY_S = 60.0
_FINISH_S = 45.0
_SPEED = {
    # Small and quick: a crash shall be over in seconds, and limits fire soon after they are due.
    "STREAMFLOW_ENGINE__INSTANCE_ID": "demo",
    "STREAMFLOW_INGRESS__WATERMARK_S": "0.25",
    "STREAMFLOW_LOG_FORMAT": "console",
}


@app.command(epilog=examples("demo", "demo --kill", "demo --orders 500"))
def demo(
    kill: Annotated[
        bool | None,
        typer.Option("--kill/--no-kill", help="kill the engine in mid-flow; asked at a terminal, done elsewhere"),
    ] = None,
    orders: Annotated[int, typer.Option(min=8, max=5000, help="orders of each of the two waves")] = 150,
) -> None:
    """Shows Streamflow at work in less than a minute: a definition, events, runs, and an engine that is killed in the
    middle.

    Needs Java; starts its own Kafka in a temporary folder and takes it away again. The exit code tells whether nothing
    was lost."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # the clean-up is for both
    with tempfile.TemporaryDirectory(prefix="streamflow-demo-") as folder, contextlib.ExitStack() as stack:
        show = _Show(stack, Path(folder))
        try:
            ok = show.play(kill, orders)
        except OperationError:
            show.tell_logs()
            raise
        if not ok:
            show.tell_logs()
    if not ok:
        raise typer.Exit(1)


class _Show:
    """One performance."""

    def __init__(self, stack: contextlib.ExitStack, folder: Path) -> None:
        self._stack = stack
        self._folder = folder
        self._console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)
        self._logs: deque[str] = deque(maxlen=60)
        self._board = Board()
        self._settings = Settings(
            kafka=Kafka(),
            topics=Topics(partitions=_PARTITIONS),
            state_dir=folder / "state",
            broker_dir=folder / "broker",
        )
        self._workers: Workers
        self._producer: Producer

    def play(self, kill: bool | None, orders: int) -> bool:
        """The whole of it. True if every claim holds."""
        began = time.monotonic()
        definition, catalog, place = _order_fulfilment()
        self._title("1  Kafka, topics, an engine, an ingress and a task worker")
        self._start(catalog)
        self._title("2  A definition: what shall happen with an order")
        self._lines(outline(definition, catalog))
        self._diagram(definition, catalog)
        self._publish(definition, catalog, place)
        self._title(f"3  {orders} orders come in, most are paid")
        first, second = wave(catalog, "A", orders), wave(catalog, "B", orders)
        self._run(first, kill_at_s=None)
        self._timeline("A-003")
        self._title(f"4  {orders} more orders, and a crash")
        killed = self._asked() if kill is None else kill
        self._run(second, kill_at_s=second.lasts_s / 3 if killed else None)
        self._title("5  Was anything lost? Read from the topics, as anybody could")
        found = claims(self._settings, first.ends | second.ends, "shipping")
        for claim in found:
            self._console.print(f"  {'[green]yes[/]' if claim.holds else '[bold red]NO [/]'}  {escape(claim.text)}")
        self._farewell(found, time.monotonic() - began)
        return all(claim.holds for claim in found)

    def tell_logs(self) -> None:
        """The end of what the workers said."""
        if self._logs:
            output.err().print(escape("The workers' last lines:\n" + "\n".join(self._logs)))

    def _title(self, text: str) -> None:
        self._console.print()
        self._console.rule(f"[bold]{text}", align="left", characters="─")

    def _start(self, catalog: Catalog) -> None:
        with self._busy("starting Kafka"):
            broker = self._stack.enter_context(EmbeddedBroker(self._settings.broker_dir, progress=self._note))
            self._settings = with_bootstrap(self._settings, broker.bootstrap_servers)
        with self._busy("creating topics"):
            apply(self._settings)
            names = sorted({topic for spec in catalog.events for topic in spec.topics})
            Admin(self._settings).create([Topic("", name, _PARTITIONS, 1, ()) for name in names])
            self._producer = Producer(confluent_producer_config(self._settings, "demo") | {"linger.ms": 5})
        self._console.print(f"  Kafka is at {broker.bootstrap_servers}; the shop's topics are {', '.join(names)}")
        self._workers = Workers(environment(self._settings, broker.bootstrap_servers) | _SPEED, self._hear)
        self._stack.callback(self._workers.stop)
        for role in ("ingress", "engine", "tasks"):
            self._workers.start(role, role)
        with self._busy("waiting for the workers"):
            self._until(self._ready, _READY_S, "the workers to be ready")
        pids = ", ".join(f"{worker.name} is process {worker.process.pid}" for worker in self._workers.workers.values())
        self._console.print(f"  {pids}")

    def _ready(self) -> bool:
        opened = {
            line.split("partition=")[1].split()[0]
            for line in self._logs
            if "partition_open " in line and "partition=" in line
        }
        return len(opened) >= _PARTITIONS and any("versions_taken" in line for line in self._logs)

    def _diagram(self, definition: Definition, catalog: Catalog) -> None:
        self._console.print(
            "\n  The same as Mermaid text; paste it at https://mermaid.live or into any Markdown that draws Mermaid:\n"
        )
        text = "\n".join(
            line for line in mermaid(definition, catalog).splitlines() if not line.lstrip().startswith("%%")
        )
        self._lines(text)

    def _lines(self, text: str) -> None:
        """Text as it is, set in a little; lines that are too long for the terminal go on below, so that they can be
        copied whole."""
        self._console.print(Text("\n".join(f"    {line}" for line in text.splitlines())), soft_wrap=True)

    def _publish(self, definition: Definition, catalog: Catalog, place: Path) -> None:
        entries = {
            spec.name: spec.model_dump(mode="json", by_alias=True, exclude_none=True)
            for spec in catalog.events
            if spec.name in event_names(definition)
        }
        content = canonical(definition, catalog)
        done = publish(
            self._settings, name=definition.name, version=definition.version, content=content, events=entries
        )
        self._console.print(f"\n  [bold]$ streamflow definitions publish {place}[/]")
        self._console.print(
            f"  {done.name}@{done.version} published: sha256 {done.sha[:12]}. From now on, matching events start runs."
        )

    def _run(self, sent: Wave, kill_at_s: float | None) -> None:
        """Sends a wave, and watches its runs until all have ended."""
        left, open_orders = deque(sent.due), set(sent.ends)
        began, told, killed_at, back_after_s = time.monotonic(), 0.0, None, None
        engine = self._workers.workers["engine"]
        with open_runs(self._settings, start=OFFSET_END) as reading, self._live() as live:
            while left or open_orders:
                now_s = time.monotonic() - began
                while left and left[0].at_s <= now_s:
                    due = left.popleft()
                    self._producer.produce(
                        due.topic, due.record.value, due.record.key, headers=dict(due.record.headers)
                    )
                self._producer.poll(0)
                if kill_at_s is not None and now_s >= kill_at_s:
                    kill_at_s, killed_at = None, time.monotonic()
                    self._say(
                        live,
                        f"  [bold red]kill -9 {engine.process.pid}[/]  the engine is dead; {len(open_orders)} orders "
                        "are on their way",
                    )
                    engine.process.kill()
                    engine.process.wait()
                for transition in transitions(reading.follow(0.05)):
                    if not self._board.take(transition):
                        continue
                    if killed_at is not None and back_after_s is None and engine.starts > 1:
                        back_after_s = time.monotonic() - killed_at
                        self._say(
                            live,
                            f"  [bold green]back after {back_after_s:.1f} s[/]  process {engine.process.pid} goes on "
                            "where the dead one was",
                        )
                    run = self._board.runs.by_id[transition.run]
                    if run.status == "completed":
                        open_orders.discard(run.key)
                self._workers.tend()
                if live is not None:
                    live.update(self._board.drawn(), refresh=True)
                elif now_s - told >= 2:
                    told = now_s
                    self._console.print(f"  {self._counted()}")
                if now_s > sent.lasts_s + _FINISH_S:
                    return
        self._producer.flush(10)
        self._console.print(f"  {self._counted()}")

    def _counted(self) -> str:
        counts = self._board.runs.counts()
        return f"{len(self._board.runs.by_id)} runs: " + ", ".join(
            f"{count} {status}" for status, count in counts.items() if count
        )

    @contextlib.contextmanager
    def _live(self) -> Iterator[Live | None]:
        if not self._console.is_terminal:
            yield None
            return
        with Live(Group(), console=self._console, auto_refresh=False, transient=True) as live:
            yield live

    def _say(self, live: Live | None, text: str) -> None:
        (live.console if live is not None else self._console).print(text)

    def _timeline(self, key: str) -> None:
        run = next((run for run in self._board.runs.by_id.values() if run.key == key), None)
        if run is None:
            return
        self._console.print(
            f"\n  What happened to order {key}, whose customer had to be reminded:\n\n  [bold]$ streamflow runs show "
            f"{run.run}[/]"
        )
        self._lines(timeline(read_history(self._settings, run.run)))

    def _asked(self) -> bool:
        if not (sys.stdin.isatty() and sys.stdout.isatty()):
            return True
        return typer.confirm("  Kill the engine with -9 while the orders come in?", default=True)

    def _farewell(self, found: list[Claim], took_s: float) -> None:
        self._console.print()
        if not all(claim.holds for claim in found):
            self._console.print(f"  [bold red]Something was lost.[/] ({took_s:.0f} s)")
            return
        self._console.print(
            f"  [bold green]Nothing was lost.[/] ({took_s:.0f} s)\n\n"
            "  Next:\n"
            "    streamflow dev                               all of this on your machine, until Ctrl-C\n"
            "    streamflow examples copy order-fulfilment    what you have just seen, to change and to publish\n"
            "    README.md, docs/quickstart.md                your own events, in five minutes"
        )

    @contextlib.contextmanager
    def _busy(self, what: str) -> Iterator[None]:
        if not self._console.is_terminal:
            self._console.print(f"  {what}")
            yield
            return
        with self._console.status(what):
            yield

    def _note(self, text: str) -> None:
        self._console.print(f"  [dim]{escape(text)}[/]")

    def _hear(self, name: str, line: str) -> None:
        self._logs.append(f"{name}: {line}")

    def _until(self, condition: Callable[[], bool], timeout_s: float, what: str) -> None:
        deadline = time.monotonic() + timeout_s
        while not condition():
            self._workers.tend()
            if time.monotonic() > deadline:
                raise OperationError(
                    "demo_stuck",
                    f"expected {what} within {timeout_s:.0f} s but they are not. Read their last lines above.",
                )
            time.sleep(0.05)


def _order_fulfilment() -> tuple[Definition, Catalog, Path]:
    """The example, and the folder in which people find it."""
    place = example_folder("order-fulfilment")
    return sources.read_definition(place), sources.read_catalog(place), Path("definitions") / place.name
