"""`streamflow topics`: what the broker has against what the settings want."""

from __future__ import annotations

import typer

from streamflow.cli.session import session_of
from streamflow.kafka import admin

app = typer.Typer(help="The fixed topics.", no_args_is_help=True, rich_markup_mode=None)


@app.command()
def plan(ctx: typer.Context) -> None:
    """Shows what differs from the wanted topics, and changes nothing."""
    session = session_of(ctx)
    _show(ctx, admin.plan(session.settings), "all topics are as wanted")


@app.command()
def apply(ctx: typer.Context) -> None:
    """Creates what is missing and mends what can be mended without loss. May be repeated."""
    session = session_of(ctx)
    _show(ctx, admin.apply(session.settings), "all topics were as wanted")


@app.command()
def verify(ctx: typer.Context) -> None:
    """Fails if a topic is missing or breaks a promise; shows advice that is left."""
    session = session_of(ctx)
    _show(ctx, admin.verify(session.settings), "all topics are as wanted")


def _show(ctx: typer.Context, found: list[admin.Finding], nothing: str) -> None:
    text = "\n".join(str(finding) for finding in found) or nothing
    session_of(ctx).show({"findings": [finding.facts() for finding in found]}, text)
