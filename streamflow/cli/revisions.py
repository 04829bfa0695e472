"""`streamflow revisions`: the revision of the engine that new runs use, for rolling upgrades."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from streamflow.cli.output import examples
from streamflow.cli.session import session_of

app = typer.Typer(
    add_completion=False, help="Revisions of the engine: list, enable.", no_args_is_help=True, rich_markup_mode=None
)


@app.command("list", epilog=examples("revisions list"))
def list_(ctx: typer.Context) -> None:
    """Shows the revision that new runs use, and the revisions that this program and the workers know."""
    from streamflow.kafka.revisions import revisions

    session = session_of(ctx)
    found = revisions(session.settings)
    lines = [
        f"runs start with {found.enabled}",
        f"this program knows {', '.join(found.known)}; the newest is {found.newest}",
    ]
    lines += [f"an engine worker knows {', '.join(worker) or 'none'}" for worker in found.workers] or [
        "no engine worker is running"
    ]
    session.show(asdict(found), "\n".join(lines))


@app.command(epilog=examples("revisions enable 3"))
def enable(
    ctx: typer.Context,
    revision: Annotated[str, typer.Argument(help="the revision, as `revisions list` names it")],
) -> None:
    """Sets the revision of new runs, if every engine worker knows it. Open runs keep theirs; an older revision may be
    enabled again."""
    from streamflow.kafka.revisions import enable as enable_

    session = session_of(ctx)
    recorded = enable_(session.settings, revision)
    done = "runs start with" if recorded.offset is not None else "runs start already with"
    session.show({"revision": revision, "offset": recorded.offset}, f"{done} {revision}")
