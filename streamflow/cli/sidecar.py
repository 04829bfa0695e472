"""`streamflow sidecar`: the HTTP process for people, callbacks and plugins, until SIGTERM or Ctrl-C."""

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
    host: Annotated[str | None, typer.Option(help="address to listen on; overrides STREAMFLOW_SIDECAR__HOST")] = None,
    port: Annotated[
        int | None,
        typer.Option(
            min=0, max=65535, help="port to listen on, 0 for any free one; overrides STREAMFLOW_SIDECAR__PORT"
        ),
    ] = None,
    parent: Parent = None,
) -> None:
    """Serves the pages and the API: runs, approvals, callbacks, plugins. SIGTERM or Ctrl-C shuts it down cleanly.
    Without a token (STREAMFLOW_SIDECAR__TOKEN) it listens on this machine only."""
    from streamflow.sidecar.app import serve

    settings = session_of(ctx).known
    own = {name: value for name, value in (("host", host), ("port", port)) if value is not None}
    run_process(
        settings.model_copy(update={"sidecar": settings.sidecar.model_copy(update=own)}), "sidecar", serve, parent
    )
