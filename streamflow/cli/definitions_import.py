"""`streamflow definitions import`: a process that another system describes, as a definition, with a report on each
part."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from ruamel.yaml import YAML

from streamflow.cli import definition_files, output, places
from streamflow.cli.output import examples
from streamflow.cli.session import EXIT_AUTHOR, session_of
from streamflow.definition.catalog import Catalog
from streamflow.definition.syntax import load_text, to_yaml
from streamflow.errors import DefinitionError, Rejected

if TYPE_CHECKING:
    from streamflow.importing.report import Imported
    from streamflow.importing.steps import Plugin

_HEADINGS = {
    "mapped": "mapped: it means the same",
    "approximated": "approximated: check these",
    "refused": "refused: not in the definition",
}


def import_(
    ctx: typer.Context,
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE", help="a workflow.json: steps with plugin, dependsOn and {{step.field}} templates"
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", help="folder to write definition.yaml and catalog.yaml to; by default the definition is only shown"
        ),
    ] = None,
    plugins: Annotated[
        Path | None,
        typer.Option(
            "--plugins", help="YAML file: plugin: operation, or plugin: {operation: name, inputs: {theirs: ours}}"
        ),
    ] = None,
    catalog: Annotated[
        Path | None, typer.Option("--catalog", help="catalog file with contracts of further operations")
    ] = None,
    partial: Annotated[
        bool,
        typer.Option("--partial", help="write the definition without the refused parts"),
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="overwrite files in the folder")] = False,
) -> None:
    """Converts a JavaScript-style workflow.json to a definition, and lists what was mapped, approximated or refused.
    Needs no broker."""
    from streamflow.importing.workflow import import_workflow
    from streamflow.operations.registry import known_operations  # with every client there is: only for those who import

    session = session_of(ctx)
    given = definition_files.read_catalog(catalog) if catalog is not None else Catalog()
    known = Catalog(
        events=given.events,
        operations=[*given.operations, *(spec for spec in known_operations() if given.operation(spec.name) is None)],
    )
    found = import_workflow(_text(file), known=known, plugins=_plugins(plugins), fallback=_title(file))
    written: list[Path] = []
    if out is not None and found.definition is not None and (found.whole or partial):
        written = _write(found, given, out, force=force)
    shown = to_yaml(found.definition).rstrip() if found.definition is not None else None
    facts: dict[str, Any] = {"whole": found.whole, "written": [str(path) for path in written], "definition": shown}
    session.show(facts | found.facts(), _summary(found, shown if out is None else None, file))
    if written and not session.json:
        output.note(f"written: {', '.join(map(str, written))}. Check it with: streamflow definitions check {out}")
    if not found.whole:
        if out is not None and not written and not session.json:
            output.warn(
                "nothing is written: correct what is refused, or write the rest with --partial"
                if found.definition
                else "nothing can be written"
            )
        raise typer.Exit(EXIT_AUTHOR)


def add_to(app: typer.Typer) -> None:
    """The verb of this module, as a command of `app`."""
    app.command(
        "import",
        epilog=examples(
            "definitions import workflow.json",
            "definitions import workflow.json --out my-process --plugins plugins.yaml",
        ),
    )(import_)


def _summary(found: Imported, shown: str | None, file: Path) -> str:
    lines = [shown, ""] if shown is not None else []
    for outcome, heading in _HEADINGS.items():
        findings = found.of(outcome)  # type: ignore[arg-type]
        if findings:
            lines += [heading, *(f"  {finding}" for finding in findings)]
    counts = ", ".join(f"{len(found.of(outcome))} {outcome}" for outcome in _HEADINGS)  # type: ignore[arg-type]
    return "\n".join([*lines, f"{file}: {counts}"])


def _plugins(file: Path | None) -> dict[str, Plugin]:
    from streamflow.importing.steps import Plugin

    if file is None:
        return {}
    try:
        value = load_text(_text(file)) or {}
    except DefinitionError as error:
        raise Rejected(
            "plugins_unreadable",
            f"{file} cannot be read as YAML: {error.problems[0].message} Write `plugin: operation` lines.",
        ) from error
    found = {}
    for name, item in value.items() if isinstance(value, dict) else [(None, None)]:
        fields = {"operation": item} if isinstance(item, str) else item
        inputs = fields.get("inputs", {}) if isinstance(fields, dict) else None
        if (
            not isinstance(fields, dict)
            or not isinstance(fields.get("operation"), str)
            or not isinstance(inputs, dict)
            or fields.keys() - {"operation", "inputs"}
        ):
            raise Rejected(
                "plugins_invalid",
                f"expected `plugin: operation` in {file} but {name} is something else. Write the name of an operation.",
            )
        found[str(name)] = Plugin(fields["operation"], {str(theirs): str(ours) for theirs, ours in inputs.items()})
    return found


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise Rejected(
            "file_unreadable", f"expected to read {file} but {reason}. Check the path and its encoding."
        ) from error


def _title(file: Path) -> str:
    """What a process without a name is called: its file, or the folder of a file that is called as they all are."""
    stem = file.name.partition(".")[0]
    return file.resolve().parent.name if stem in ("workflow", "") else stem


def _write(found: Imported, given: Catalog, out: Path, *, force: bool) -> list[Path]:
    """Writes both files. Raises Rejected if they are there."""
    assert found.definition is not None
    catalog = Catalog(events=given.events, operations=[*given.operations, *found.catalog.operations])
    files = {out / places.DEFINITION: to_yaml(found.definition), out / places.CATALOG: _catalog_yaml(catalog)}
    there = [path for path in files if path.exists()]
    if there and not force:
        raise Rejected(
            "file_exists",
            f"expected a new folder but {there[0]} exists. Choose another, or overwrite it with --force.",
        )
    for path, text in files.items():
        output.write_file(path, text)
    return list(files)


def _catalog_yaml(catalog: Catalog) -> str:
    writer = YAML(typ="rt", pure=True)
    writer.indent(mapping=2, sequence=4, offset=2)
    writer.width = 1000
    target = io.StringIO()
    value = catalog.model_dump(mode="json", by_alias=True, exclude_none=True, exclude_defaults=True)
    writer.dump({"events": value.get("events", []), "operations": value.get("operations", [])}, target)
    return target.getvalue()
