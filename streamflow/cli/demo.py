"""`streamflow demo`: the main job in front of one's eyes, with a crash in the middle. Everything is temporary, nothing
stays running."""

from __future__ import annotations

import contextlib
import dataclasses
import heapq
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer
from confluent_kafka import OFFSET_END, Producer
from rich.console import Group
from rich.live import Live
from rich.markup import escape

from streamflow.cli import definition_files
from streamflow.cli.demo_authoring import authoring
from streamflow.cli.demo_check import Claim, claims
from streamflow.cli.demo_orders import Wave, wave
from streamflow.cli.demo_stage import DemoStage, perform
from streamflow.cli.examples import example_folder
from streamflow.cli.output import examples
from streamflow.cli.runs import timeline
from streamflow.cli.runs_watch import Board
from streamflow.definition.catalog import Catalog
from streamflow.definition.content import canonical, event_names
from streamflow.definition.mermaid import mermaid
from streamflow.definition.model import Definition
from streamflow.definition.outline import outline
from streamflow.engine.transitions import WaitTimedOut
from streamflow.kafka.connection import confluent_producer_config
from streamflow.kafka.publication import publish
from streamflow.ops.history import open_runs, read_history, transitions

app = typer.Typer(add_completion=False, rich_markup_mode=None)
app.command("authoring", epilog=examples("demo authoring", "demo authoring --keep"))(authoring)

_FINISH_S = 60.0


@app.callback(invoke_without_command=True, epilog=examples("demo", "demo --keep", "demo --kill", "demo --orders 500"))
def demo(
    ctx: typer.Context,
    kill: Annotated[
        bool | None,
        typer.Option(
            "--kill/--no-kill", help="kill the engine while runs are open; default: ask at a terminal, otherwise yes"
        ),
    ] = None,
    orders: Annotated[int, typer.Option(min=8, max=5000, help="orders of each of the two waves")] = 150,
    keep: Annotated[bool, typer.Option("--keep", help="keep running until Ctrl-C, with the pages of the runs")] = False,
) -> None:
    """Shows Streamflow in less than a minute: a definition, events, runs, and an engine that is killed while runs are
    open. A browser shows the runs. Needs Java; starts a Kafka of its own in a temporary folder and removes it
    afterwards. The exit code is 0 if nothing was lost."""
    if ctx.invoked_subcommand is None:
        perform(lambda stage: _Show(stage).play(kill, orders), keep=keep)


class _Show:
    """One performance."""

    def __init__(self, stage: DemoStage) -> None:
        self.stage = stage
        self._console = self.stage.console
        self._board = Board()
        self._producer: Producer

    def play(self, kill: bool | None, orders: int) -> bool:
        """The whole of it. True if every claim holds."""
        began = time.monotonic()
        definition, catalog, place = _order_fulfilment()
        self.stage.title("1  Kafka, topics, an engine, an ingress and a task worker")
        self._start(catalog)
        self.stage.title("2 A definition: what should happen with an order")
        self.stage.lines(outline(definition, catalog))
        self._diagram(definition, catalog)
        self._publish(definition, catalog, place)
        self.stage.title(f"3  {orders} orders come in, most are paid")
        first, second = wave(catalog, "A", orders), wave(catalog, "B", orders)
        self._run(first, kill_at_s=None)
        self._timeline("A-003")
        self.stage.title(f"4  {orders} more orders, and a crash")
        killed = self._asked() if kill is None else kill
        self._run(second, kill_at_s=second.lasts_s / 3 if killed else None)
        self.stage.title("5  Was anything lost? Read from the topics")
        found = claims(self.stage.settings, first.ends | second.ends, "shipping")
        for claim in found:
            self._console.print(f"  {'[green]yes[/]' if claim.holds else '[bold red]NO [/]'}  {escape(claim.text)}")
        self._farewell(found, time.monotonic() - began)
        return all(claim.holds for claim in found)

    def _start(self, catalog: Catalog) -> None:
        self.stage.start_kafka(topic for spec in catalog.events for topic in spec.topics)
        self._producer = Producer(confluent_producer_config(self.stage.settings, "demo") | {"linger.ms": 5})
        self.stage.start_workers()

    def _diagram(self, definition: Definition, catalog: Catalog) -> None:
        self._console.print(
            "\n  The same as Mermaid text; paste it at https://mermaid.live or into any Markdown that draws Mermaid:\n"
        )
        text = "\n".join(
            line for line in mermaid(definition, catalog).splitlines() if not line.lstrip().startswith("%%")
        )
        self.stage.lines(text)

    def _publish(self, definition: Definition, catalog: Catalog, place: Path) -> None:
        entries = {
            spec.name: spec.model_dump(mode="json", by_alias=True, exclude_none=True)
            for spec in catalog.events
            if spec.name in event_names(definition)
        }
        content = canonical(definition, catalog)
        done = publish(
            self.stage.settings, name=definition.name, version=definition.version, content=content, events=entries
        )
        self._console.print(f"\n  [bold]$ streamflow definitions publish {place}[/]")
        self._console.print(
            f"  {done.name}@{done.version} published: sha256 {done.sha[:12]}. From now on, matching events start runs."
        )

    def _run(self, sent: Wave, kill_at_s: float | None) -> None:
        """Sends a wave, and watches its runs until all have ended."""
        left, open_orders, reminded = list(sent.due), set(sent.ends), dict(sent.reminded)
        began, told, killed_at, back_after_s = time.monotonic(), 0.0, None, None
        engine = self.stage.workers.workers["engine"]
        with open_runs(self.stage.settings, start=OFFSET_END) as reading, self._live() as live:
            while left or open_orders:
                now_s = time.monotonic() - began
                while left and left[0].at_s <= now_s:
                    due = heapq.heappop(left)
                    self._producer.produce(
                        due.topic, due.record.value, due.record.key, headers=dict(due.record.headers)
                    )
                self._producer.poll(0)
                if kill_at_s is not None and now_s >= kill_at_s:
                    kill_at_s, killed_at = None, time.monotonic()
                    self._say(
                        live,
                        f"  [bold red]kill -9 {engine.process.pid}[/]  the engine is killed; {len(open_orders)} orders "
                        "are open",
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
                            f"  [bold green]back after {back_after_s:.1f} s[/]  process {engine.process.pid} continues "
                            "where the killed one stopped",
                        )
                    if isinstance(transition.data, WaitTimedOut) and transition.key in reminded:
                        paid = reminded.pop(transition.key)
                        heapq.heappush(left, dataclasses.replace(paid, at_s=now_s + paid.at_s))
                    run = self._board.runs.by_id[transition.run]
                    if run.status == "completed":
                        open_orders.discard(run.key)
                self.stage.workers.tend()
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
        self.stage.lines(timeline(read_history(self.stage.settings, run.run)))

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
            "    streamflow demo --keep                       the same, and it stays until Ctrl-C, with its pages\n"
            "    streamflow dev                               all of this on your machine, until Ctrl-C\n"
            "    streamflow examples copy order-fulfilment    what you have just seen, to change and to publish\n"
            "    README.md, docs/quickstart.md                your own events, in five minutes"
        )


def _order_fulfilment() -> tuple[Definition, Catalog, Path]:
    """The example, and the folder in which people find it."""
    place = example_folder("order-fulfilment")
    return (
        definition_files.read_definition(place),
        definition_files.read_catalog(place),
        Path("definitions") / place.name,
    )
