"""`streamflow lag`: how far the workers are behind."""

from __future__ import annotations

import sys
import time
from contextlib import nullcontext
from dataclasses import asdict
from typing import Annotated, Any

import typer
from rich.live import Live
from rich.table import Table
from rich.text import Text

from streamflow.cli import output
from streamflow.cli.output import examples
from streamflow.cli.session import Session, session_of
from streamflow.kafka.publication import read_log
from streamflow.kafka.refusals import right_missing
from streamflow.kafka.topic_states import TopicState
from streamflow.ops.lag import PartitionLag, measure_lag
from streamflow.ops.lag_rows import Drains, Rates, rows_of
from streamflow.terminal import visible

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command(epilog=examples("lag", "lag --partitions", "lag --live", "lag --json"))
def lag(
    ctx: typer.Context,
    partitions: Annotated[bool, typer.Option("--partitions", help="show each partition")] = False,
    live: Annotated[bool, typer.Option("--live", help="measure repeatedly until Ctrl-C")] = False,
    every_s: Annotated[
        float | None,
        typer.Option("--every", min=0.2, max=3600, help="seconds between measurements; metrics.measure_s by default"),
    ] = None,
    times: Annotated[int | None, typer.Option(min=1, help="with --live: end after this number of measurements")] = None,
) -> None:
    """Shows how far the engine is behind in commands, ingress in the users' topics, and task workers in their
    lanes: unprocessed records, the age of the oldest (`?` if it could not be read), and why a topic cannot be read.
    If that is a missing right of the caller, the command fails after what it could measure."""
    session = session_of(ctx)
    if live:
        _watch(session, session.settings.metrics.measure_s if every_s is None else every_s, times)
        return
    found = measure_lag(session.settings, read_log(session.settings))
    if partitions:
        rows = [
            (
                each.role,
                each.topic,
                "all" if each.partition < 0 else str(each.partition),
                "never" if each.committed is None else str(each.committed),
                str(each.end),
                str(each.records),
                age(each.seconds),
                each.state,
            )
            for each in found
        ]
        text = output.table(
            ("worker", "topic", "partition>", "committed>", "end>", "records>", "seconds>", "state"),
            rows,
            "no topic is read yet",
        )
    else:
        summed = [
            (row["role"], row["topic"], str(row["records"]), age(row["seconds"]), row["state"])
            for row in rows_of(found, {})
        ]
        text = output.table(("worker", "topic", "records>", "seconds>", "state"), summed, "no topic is read yet")
    session.show([asdict(each) for each in found], text)
    require_readable(found)


def _watch(session: Session, every_s: float, times: int | None) -> None:
    """A table at a terminal that is drawn again and again; a line for each topic elsewhere or with --json."""
    settings, rates, done = session.settings, Rates(), 0
    drawn = Live(console=output.screen(), auto_refresh=False) if sys.stdout.isatty() and not session.json else None
    output.note("measuring lag; Ctrl-C ends")
    with nullcontext() if drawn is None else drawn:
        while times is None or done < times:
            began = time.monotonic()
            found = measure_lag(settings, read_log(settings))
            drains = rates.drains(found, began)
            if drawn is not None:
                drawn.update(board(found, drains), refresh=True)
            else:
                for row in rows_of(found, drains):
                    _line(row, as_json=session.json)
            done += 1
            if times is None or done < times:
                time.sleep(max(0.0, every_s - (time.monotonic() - began)))
        require_readable(found)


def require_readable(lags: list[PartitionLag]) -> None:
    """Returns when this user may read every topic. Raises OperationError (`right_missing`) with those that it may
    not."""
    denied = sorted({one.topic for one in lags if one.state == TopicState.UNREADABLE})
    if denied:
        raise right_missing([f"READ on topic {name}" for name in denied])


def age(seconds: float | None) -> str:
    """The age of what waits, for people; `?` when it is not known."""
    return "?" if seconds is None else f"{seconds:.1f}"


def board(lags: list[PartitionLag], drains: Drains) -> Table:
    """The rows as a picture for a terminal."""
    table = Table(box=None, pad_edge=False)
    for name in ("worker", "topic"):
        table.add_column(name)
    for name in ("records", "seconds", "caught up in"):
        table.add_column(name, justify="right")
    table.add_column("state")
    for row in rows_of(lags, drains):
        style = "bold red" if row["state"] or row["falls_behind"] else "yellow" if row["records"] else "green"
        table.add_row(
            row["role"],
            Text(visible(row["topic"])),
            Text(str(row["records"]), style),
            age(row["seconds"]),
            _drain(row),
            Text(row["state"], "red"),
        )
    return table


def _drain(row: dict[str, Any]) -> str:
    if row["falls_behind"]:
        return "never"
    return "" if row["drain_s"] is None else f"{row['drain_s']:.0f} s"


def _line(row: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        output.say_json(row, line=True)
        return
    drain = _drain(row)
    output.say(
        f"{row['role']} {visible(row['topic'])}: {row['records']} records, {age(row['seconds'])} s"
        + (f", caught up in {drain}" if drain and row["records"] else "")
        + (f", {row['state']}" if row["state"] else "")
    )
