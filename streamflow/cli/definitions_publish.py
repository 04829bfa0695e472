"""`streamflow definitions publish` and `retire`: which versions are in use."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from streamflow.cli import output
from streamflow.cli.bindings import bound
from streamflow.cli.checking import CatalogFile, Paths, checked_all, tell
from streamflow.cli.contradictions import contradicting_published
from streamflow.cli.output import examples
from streamflow.cli.session import EXIT_AUTHOR, session_of
from streamflow.definition.catalog import Catalog
from streamflow.definition.content import canonical, child_names, event_names
from streamflow.definition.model import Definition
from streamflow.errors import Rejected
from streamflow.kafka.admin import Admin
from streamflow.kafka.publication import publish as publish_content
from streamflow.kafka.publication import read_log
from streamflow.kafka.publication import retire as retire_version
from streamflow.kafka.topics import DEFINITIONS, Topic, topic_name
from streamflow.ops.catalog import Surroundings
from streamflow.settings import DEFAULT_ENVIRONMENT, Settings


def publish(
    ctx: typer.Context,
    paths: Paths,
    catalog: CatalogFile = None,
    bind: Annotated[
        Path | None,
        typer.Option(help="file with the topics of this environment; else environments/NAME.yaml, if there is one"),
    ] = None,
    change_events: Annotated[
        bool,
        typer.Option("--change-events", help="also if an event means something else in a published definition"),
    ] = False,
    create_topics: Annotated[
        bool, typer.Option("--create-topics", help="create topics of the catalog that do not exist, to try things out")
    ] = False,
) -> None:
    """Checks definitions and publishes them: from then on, matching events start runs. A version is published once and
    for all.

    Without a catalog file the events are those already published. Definitions that others start are published before
    these. The content and its sha256 are the same in every environment; the topics of events are the environment's
    own."""
    session = session_of(ctx)
    settings = session.settings
    around = Surroundings(lambda: read_log(settings), whole=True)
    found = checked_all(settings, paths, catalog, around, published=around.events)
    found = contradicting_published(found, around.log, change=change_events)
    if not all(each.ok for each in found):
        tell(session, found)
        raise typer.Exit(EXIT_AUTHOR)
    environment = around.log.environment
    answers, lines = [], []
    for each in bound(found, environment, bind):
        definition, events = each.definition, each.catalog
        assert definition is not None
        assert events is not None
        for placed in each.problems:
            output.warn(str(placed))
        missing = _provide_topics(settings, definition, events, create=create_topics)
        entries = {name: _entry(events, name) for name in event_names(definition)}
        content, children = (
            canonical(definition, events),
            [child for key in child_names(definition) if (child := events.definition(*key)) is not None],
        )
        done = publish_content(
            settings,
            name=definition.name,
            version=definition.version,
            content=content,
            events=entries,
            children=children,
        )
        for event in done.rebound:
            binding = events.event(event)
            where = ", ".join(binding.topics) if binding is not None else ""
            output.warn(f"{event} is bound to {where} from now on, for every definition; it was bound to other topics")
        for topic, why in done.ends_unknown.items():
            output.warn(
                f"The end of the topic {topic} could not be read ({why}), so events that are sent to it before ingress "
                "opens it may not be read. Wait until `streamflow lag` lists it before you send to it."
            )
        answers.append(asdict(done) | {"environment": environment, "missing_topics": missing})
        what = "was already published" if done.already else "published"
        lines.append(
            f"{done.name}@{done.version} {what}: sha256 {done.sha[:12]}, offset {done.offset} in "
            f"{topic_name(settings, DEFINITIONS)}"
            + (f", environment {environment}" if environment != DEFAULT_ENVIRONMENT else "")
        )
    session.show(answers, "\n".join(lines))


def retire(ctx: typer.Context, reference: Annotated[str, typer.Argument(metavar="NAME@VERSION")]) -> None:
    """Takes a version out of use: no new run starts on it, its open runs go on."""
    name, at, version = reference.partition("@")
    if not at:
        raise Rejected("version_unnamed", f"expected name@version but found {reference}. Say which version to retire.")
    session = session_of(ctx)
    done = retire_version(session.settings, name=name, version=version)
    then = f"runs start on {name}@{done.current} now" if done.current else f"no event starts a run of {name} any more"
    session.show(asdict(done), f"{name}@{version} {'was retired before' if done.already else 'is retired'}; {then}")


def add_to(app: typer.Typer) -> None:
    """The verbs of this module, as commands of `app`."""
    app.command("publish", epilog=examples("definitions publish definitions/order-fulfilment --create-topics"))(publish)
    app.command("retire", epilog=examples("definitions retire order-fulfilment@1"))(retire)


def _entry(catalog: Catalog, name: str) -> dict[str, Any]:
    spec = catalog.event(name)
    assert spec is not None
    return spec.model_dump(mode="json", by_alias=True, exclude_none=True)


def _provide_topics(settings: Settings, definition: Definition, catalog: Catalog, *, create: bool) -> list[str]:
    """The topics of `definition` that do not exist, told; created instead when asked."""
    names = {
        topic for name in event_names(definition) if (spec := catalog.event(name)) is not None for topic in spec.topics
    }
    admin = Admin(settings)
    missing = sorted(names - admin.describe(sorted(names)).keys())
    if create:
        admin.create(
            [Topic("", name, settings.topics.partitions, settings.topics.replication_factor, ()) for name in missing]
        )
        for name in missing:
            output.note(f"topic {name} created with {settings.topics.partitions} partitions")
        return []
    for name in missing:
        output.warn(
            f"the topic {name} does not exist: its events start nothing until it does, and emitted ones become dead "
            "letters"
        )
    return missing
