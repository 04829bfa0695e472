"""`streamflow topics`: what the broker has against what the settings want."""

from __future__ import annotations

import typer

from streamflow.cli.session import session_of
from streamflow.kafka import admin
from streamflow.kafka.environments import other_environments

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
    """Fails if a topic is missing or breaks a promise; shows advice that is left, and other environments on this
    Kafka."""
    session = session_of(ctx)
    found = admin.verify(session.settings)
    others = other_environments(session.settings)
    lines = [*(map(str, found) if found else ["all topics are as wanted"]), *map(str, others)]
    facts = {"findings": [one.facts() for one in found], "other_environments": [one.facts() for one in others]}
    session.show(facts, "\n".join(lines))


def _show(ctx: typer.Context, found: list[admin.Finding], nothing: str) -> None:
    text = "\n".join(str(finding) for finding in found) or nothing
    session_of(ctx).show({"findings": [finding.facts() for finding in found]}, text)
