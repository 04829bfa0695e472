"""`streamflow runs watch`: transitions of runs as they happen."""

from __future__ import annotations

import sys
import time
from typing import Annotated

import typer
from confluent_kafka import OFFSET_BEGINNING, OFFSET_END
from rich.console import Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from streamflow.cli import output
from streamflow.cli.session import session_of
from streamflow.cli.timeline import description
from streamflow.engine.transitions import Transition
from streamflow.errors import Rejected
from streamflow.kafka.publication import read_log
from streamflow.kafka.unknown_names import require_definition
from streamflow.ops.history import Runs, RunSummary, open_runs, transitions
from streamflow.settings import Settings
from streamflow.terminal import visible

_SHOWN = 15
_STYLES = {"open": "yellow", "parked": "bold red", "completed": "green", "failed": "red", "cancelled": "dim"}


def watch(
    ctx: typer.Context,
    definition: Annotated[str | None, typer.Option("--definition", help="only runs of this definition")] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="begin with the oldest transition instead of the next one")
    ] = False,
    limit: Annotated[int | None, typer.Option(min=1, help="end after this number of transitions")] = None,
    wait_s: Annotated[
        float | None, typer.Option("--wait", min=0, help="end when nothing has arrived for this many seconds")
    ] = None,
) -> None:
    """Shows transitions as they happen, until Ctrl-C: as a table in a terminal; otherwise, or with --json, one line
    each."""
    session = session_of(ctx)
    if definition is not None:
        _warn_if_unknown(session.installation, definition)
    live = sys.stdout.isatty() and not session.json
    board = Board()
    heard, count = time.monotonic(), 0
    with open_runs(session.installation, start=OFFSET_BEGINNING if everything else OFFSET_END) as reading:
        output.note("watching runs; Ctrl-C ends")
        with Live(board.drawn(), console=output.screen(), auto_refresh=False) if live else _Plain() as screen:
            while (limit is None or count < limit) and (wait_s is None or time.monotonic() - heard <= wait_s):
                for transition in transitions(reading.follow()):
                    if definition is not None and transition.definition != definition:
                        continue
                    if not board.take(transition) or (limit is not None and count >= limit):
                        continue
                    heard, count = time.monotonic(), count + 1
                    if not live:
                        _line(transition, as_json=session.json)
                if isinstance(screen, Live):
                    screen.update(board.drawn(), refresh=True)


def _warn_if_unknown(settings: Settings, definition: str) -> None:
    """A warning that no run of `definition` can come before it is published."""
    try:
        require_definition(read_log(settings), definition)
    except Rejected as error:
        output.warn(error.message)


class _Plain:
    """Where there is no terminal to draw on."""

    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None: ...


class Board:
    """Counts of runs, and the runs that moved last with what happened, as a picture for a terminal."""

    def __init__(self) -> None:
        self.runs = Runs()
        self._last: dict[str, tuple[RunSummary, Transition]] = {}

    def take(self, transition: Transition) -> bool:
        """Takes the next transition in; False for a copy."""
        run = self.runs.take(transition)
        if run is None:
            return False
        self._last.pop(run.run, None)
        self._last[run.run] = (run, transition)
        while len(self._last) > _SHOWN:
            del self._last[next(iter(self._last))]
        return True

    def drawn(self) -> RenderableType:
        """The picture as it is now."""
        counts = self.runs.counts()
        head = Text.assemble(
            (f"{len(self.runs.by_id)} runs  ", "bold"),
            *((f"{count} {status}  ", _STYLES[status]) for status, count in counts.items() if count),
        )
        table = Table(box=None, pad_edge=False, header_style="dim")
        for column in ("moved", "key", "status", "step", "what happened"):
            table.add_column(column, no_wrap=True, overflow="ellipsis", ratio=1 if column == "what happened" else None)
        for run, transition in reversed(self._last.values()):
            status = Text(run.status, _STYLES[run.status])
            table.add_row(
                output.local_time(transition.at_ms)[11:],
                Text(visible(run.key)),
                status,
                Text(transition.address),
                Text(description(transition)),
            )
        return Group(head, table)


def _line(transition: Transition, *, as_json: bool) -> None:
    if as_json:
        output.say_json({"type": transition.type} | output.plain(transition), line=True)
        return
    step = f" {transition.step}" if transition.step else ""
    output.say(
        f"{output.local_time(transition.at_ms)} {transition.run} {transition.seq:>3} {visible(transition.key)}{step}: "
        f"{description(transition)}"
    )
