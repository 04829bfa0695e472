"""`streamflow catalog subjects`: what a schema registry has, and catalog entries drafted from it."""

from __future__ import annotations

from contextlib import closing
from dataclasses import asdict
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated

import typer

from streamflow.cli import output
from streamflow.cli.output import examples
from streamflow.cli.session import EXIT_AUTHOR, session_of
from streamflow.errors import OperationError, Rejected
from streamflow.registry.client import registry_client


def subjects(
    ctx: typer.Context,
    patterns: Annotated[
        list[str] | None,
        typer.Argument(metavar="[SUBJECT]...", help="only subjects of this name, such as 'shop.*-value'"),
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help="catalog file to write, with an event for each")] = None,
    topic: Annotated[
        str | None, typer.Option("--topic", help="the topic of the events; else the subject without -value")
    ] = None,
    emit: Annotated[
        bool, typer.Option("--emit", help="bind each event to its subject, for events that definitions emit")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="overwrite the file")] = False,
) -> None:
    """Lists the subjects of the schema registry that is set, with the latest version of each. With --out, drafts an
    event of a catalog from each: look through what identifies it, its id and its key before you publish."""
    session = session_of(ctx)
    if out is not None and out.exists() and not force:
        raise Rejected("file_exists", f"{out} is there already. Choose another file, or overwrite it with --force.")
    found, unusable = [], []
    with closing(registry_client(session.settings.registry)) as registry:
        names = [
            name
            for name in registry.subjects()
            if not patterns or any(fnmatchcase(name, pattern) for pattern in patterns)
        ]
        for name in names:
            try:
                found.append(registry.version(name))
            except OperationError as error:
                if error.code not in ("subject_unknown", "schema_unusable"):
                    raise
                unusable.append((name, error.message))
    rows = [[one.subject, one.type, str(one.version), str(one.id)] for one in found]
    facts = {
        "subjects": [{"subject": one.subject, "type": one.type, "version": one.version, "id": one.id} for one in found],
        "unusable": [{"subject": name, "reason": reason} for name, reason in unusable],
    }
    lines = [output.table(("subject", "type", "version>", "id>"), rows, "no subjects")]
    lines += [f"{name}: {reason}" for name, reason in unusable]
    if out is None:
        session.show(facts, "\n".join(lines))
        return
    from streamflow.importing.subjects import subject_catalog

    made = subject_catalog(found, topic=topic, emits=emit)
    lines += [f"skipped {one.file}: {one.reason}" for one in made.skipped]
    if made.events:
        output.write_file(out, made.text())
        lines.append(f"{len(made.events)} events written to {out}: look at what identifies each, its id and its key")
    facts |= {
        "events": [event["name"] for event in made.events],
        "skipped": [asdict(one) for one in made.skipped],
        "written": str(out) if made.events else None,
    }
    session.show(facts, "\n".join(lines))
    if not made.events:
        raise typer.Exit(EXIT_AUTHOR)


def add_to(app: typer.Typer) -> None:
    """The verb of this module, as a command of `app`."""
    app.command(
        "subjects",
        epilog=examples("catalog subjects", "catalog subjects 'shop.*-value' --out catalog.yaml"),
    )(subjects)
