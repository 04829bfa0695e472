"""`streamflow definitions`: check definitions; show, compare and draw published ones."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from streamflow.cli import (
    definition_files,
    definitions_approve,
    definitions_functions,
    definitions_import,
    definitions_promote,
    definitions_publish,
    definitions_shadow,
    definitions_simulate,
    output,
)
from streamflow.cli.checking import CatalogFile, Paths, checked_all, tell
from streamflow.cli.output import examples
from streamflow.cli.session import EXIT_AUTHOR, Session, session_of
from streamflow.definition.catalog import Catalog
from streamflow.definition.mermaid import mermaid
from streamflow.definition.model import Definition
from streamflow.definition.outline import outline
from streamflow.definition.syntax import to_yaml
from streamflow.errors import OperationError, Rejected
from streamflow.kafka.definitions import Snapshot
from streamflow.kafka.publication import read_log
from streamflow.ops.catalog import CatalogResolver
from streamflow.ops.definitions import compared, content_of_run, listed, resolve, shown
from streamflow.ops.history import read_history
from streamflow.ops.steps import step_states

_PATIENCE_S = 5.0  # for a broker that a check could do without

app = typer.Typer(
    add_completion=False, no_args_is_help=True, rich_markup_mode=None, help="Check, publish and show definitions."
)

Reference = Annotated[
    str,
    typer.Argument(metavar="NAME[@VERSION]", help="a published definition; default: the version that new runs use"),
]


@app.command(
    epilog=examples("definitions check definitions", "definitions check my-definition.yaml --catalog events.yaml")
)
def check(ctx: typer.Context, paths: Paths, catalog: CatalogFile = None) -> None:
    """Lists every problem with its place and fix. Needs a broker only for plugins and published definitions that are
    neither in the catalog nor installed."""
    session = session_of(ctx)
    found = checked_all(session.known, paths, catalog, CatalogResolver(lambda: log_if_there(session)))
    tell(session, found)
    if not all(each.ok for each in found):
        raise typer.Exit(EXIT_AUTHOR)


@app.command("list")
def list_(ctx: typer.Context) -> None:
    """Lists published versions, newest first within a name."""
    session = session_of(ctx)
    log = read_log(session.settings)
    facts = listed(log)
    rows = [(f["name"], f["version"], f["state"], output.local_time(f["published_ms"]), f["sha"][:12]) for f in facts]
    empty = "no definition is published yet; `streamflow definitions publish FOLDER` publishes one"
    session.show(facts, output.table(("definition", "version", "state", "published", "sha256"), rows, empty))


@app.command(epilog=examples("definitions show order-fulfilment", "definitions show order-fulfilment@1 --json"))
def show(ctx: typer.Context, reference: Reference) -> None:
    """Shows a published definition as YAML, with the topics of its events; with --json its catalog too."""
    session = session_of(ctx)
    log = read_log(session.settings)
    name, version = resolve(log, reference)
    facts = shown(log, name, version)
    definition, _ = log.read_version(name, version)
    notes = [
        f"# {event}: " + (f"{', '.join(found['topics'])}, from {found['start']}" if found else "bound to no topic here")
        for event, found in facts["bindings"].items()
    ]
    session.show(facts, "\n".join([to_yaml(definition).rstrip(), "", *notes]))


@app.command(epilog=examples("definitions diff order-fulfilment@1 definitions/order-fulfilment"))
def diff(
    ctx: typer.Context,
    old: Annotated[str, typer.Argument(metavar="A", help="a file, a folder, or NAME[@VERSION]")],
    new: Annotated[str, typer.Argument(metavar="B", help="the same")],
    catalog: CatalogFile = None,
) -> None:
    """Shows the differences between two definitions, files or published ones."""
    before, after = (_either(ctx, reference, catalog)[0] for reference in (old, new))
    found = compared(before, after)
    session_of(ctx).show(found, "\n".join(found["changes"]) or "both mean the same")


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
        str | None, typer.Argument(metavar="[FILE|FOLDER|NAME[@VERSION]]", help="the definition; not with --run")
    ] = None,
    run: Annotated[str | None, typer.Option(help="draw the definition of this run, with the run's progress")] = None,
    as_text: Annotated[bool, typer.Option("--text", help="an outline for the terminal instead of Mermaid")] = False,
    catalog: CatalogFile = None,
) -> None:
    """Draws a definition as Mermaid text: paste it into mermaid.live, GitHub or any Markdown that renders Mermaid."""
    session = session_of(ctx)
    if (reference is None) == (run is None):
        raise Rejected(
            "definition_or_run", "expected a definition or --run but found both or neither. Give one of them."
        )
    states: dict[str, str] | None = None
    if run is not None:
        history = read_history(session.settings, run)
        states = step_states(history)
        definition, events = content_of_run(read_log(session.settings), history)
    else:
        assert reference is not None
        definition, events = _either(ctx, reference, catalog)
    drawn = outline(definition, events, states) if as_text else mermaid(definition, events, overlay=states).rstrip()
    session.show({"name": definition.name, "version": definition.version, "diagram": drawn}, drawn)


def log_if_there(session: Session) -> Snapshot:
    """The definitions log; an empty one, with a warning, when there is no broker to read it from."""
    try:
        return read_log(session.settings, timeout_s=_PATIENCE_S)
    except OperationError as error:
        output.warn(f"plugins and published definitions are not known here: {error.message}")
        return Snapshot()


def _either(ctx: typer.Context, reference: str, catalog_file: Path | None) -> tuple[Definition, Catalog]:
    """The definition that `reference` means, a file (with `catalog_file` or the one beside it) or a published one, and
    its catalog."""
    path = Path(reference)
    if path.exists():
        source = definition_files.find(path, catalog_file)[0]
        definition, catalog = (
            definition_files.read_definition(source.definition),
            definition_files.read_catalog(source.catalog) if source.catalog is not None else Catalog(),
        )
        return definition, CatalogResolver(lambda: log_if_there(session_of(ctx))).complete(definition, catalog)
    log = read_log(session_of(ctx).settings)
    name, version = resolve(log, reference)
    return log.read_version(name, version)


definitions_publish.add_to(app)
definitions_approve.add_to(app)
definitions_promote.add_to(app)
definitions_shadow.add_to(app)
definitions_functions.add_to(app)
definitions_import.add_to(app)
definitions_simulate.add_to(app)
