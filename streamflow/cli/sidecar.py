"""`streamflow sidecar`: the HTTP process for people, callbacks and plugins, until it is told to stop."""

from __future__ import annotations

from typing import Annotated

import typer

from streamflow.cli.output import examples
from streamflow.cli.session import session_of
from streamflow.cli.worker import Parent, run_process

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command(epilog=examples("sidecar", "sidecar --port 0", "sidecar --host 0.0.0.0 --config streamflow.yaml"))
def sidecar(
    ctx: typer.Context,
    host: Annotated[str | None, typer.Option(help="address to listen on; over STREAMFLOW_SIDECAR__HOST")] = None,
    port: Annotated[
        int | None,
        typer.Option(min=0, max=65535, help="port to listen on, 0 for any free one; over STREAMFLOW_SIDECAR__PORT"),
    ] = None,
    parent: Parent = None,
) -> None:
    """Answers requests: start runs, look at them, decide approvals, take callbacks, register plugins. SIGTERM or Ctrl-C
    ends it in order.

    It listens on this machine alone, unless a token is set (STREAMFLOW_SIDECAR__TOKEN)."""
    from streamflow.sidecar.app import serve

    settings = session_of(ctx).known
    own = {name: value for name, value in (("host", host), ("port", port)) if value is not None}
    run_process(
        settings.model_copy(update={"sidecar": settings.sidecar.model_copy(update=own)}), "sidecar", serve, parent
    )
