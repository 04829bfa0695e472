"""`streamflow commands`: what an operator may do to the engine's input."""

from __future__ import annotations

from typing import Annotated

import typer

from streamflow.cli.session import session_of

app = typer.Typer(help="What an operator may do to the engine's input.", no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def commands() -> None:
    """What an operator may do to the engine's input."""


@app.command()
def skip(
    ctx: typer.Context,
    partition: Annotated[int, typer.Argument(help="the stopped partition of `commands`", min=0)],
    offset: Annotated[int, typer.Argument(help="the command to go on with, as the partition's error names it", min=0)],
    why: Annotated[str, typer.Option(help="why the loss is accepted; kept with the record")],
) -> None:
    """Lets a partition go on whose unread commands were deleted. What they asked for is lost; the worker takes notice
    when it is started again."""
    from streamflow.kafka.publication import skip_commands

    session = session_of(ctx)
    recorded = skip_commands(session.settings, partition=partition, offset=offset, why=why)
    answer = {"partition": partition, "offset": offset, "why": why, "recorded_at": recorded}
    session.show(
        answer,
        f"partition {partition} goes on with command {offset} when its worker is started again (recorded at "
        f"{recorded})",
    )
