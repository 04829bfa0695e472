"""`streamflow definitions promote` and `rollback`: the approved version in another environment, and the version before
it."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from streamflow.cli import definition_files, output
from streamflow.cli.actor import audited, user_name
from streamflow.cli.output import examples
from streamflow.cli.session import session_of
from streamflow.kafka.publication import read_log
from streamflow.kafka.rollback import roll_back, target_of
from streamflow.settings import Settings


def promote(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME")],
    version: Annotated[str, typer.Argument(metavar="VERSION")],
    to: Annotated[str, typer.Option(metavar="ENVIRONMENT", help="one of approvals.environments")],
    bind: Annotated[Path | None, typer.Option(help="file with the topics of that environment")] = None,
    by: Annotated[str | None, typer.Option(help="who promotes; default: the user of this machine")] = None,
) -> None:
    """Publishes a version that is approved here in another environment: exactly the same content, with an approval for
    that environment that refers to the approval here."""
    from streamflow.ops.promotion import promote as promote_version
    from streamflow.ops.promotion import settings_of

    session = session_of(ctx)
    reference = f"{name}@{version}"

    def account(target: Settings, told: dict[str, Any]) -> None:
        audited(session.settings, "definition.promote", reference, after=told | {"to": to})
        audited(target, "definition.publish", reference, after=told)

    done = promote_version(
        session.settings,
        settings_of(session.settings, to),
        reference,
        by=by or user_name(),
        bindings=definition_files.read_bindings(bind) if bind is not None else None,
        account=account,
    )
    for event in done["rebound"]:
        output.warn(f"{event} is bound to other topics in {to} from now on, for every definition")
    what = "was already published" if done["already"] else "published"
    whose = f"approved by {done['approved_by']} in {done['from']}"
    session.show(done, f"{reference} {what} in {to}: sha256 {done['sha'][:12]}, {whose}")


def rollback(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME")],
    to: Annotated[
        str | None,
        typer.Option(metavar="VERSION", help="version to use; default: the one published before the current one"),
    ] = None,
) -> None:
    """Starts new runs on an earlier version again; open runs keep their version."""
    session = session_of(ctx)
    target, before = target_of(read_log(session.settings), name, to)
    told = {"current": target}
    audited(session.settings, "definition.rollback", name, before={"current": before}, after=told)
    done = roll_back(session.settings, name=name, version=target)
    text = f"runs of {name} start on {done.version} " + (
        "already" if done.already else f"now; they started on {done.before or 'no version'}"
    )
    session.show(asdict(done), text)


def add_to(app: typer.Typer) -> None:
    """The verbs of this module, as commands of `app`."""
    app.command("promote", epilog=examples("definitions promote order-fulfilment 2 --to prod"))(promote)
    app.command(
        "rollback", epilog=examples("definitions rollback order-fulfilment", "definitions rollback payment --to 3")
    )(rollback)
