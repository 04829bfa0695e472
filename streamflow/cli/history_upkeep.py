"""`streamflow history rebuild`, `archive`, `archived` and `restore`: maintenance of the history store."""

from __future__ import annotations

import time
from typing import Annotated

import msgspec
import typer

from streamflow.cli import output
from streamflow.cli.confirmation import confirm
from streamflow.cli.output import examples
from streamflow.cli.session import session_of
from streamflow.errors import Rejected
from streamflow.history.archive import archive_some, objects
from streamflow.history.archive import restore as bring_back
from streamflow.history.database import closing
from streamflow.history.rebuild import rebuild as make_again
from streamflow.history.retention import DAY_MS
from streamflow.history.store import open_store
from streamflow.history.topic_beginnings import beginnings

_KEPT_DAYS = 7


def add_to(app: typer.Typer) -> None:
    """Give `app` its commands."""
    app.command("rebuild", epilog=examples("history rebuild --yes"))(rebuild)
    app.command("archive", epilog=examples("history archive --older-than 30"))(archive)
    app.command("archived", epilog=examples("history archived", "history archived --json"))(archived)
    app.command(
        "restore",
        epilog=examples("history restore history/main/streamflow/2026/05/01/1777593600000-0f3a6c1d2b4e5f60.jsonl.gz"),
    )(restore)


def rebuild(
    ctx: typer.Context,
    lose_older: Annotated[
        bool, typer.Option("--lose-older", help="also if runs are lost that the topic runs no longer contains")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="do not ask")] = False,
) -> None:
    """Empties the store; its worker rebuilds it from the topics. The worker may keep running."""
    session = session_of(ctx)
    topics, oldest_ms = beginnings(session.settings)
    with closing(open_store(session.settings, write=True)) as database:
        confirm("This empties the history store and rebuilds it from the topics. Continue?", yes=yes)
        done = make_again(database, topics, oldest_ms, lose_older=lose_older)
    lost = f", {done.lost} of which the topics no longer contain" if done.lost else ""
    session.show(
        msgspec.to_builtins(done),
        f"the store had {done.runs} runs{lost}; it is empty, and its worker rebuilds it",
    )


def archive(
    ctx: typer.Context,
    older_than: Annotated[
        int | None,
        typer.Option(metavar="DAYS", min=0, help="minimum age since the end of a run; history.runs_days by default"),
    ] = None,
) -> None:
    """Moves ended runs to the object store of history.archive. The worker does this by itself after
    history.runs_days."""
    session = session_of(ctx)
    settings = session.known
    if settings.history.archive is None:
        raise Rejected(
            "archive_unset",
            "expected a connection in history.archive but none is set. Name one of tasks.connections, of kind folder "
            "or s3.",
        )
    now_ms = int(time.time() * 1000)
    days = settings.history.runs_days if older_than is None else older_than
    made = []
    with closing(open_store(settings, write=True)) as database:
        while (one := archive_some(settings, database, now_ms - days * DAY_MS, now_ms)) is not None:
            made.append(one)
    runs = sum(one.runs for one in made)
    session.show(
        {"objects": [msgspec.to_builtins(one) for one in made], "runs": runs},
        f"{runs:,} runs are in {len(made)} objects of {settings.history.archive}",
    )


def archived(ctx: typer.Context) -> None:
    """Lists the objects of the archive."""
    session = session_of(ctx)
    with closing(open_store(session.known)) as database:
        found = objects(database)
    rows = [
        (one.object, one.connection, f"{one.runs:,}", f"{one.bytes:,}", output.local_time(one.first_ms)[:10])
        for one in found
    ]
    text = output.table(("object", "connection", "runs>", "bytes>", "from"), rows, "nothing is archived")
    session.show({"objects": [msgspec.to_builtins(one) for one in found]}, text)


def restore(
    ctx: typer.Context,
    object_: Annotated[str, typer.Argument(metavar="OBJECT", help="object, as `history archived` lists it")],
    connection: Annotated[
        str | None, typer.Option(help="connection of the archive; history.archive by default")
    ] = None,
    days: Annotated[int, typer.Option(min=1, help="days that its runs are kept")] = _KEPT_DAYS,
) -> None:
    """Restores the runs of an archived object, so that they can be searched for some days."""
    session = session_of(ctx)
    settings = session.known
    name = connection or settings.history.archive
    if name is None:
        raise Rejected("archive_unset", "expected a connection but none is set. Name one with --connection.")
    until_ms = int(time.time() * 1000) + days * DAY_MS
    with closing(open_store(settings, write=True)) as database:
        came, there = bring_back(settings, database, name, object_, until_ms)
    session.show(
        {"object": object_, "runs": came, "already": there, "until_ms": until_ms},
        f"{came:,} runs are restored until {output.local_time(until_ms)[:16]}"
        + (f", {there:,} were there" if there else ""),
    )
