"""`streamflow commands`: skip commands that stop a partition of the engine."""

from __future__ import annotations

from typing import Annotated

import typer

from streamflow.cli import output
from streamflow.cli.output import examples
from streamflow.cli.session import session_of

app = typer.Typer(
    add_completion=False,
    help="Skip commands that stop a partition of the engine.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.callback()
def commands() -> None:
    """Skip commands that stop a partition of the engine."""


@app.command(epilog=examples("commands skip 3 1207 --reason 'starts a version that was never published'"))
def skip(
    ctx: typer.Context,
    partition: Annotated[int, typer.Argument(help="the stopped partition of `commands`", min=0)],
    offset: Annotated[int, typer.Argument(help="offset of the command, as in the partition's error", min=0)],
    reason: Annotated[str, typer.Option(help="why the loss is accepted; kept with the skip")],
) -> None:
    """Lets a stopped partition skip the command that stops it, or commands that were deleted unread. Skipped commands
    have no effect; one that still exists becomes a dead letter. The engine continues at once."""
    from streamflow.ops.skips import skip_command

    session = session_of(ctx)
    recorded = skip_command(session.settings, partition=partition, offset=offset, reason=reason)
    answer = {"partition": partition, "offset": offset, "reason": reason, "recorded_at": recorded}
    session.show(answer, f"partition {partition} skips command {offset} (recorded at {recorded})")


@app.command(epilog=examples("commands skipped"))
def skipped(ctx: typer.Context) -> None:
    """Lists skipped commands with the reasons."""
    from streamflow.kafka.publication import read_log

    session = session_of(ctx)
    log = read_log(session.settings)
    found = [
        (partition, offset, skip)
        for partition, skips in sorted(log.skips.items())
        for offset, skip in sorted(skips.items())
    ]
    rows = [
        (str(partition), str(offset), output.local_time(skip.asked_ms), skip.reason)
        for partition, offset, skip in found
    ]
    answer = [
        {"partition": partition, "offset": offset, "asked_ms": skip.asked_ms, "reason": skip.reason}
        for partition, offset, skip in found
    ]
    text = output.table(("partition>", "command>", "asked", "reason"), rows, "no command was skipped")
    session.show({"skipped": answer}, text)
