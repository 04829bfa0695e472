"""`streamflow history show`, `logs` and `statistics`: one run, and what ended in each hour."""

from __future__ import annotations

import time
from typing import Annotated, Any

import msgspec
import typer

from streamflow.cli import output
from streamflow.cli.output import examples
from streamflow.cli.runs import timeline
from streamflow.cli.session import session_of
from streamflow.errors import Rejected
from streamflow.history.counters import HOUR_MS
from streamflow.history.database import closing
from streamflow.history.reading import attributes_of, decoded, logs, transitions
from streamflow.history.rows import LogRow
from streamflow.history.statistics import statistics
from streamflow.history.store import open_store

_MOST = 1_000_000  # transitions of a run


def add_to(app: typer.Typer) -> None:
    """Give `app` its commands."""
    app.command("show", epilog=examples("history show 4f2a91c0-main-5d0c7a1b2c3d4e5f6071"))(show)
    app.command("logs", epilog=examples("history logs 4f2a91c0-main-5d0c7a1b2c3d4e5f6071"))(lines)
    app.command(
        "statistics",
        epilog=examples("history statistics --hours 24", "history statistics --definition loan --step charge --json"),
    )(hourly)


def show(ctx: typer.Context, run: Annotated[str, typer.Argument(metavar="RUN", help="a run id")]) -> None:
    """Shows the history of a run, also when the topic `runs` no longer contains it."""
    session = session_of(ctx)
    with closing(open_store(session.known)) as database:
        history = [decoded(row) for row in transitions(database, run, limit=_MOST)]
        attributes = attributes_of(database, run)
    if not history:
        raise Rejected(
            "run_unknown",
            f"expected transitions of {run} in the history but there are none. `streamflow history find` lists the "
            "runs that are there.",
        )
    text = timeline(history)
    if attributes:
        text += "\n\n" + "\n".join(f"{name}: {value}" for name, value in attributes.items())
    session.show([{"type": transition.type} | output.plain(transition) for transition in history], text)


def lines(
    ctx: typer.Context,
    run: Annotated[str, typer.Argument(metavar="RUN", help="a run id")],
    limit: Annotated[int, typer.Option(min=1, max=1000, help="maximum number")] = 1000,
) -> None:
    """Shows the workers' log lines about a run, oldest first."""
    session = session_of(ctx)
    with closing(open_store(session.known)) as database:
        found = logs(database, run, limit=limit)
    rows = [
        (output.local_time(row.at_ms), row.role, row.level, row.event, "" if row.fields == "{}" else row.fields)
        for row in found
    ]
    text = output.table(("when", "role", "level", "event", "fields"), rows, "no worker logged anything about it")
    session.show({"run": run, "lines": [_plain(row) for row in found]}, text)


def _plain(row: LogRow) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.to_builtins(row)
    return found | {"fields": msgspec.json.decode(row.fields)}


def hourly(
    ctx: typer.Context,
    hours: Annotated[int, typer.Option(min=1, max=24 * 400, help="number of hours, the current one included")] = 24,
    definition: Annotated[str | None, typer.Option(help="only of this definition")] = None,
    version: Annotated[str | None, typer.Option("--of-version", help="only of this version of it")] = None,
    step: Annotated[str | None, typer.Option(help="outcomes of this step, instead of runs")] = None,
) -> None:
    """Shows how many runs started and ended in each hour, and how long they took; or the same of a step."""
    session = session_of(ctx)
    now_ms = int(time.time() * 1000)
    from_ms = (now_ms // HOUR_MS - hours + 1) * HOUR_MS
    with closing(open_store(session.known)) as database:
        points = statistics(database, from_ms, now_ms + 1, definition=definition, version=version, step=step)
    rows = [
        (
            output.local_time(point.hour_ms)[:16],
            point.outcome,
            f"{point.n:,}",
            *(_length(each) for each in (point.mean_ms, point.p50_ms, point.p95_ms, point.p99_ms)),
        )
        for point in points
    ]
    columns = ("hour", "outcome", "n>", "mean>", "p50>", "p95>", "p99>")
    session.show(
        {"points": [msgspec.to_builtins(point) for point in points]}, output.table(columns, rows, "nothing ended")
    )


def _length(ms: float | None) -> str:
    return "" if ms is None else output.length(int(ms))
