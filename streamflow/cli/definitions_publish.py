"""`streamflow definitions publish` and `retire`: which versions are in use."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from streamflow.cli import definition_files, output, places
from streamflow.cli.actor import user_name
from streamflow.cli.approval_files import approval_in
from streamflow.cli.bindings import bound
from streamflow.cli.checking import CatalogFile, Paths, checked_all, tell
from streamflow.cli.contradictions import contradicting_published
from streamflow.cli.output import examples
from streamflow.cli.session import EXIT_AUTHOR, session_of
from streamflow.definition.catalog import Catalog
from streamflow.definition.model import Definition
from streamflow.errors import Rejected
from streamflow.kafka.publication import read_log
from streamflow.kafka.publication import retire as retire_version
from streamflow.kafka.topics import DEFINITIONS, topic_name
from streamflow.ops.catalog import CatalogResolver
from streamflow.ops.publishing import create_topics, missing_topics, publish_checked, topics_of, words_of
from streamflow.settings import DEFAULT_ENVIRONMENT, Settings


def publish(
    ctx: typer.Context,
    paths: Paths,
    catalog: CatalogFile = None,
    bind: Annotated[
        Path | None,
        typer.Option(help="file with the topics of this environment; default: environments/NAME.yaml, if it exists"),
    ] = None,
    change_events: Annotated[
        bool,
        typer.Option("--change-events", help="publish although the event changes for a published definition"),
    ] = False,
    create: Annotated[
        bool, typer.Option("--create-topics", help="create missing topics of the catalog, for tests")
    ] = False,
    approval: Annotated[
        Path | None,
        typer.Option(
            help="file with the approval of the only definition; default: the recorded approval of its content"
        ),
    ] = None,
    by: Annotated[str | None, typer.Option(help="who publishes; default: the user of this machine")] = None,
) -> None:
    """Checks definitions and publishes them: from then on, matching events start runs. A published version never
    changes. Without a catalog file, the published events are used. A scenarios.yaml beside a definition is published
    with it. Definitions that start others are published after them. The content and its sha256 are the same in every
    environment; each environment has its own topics of events. Where approvals are required, each definition needs a
    valid approval of exactly its content, by another person."""
    session = session_of(ctx)
    settings = session.settings
    around = CatalogResolver(lambda: read_log(settings), whole=True)
    found = checked_all(settings, paths, catalog, around, published=around.events)
    found = contradicting_published(found, around.log, change=change_events)
    if not all(each.ok for each in found):
        tell(session, found)
        raise typer.Exit(EXIT_AUTHOR)
    environment = around.log.environment
    if approval is not None and len(found) != 1:
        raise Rejected(
            "approval_mismatch",
            f"The file {approval} contains one approval, but there are {len(found)} definitions to publish. Publish "
            "them one by one.",
        )
    given = approval_in(approval) if approval is not None else None
    answers, lines = [], []
    for each in bound(found, environment, bind):
        definition, events = each.definition, each.catalog
        assert definition is not None
        assert events is not None
        for placed in each.problems:
            output.warn(str(placed))
        missing = _provide_topics(settings, definition, events, create=create)
        beside = each.source.definition.parent / definition_files.SCENARIOS
        scenarios = places.text_of(beside) if beside.is_file() else None
        done = publish_checked(settings, definition, events, scenarios=scenarios, approval=given, by=by or user_name())
        for line in words_of(done, events, missing):
            output.warn(line)
        answers.append(asdict(done) | {"environment": environment, "missing_topics": missing})
        what = "was already published" if done.already else "published"
        lines.append(
            f"{done.name}@{done.version} {what}: sha256 {done.sha[:12]}, offset {done.offset} in "
            f"{topic_name(settings, DEFINITIONS)}"
            + (f", environment {environment}" if environment != DEFAULT_ENVIRONMENT else "")
        )
    session.show(answers, "\n".join(lines))


def retire(ctx: typer.Context, reference: Annotated[str, typer.Argument(metavar="NAME@VERSION")]) -> None:
    """Retires a version: no new run starts on it, its open runs continue."""
    name, at, version = reference.partition("@")
    if not at:
        raise Rejected("version_unnamed", f"expected name@version but found {reference}. Say which version to retire.")
    session = session_of(ctx)
    done = retire_version(session.settings, name=name, version=version)
    then = f"runs start on {name}@{done.current} now" if done.current else f"no event starts a run of {name} now"
    session.show(asdict(done), f"{name}@{version} {'was retired before' if done.already else 'is retired'}; {then}")


def add_to(app: typer.Typer) -> None:
    """The verbs of this module, as commands of `app`."""
    app.command("publish", epilog=examples("definitions publish definitions/order-fulfilment --create-topics"))(publish)
    app.command("retire", epilog=examples("definitions retire order-fulfilment@1"))(retire)


def _provide_topics(settings: Settings, definition: Definition, catalog: Catalog, *, create: bool) -> list[str]:
    """The topics of `definition` that do not exist; none are left when they are to be created."""
    missing = missing_topics(settings, topics_of(definition, catalog))
    if create:
        create_topics(settings, missing)
        for name in missing:
            output.note(f"topic {name} created with {settings.topics.partitions} partitions")
        return []
    return missing
