"""`streamflow definitions`: check, publish, look at, compare and retire what authors wrote."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from streamflow.cli import definitions_functions, definitions_import, definitions_simulate, output, sources
from streamflow.cli.bindings import bound
from streamflow.cli.checking import checked_all, tell
from streamflow.cli.contradictions import contradicting_published
from streamflow.cli.outline import outline
from streamflow.cli.output import examples
from streamflow.cli.session import EXIT_AUTHOR, Session, session_of
from streamflow.definition.catalog import Catalog
from streamflow.definition.content import canonical, child_names, event_names
from streamflow.definition.diff import diff as differences
from streamflow.definition.diff import sentences
from streamflow.definition.mermaid import mermaid
from streamflow.definition.model import Definition
from streamflow.definition.syntax import to_yaml
from streamflow.engine.transitions import RunStarted, Transition
from streamflow.errors import OperationError, Rejected
from streamflow.kafka.admin import Admin
from streamflow.kafka.definitions import Snapshot
from streamflow.kafka.publication import publish as publish_content
from streamflow.kafka.publication import read_log
from streamflow.kafka.publication import retire as retire_version
from streamflow.kafka.topics import DEFINITIONS, Topic, topic_name
from streamflow.kafka.unknown_names import unknown_version
from streamflow.ops.catalog import Surroundings
from streamflow.ops.history import read_history
from streamflow.ops.steps import step_states
from streamflow.settings import DEFAULT_ENVIRONMENT, Settings

_PATIENCE_S = 5.0  # for a broker that a check could do without

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Check, publish and look at definitions.")

Paths = Annotated[
    list[Path],
    typer.Argument(
        metavar="FILE|FOLDER...", help="definition files, folders with a definition.yaml, or folders of such folders"
    ),
]
CatalogFile = Annotated[
    Path | None,
    typer.Option(
        "--catalog",
        metavar="FILE|FOLDER",
        help="one catalog for all of them, a file or the files of a folder; else catalog.yaml beside each",
    ),
]
Reference = Annotated[
    str,
    typer.Argument(metavar="NAME[@VERSION]", help="a published definition; without a version the one that starts use"),
]


@app.command(
    epilog=examples("definitions check definitions", "definitions check my-definition.yaml --catalog events.yaml")
)
def check(ctx: typer.Context, paths: Paths, catalog: CatalogFile = None) -> None:
    """Tells everything that is wrong, with place and fix.

    Needs a broker only for what a definition names and what is neither in its catalog nor installed: plugins and
    published definitions."""
    session = session_of(ctx)
    found = checked_all(session.known, paths, catalog, Surroundings(lambda: _log_if_there(session)))
    tell(session, found)
    if not all(each.ok for each in found):
        raise typer.Exit(EXIT_AUTHOR)


@app.command(epilog=examples("definitions publish definitions/order-fulfilment --create-topics"))
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


@app.command("list")
def list_(ctx: typer.Context) -> None:
    """Lists what is published, newest first within a name."""
    session = session_of(ctx)
    log = read_log(session.settings)
    facts: list[dict[str, Any]] = [
        {
            "name": name,
            "version": version,
            "state": "retired"
            if record.retired
            else "starts runs"
            if _current(log, name) == version
            else "serves its runs",
            "published_ms": record.published_ms,
            "sha": record.sha,
        }
        for (name, version), record in sorted(log.versions.items(), key=lambda item: (item[0][0], -item[1].offset))
    ]
    rows = [(f["name"], f["version"], f["state"], output.local_time(f["published_ms"]), f["sha"][:12]) for f in facts]
    empty = "nothing is published yet; `streamflow definitions publish FOLDER` does it"
    session.show(facts, output.table(("definition", "version", "state", "published", "sha256"), rows, empty))


@app.command(epilog=examples("definitions show order-fulfilment", "definitions show order-fulfilment@1 --json"))
def show(ctx: typer.Context, reference: Reference) -> None:
    """Shows a published definition as YAML, and where its events are found here; with --json its catalog too."""
    session = session_of(ctx)
    log = read_log(session.settings)
    name, version = _resolve(log, reference)
    record = log.versions[name, version]
    definition, _ = log.read_version(name, version)
    content, offset = log.contents[record.sha]
    facts = {
        "name": name,
        "version": version,
        "sha": record.sha,
        "offset": offset,
        "retired": record.retired,
        "published_ms": record.published_ms,
    }
    parts: dict[str, Any] = msgspec.json.decode(content)
    bindings: dict[str, Any] = {
        event: log.bindings[event].model_dump(mode="json") if event in log.bindings else None
        for event in event_names(definition)
    }
    notes = [
        f"# {event}: " + (f"{', '.join(found['topics'])}, from {found['start']}" if found else "bound to no topic here")
        for event, found in bindings.items()
    ]
    session.show(facts | parts | {"bindings": bindings}, "\n".join([to_yaml(definition).rstrip(), "", *notes]))


@app.command(epilog=examples("definitions diff order-fulfilment@1 definitions/order-fulfilment"))
def diff(
    ctx: typer.Context,
    old: Annotated[str, typer.Argument(metavar="A", help="a file, a folder, or NAME[@VERSION]")],
    new: Annotated[str, typer.Argument(metavar="B", help="the same")],
    catalog: CatalogFile = None,
) -> None:
    """Tells what differs between two definitions, files or published ones."""
    before, after = (_either(ctx, reference, catalog)[0] for reference in (old, new))
    changes = differences(before, after)
    told = sentences(changes)
    session_of(ctx).show({"same": not changes, "changes": told}, "\n".join(told) or "both mean the same")


@app.command(
    epilog=examples(
        "definitions diagram definitions/order-fulfilment",
        "definitions diagram order-fulfilment --text",
        "definitions diagram --run 4f2a91c0-main-5d0c7a1b2c3d4e5f6071",
    )
)
def diagram(
    ctx: typer.Context,
    reference: Annotated[
        str | None, typer.Argument(metavar="[FILE|FOLDER|NAME[@VERSION]]", help="what to draw; not with --run")
    ] = None,
    run: Annotated[str | None, typer.Option(help="draw the definition of this run, and how far the run is")] = None,
    as_text: Annotated[bool, typer.Option("--text", help="an outline for the terminal instead of Mermaid")] = False,
    catalog: CatalogFile = None,
) -> None:
    """Draws a definition as Mermaid text: paste it at mermaid.live, in GitHub or in any Markdown that draws Mermaid."""
    session = session_of(ctx)
    if (reference is None) == (run is None):
        raise Rejected(
            "definition_or_run", "expected a definition or --run but found both or neither. Give one of them."
        )
    states: dict[str, str] | None = None
    if run is not None:
        history = read_history(session.settings, run)
        states = step_states(history)
        definition, events = _content(read_log(session.settings), history)
    else:
        assert reference is not None
        definition, events = _either(ctx, reference, catalog)
    drawn = outline(definition, events, states) if as_text else mermaid(definition, events, overlay=states).rstrip()
    session.show({"name": definition.name, "version": definition.version, "diagram": drawn}, drawn)


@app.command(epilog=examples("definitions retire order-fulfilment@1"))
def retire(ctx: typer.Context, reference: Annotated[str, typer.Argument(metavar="NAME@VERSION")]) -> None:
    """Takes a version out of use: no new run starts on it, its open runs go on."""
    name, at, version = reference.partition("@")
    if not at:
        raise Rejected("version_unnamed", f"expected name@version but found {reference}. Say which version to retire.")
    session = session_of(ctx)
    done = retire_version(session.settings, name=name, version=version)
    then = f"runs start on {name}@{done.current} now" if done.current else f"no event starts a run of {name} any more"
    session.show(asdict(done), f"{name}@{version} {'was retired before' if done.already else 'is retired'}; {then}")


def _log_if_there(session: Session) -> Snapshot:
    """The definitions log; an empty one, with a warning, when there is no broker to read it from."""
    try:
        return read_log(session.settings, timeout_s=_PATIENCE_S)
    except OperationError as error:
        output.warn(f"plugins and published definitions are not known here: {error.message}")
        return Snapshot()


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


def _current(log: Snapshot, name: str) -> str | None:
    return log.names[name].version if name in log.names else None


def _resolve(log: Snapshot, reference: str) -> tuple[str, str]:
    """The name and version that `reference` means. Raises Rejected if it is not published."""
    name, _, version = reference.partition("@")
    version = version or _current(log, name) or log.newest(name) or ""
    if (name, version) not in log.versions:
        raise unknown_version(log, name, version)
    return name, version


def _either(ctx: typer.Context, reference: str, catalog_file: Path | None) -> tuple[Definition, Catalog]:
    """The definition that `reference` means, a file (with `catalog_file` or the one beside it) or a published one, and
    its catalog."""
    path = Path(reference)
    if path.exists():
        source = sources.find(path, catalog_file)[0]
        definition, catalog = (
            sources.read_definition(source.definition),
            sources.read_catalog(source.catalog) if source.catalog is not None else Catalog(),
        )
        return definition, Surroundings(lambda: _log_if_there(session_of(ctx))).complete(definition, catalog)
    log = read_log(session_of(ctx).settings)
    name, version = _resolve(log, reference)
    return log.read_version(name, version)


def _content(log: Snapshot, history: list[Transition]) -> tuple[Definition, Catalog]:
    """What the run of `history` runs. Raises Rejected if that is no longer published."""
    first = history[0]
    sha = (
        first.data.sha
        if isinstance(first.data, RunStarted)
        else next(
            (
                record.sha
                for (name, version), record in log.versions.items()
                if (name, version) == (first.definition, first.version)
            ),
            "",
        )
    )
    if sha not in log.contents:
        raise Rejected(
            "version_unknown",
            f"expected {first.definition}@{first.version} among the published definitions but it is not there any more",
        )
    return log.read_content(sha, f"{first.definition}@{first.version}")


definitions_functions.add_to(app)
definitions_import.add_to(app)
definitions_simulate.add_to(app)
