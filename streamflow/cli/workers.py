"""`streamflow workers`: who works."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from streamflow.cli import output
from streamflow.cli.output import examples
from streamflow.cli.session import session_of
from streamflow.kafka.aiokafka_patches import run_and_disconnect
from streamflow.kafka.members import members_of
from streamflow.kafka.publication import read_log
from streamflow.kafka.worker_registry import registered_workers
from streamflow.ops.fleet import unannounced, worker_rows

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command(epilog=examples("workers", "workers --role tasks", "workers --json"))
def workers(
    ctx: typer.Context,
    role: Annotated[str | None, typer.Option(help="only these: engine, ingress, tasks, history or mirror")] = None,
) -> None:
    """Lists the workers that are there: where each runs, since when, which release, how many partitions it has or
    which lane and operations it serves, and whether it is draining."""
    settings = session_of(ctx).settings
    groups = unannounced(settings)
    found = run_and_disconnect(members_of(settings, list(groups.values())))
    announced = registered_workers(settings, read_log(settings))
    rows = worker_rows(announced, {name: found[group] for name, group in groups.items()})
    rows = [row for row in rows if role in (None, row["role"])]
    titles = ("role", "worker", "host", "since", "release", "partitions>", "serves", "health")
    text = output.table(titles, [_cells(row) for row in rows], "no worker is there")
    session_of(ctx).show({"workers": rows}, text)


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    serves = [f"lane {lane}" for lane in row["lanes"]] + row["operations"]
    serves += [f"revision {revision}" for revision in row["revisions"]]
    return (
        row["role"],
        row["worker"],
        row["host"],
        "" if row["since_ms"] is None else output.local_time(row["since_ms"]),
        row["version"],
        "" if row["partitions"] is None else str(row["partitions"]),
        ", ".join(serves),
        f"{row['health']}: {row['detail']}" if row["detail"] else row["health"],
    )
