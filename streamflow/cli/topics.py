"""`streamflow topics`: the broker's topics compared with the settings."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from streamflow.cli import output
from streamflow.cli.confirmation import confirm
from streamflow.cli.output import examples
from streamflow.cli.session import session_of
from streamflow.cli.topics_acls import PRINCIPAL, show_acls
from streamflow.errors import Rejected
from streamflow.kafka import admin
from streamflow.kafka import generations as growth
from streamflow.kafka.environments import other_environments
from streamflow.kafka.publication import read_log
from streamflow.kafka.rights import Role
from streamflow.kafka.topic_findings import Finding
from streamflow.ops.generations import recall_generations, use_of_generations
from streamflow.ops.lag import measure_lag
from streamflow.settings import Settings

app = typer.Typer(add_completion=False, help="The fixed topics.", no_args_is_help=True, rich_markup_mode=None)


@app.command(
    epilog=examples(
        "topics plan",
        "topics plan --acls --definition definitions/order-fulfilment",
        "topics plan --acls --role engine --principal User:CN=streamflow-{role} --commands",
    )
)
def plan(
    ctx: typer.Context,
    acls: Annotated[
        bool, typer.Option("--acls", help="show the rights that each role needs on a broker with an authorizer")
    ] = False,
    role: Annotated[
        list[Role] | None, typer.Option(help="only of this role; may be given several times; default: all")
    ] = None,
    principal: Annotated[
        str, typer.Option(metavar="USER", help="Kafka principal of each role; {role} is replaced by its name")
    ] = PRINCIPAL,
    definition: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FOLDER",
            help="with the topics of this definition; may be given several times; default: published definitions",
        ),
    ] = None,
    send_to: Annotated[
        list[str] | None,
        typer.Option(metavar="TOPIC", help="topic that kafka.emit writes to; may be given several times"),
    ] = None,
    commands: Annotated[bool, typer.Option("--commands", help="as commands for Kafka's kafka-acls")] = False,
) -> None:
    """Shows the differences from the planned topics, and changes nothing."""
    session = session_of(ctx)
    if acls:
        show_acls(
            session,
            roles=role or (),
            principal=principal,
            definitions=definition or (),
            sent_to=send_to or (),
            commands=commands,
        )
        return
    _show(ctx, admin.plan(session.settings), "all topics are as wanted")


@app.command(epilog=examples("topics apply", "topics apply --lower", "topics apply --lower --yes"))
def apply(
    ctx: typer.Context,
    lower: Annotated[
        bool, typer.Option("--lower", help="also apply changes that delete data, such as a shorter retention")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="do not ask")] = False,
) -> None:
    """Creates missing topics and corrects settings without loss. May be repeated."""
    session = session_of(ctx)
    if lower:
        lowered = [finding for finding in admin.plan(session.settings) if finding.kind == "lower"]
        if lowered:
            _require_read(session.settings, lowered)
            lines = "\n".join(f"  {finding}" for finding in lowered)
            confirm(f"These settings are lowered:\n{lines}\nGo on?", yes=yes)
    found = admin.apply(session.settings, lower=lower)
    _show(ctx, found, "all topics were as wanted", [finding.applied(lower=lower) for finding in found])


@app.command()
def verify(ctx: typer.Context) -> None:
    """Fails if a topic is missing or breaks a promise; shows remaining advice, and other environments on this Kafka."""
    session = session_of(ctx)
    found = admin.verify(session.settings)
    others = other_environments(session.settings)
    lines = [*(map(str, found) if found else ["all topics are as wanted"]), *map(str, others)]
    facts = {"findings": [one.facts() for one in found], "other_environments": [one.facts() for one in others]}
    session.show(facts, "\n".join(lines))


@app.command("asyncapi", epilog=examples("topics asyncapi --out asyncapi.json"))
def asyncapi_(
    ctx: typer.Context,
    out: Annotated[Path | None, typer.Option("--out", help="file to write; else it is shown")] = None,
) -> None:
    """All topics as an AsyncAPI 3 document in JSON: those of the published catalog, and Streamflow's own, with the
    schemas of their records."""
    from streamflow.ops.asyncapi import asyncapi

    session = session_of(ctx)
    document = asyncapi(session.settings, read_log(session.settings))
    text = json.dumps(document, indent=2)
    if out is None:
        typer.echo(text)
        return
    output.write_file(out, text + "\n")
    session.show({"written": str(out), "channels": len(document["channels"])}, f"written: {out}")


def _require_read(settings: Settings, lowered: list[Finding]) -> None:
    """Raises Rejected (`retention_unread`) if a shorter retention would delete what a worker has still to read."""
    wanted = {finding.topic: int(finding.wanted) for finding in lowered if finding.setting == "retention.ms"}
    if not wanted:
        return
    for one in measure_lag(settings, read_log(settings)):
        if one.topic not in wanted:
            continue
        if one.state:
            raise Rejected(
                "retention_unread",
                f"Whether the worker {one.role} has read all of {one.topic} cannot be seen: it is {one.state}. Try "
                "again when `streamflow lag` shows it.",
            )
        if one.seconds is not None and one.seconds * 1000 < wanted[one.topic]:
            continue
        age = "unknown age" if one.seconds is None else f"{one.seconds / 3600:.1f} h"
        raise Rejected(
            "retention_unread",
            f"{one.topic} has records of {age} that the worker {one.role} has not read, and would keep them for "
            f"{wanted[one.topic] / 3_600_000:.1f} h. Let the worker catch up first: see `streamflow lag`.",
        )


def _show(ctx: typer.Context, found: list[Finding], nothing: str, lines: list[str] | None = None) -> None:
    text = "\n".join(map(str, found) if lines is None else lines) or nothing
    session_of(ctx).show({"findings": [finding.facts() for finding in found]}, text)


@app.command(epilog=examples("topics grow 48", "topics grow 48 --yes"))
def grow(
    ctx: typer.Context,
    partitions: Annotated[
        int, typer.Argument(help="partitions of the new generation: a multiple of those of the newest one", min=1)
    ],
    yes: Annotated[bool, typer.Option("--yes", help="do not ask")] = False,
) -> None:
    """Opens a new generation of partitions: new runs go there, open ones end where they are. Nothing is moved, and it
    cannot be undone. May be repeated when it was interrupted."""
    session = session_of(ctx)
    confirm(
        f"A generation of {partitions} partitions is opened. Partitions can never be taken away again. Go on?", yes=yes
    )
    recall_generations(session.settings)
    found = growth.grow(session.settings, partitions)
    newest = found[-1]
    last = newest.first + newest.partitions - 1
    session.show(
        {"generations": [asdict(one) for one in found]},
        f"generation {newest.number} is open: partitions {newest.first} to {last}; `topics generations` shows its use",
    )


@app.command(epilog=examples("topics generations", "topics generations --json"))
def generations(ctx: typer.Context) -> None:
    """Shows the generations of partitions: how many runs are open in each, and what waits there."""
    session = session_of(ctx)
    found = use_of_generations(session.settings)
    session.show({"generations": [one.facts() for one in found]}, "\n".join(map(str, found)))
