"""`streamflow draft write`: a sentence in English as a draft of a definition, by rules and without a language model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from streamflow.cli import definition_files, output, places
from streamflow.cli.draft_text import questions_lines, refuse_existing, statement_lines, write_new, yaml_of
from streamflow.cli.examples import example_catalog_files, example_catalogs
from streamflow.cli.output import examples
from streamflow.cli.session import EXIT_AUTHOR, session_of
from streamflow.definition.catalog import Catalog
from streamflow.definition.content import event_names, operation_names
from streamflow.definition.model import Definition
from streamflow.definition.syntax import parse_definition

if TYPE_CHECKING:
    from streamflow.authoring.drafter.drafted import Drafted

_SENTENCE = "when a payment above 500 euros comes, ask an analyst within 30 minutes, block it if nobody answers"


@dataclass(frozen=True, slots=True)
class _Known:
    """What a draft may use, and the files that it comes from."""

    catalog: Catalog
    files: tuple[Path, ...]


def write(
    ctx: typer.Context,
    sentence: Annotated[str, typer.Argument(metavar="SENTENCE", help="what should happen, in plain English")],
    catalog: Annotated[
        Path | None,
        typer.Option(
            "--catalog",
            metavar="FILE|FOLDER",
            help="events and operations; default: catalog.yaml of this folder, or those of the examples",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="FOLDER|FILE",
            help="folder to write definition.yaml and catalog.yaml to, or a .yaml file for the definition alone",
        ),
    ] = None,
) -> None:
    """Drafts a definition from a sentence: `when EVENT, if CONDITION, then ACTION, wait for EVENT within TIME`.

    It uses rules, not a language model. Only events and operations of the catalog are used; unknown ones become
    questions. Needs no broker."""
    from streamflow.authoring.drafter.drafter import draft

    session = session_of(ctx)
    known = _known(catalog)
    drafted = draft(sentence, with_installed(known.catalog, sentence))
    written = _write(out, drafted, known) if out is not None and drafted.complete else []
    session.show(facts(drafted) | {"written": [str(file) for file in written]}, drafted_text(drafted))
    if not session.json:
        _say_next(out, drafted, written)
    if not drafted.complete:
        raise typer.Exit(EXIT_AUTHOR)


def facts(drafted: Drafted) -> dict[str, Any]:
    """A draft as JSON data."""
    from streamflow.authoring.statements import facts as statement_facts

    return {
        "by": "rules",
        "complete": drafted.complete,
        "definition": drafted.text,
        "statements": statement_facts(drafted.statements),
        "questions": [one.facts() for one in drafted.questions],
    }


def drafted_text(drafted: Drafted) -> str:
    """A draft as text: the definition, its statements, and the questions."""
    lines = [drafted.text.rstrip(), ""] if drafted.text is not None else []
    lines.append("drafted by rules, not by a language model")
    if drafted.statements:
        lines += ["", "what was understood", *statement_lines(drafted.statements)]
    lines += questions_lines(
        drafted.questions, "answer these first; each choice is a new sentence", "optional questions"
    )
    return "\n".join(lines)


def add_to(app: typer.Typer) -> None:
    """The verb of this module, as a command of `app`."""
    app.command(
        epilog=examples(f'draft write "{_SENTENCE}" --out payment', 'draft write "when ..." --catalog my/catalog.yaml')
    )(write)


def _known(path: Path | None) -> _Known:
    """The catalog at `path`, or the one that there is."""
    beside = Path(places.CATALOG)
    if path is not None or beside.is_file():
        file = path or beside
        return _Known(definition_files.read_catalog(file), (file / places.CATALOG if file.is_dir() else file,))
    output.note("no --catalog and no catalog.yaml here: the events and operations of the examples are used")
    return _Known(example_catalogs(), example_catalog_files())


def with_installed(catalog: Catalog, sentence: str) -> Catalog:
    """The catalog, with the operations known here that the sentence names."""
    from streamflow.operations.registry import known_operations

    named = [spec for spec in known_operations() if spec.name in sentence and catalog.operation(spec.name) is None]
    return catalog.model_copy(update={"operations": [*catalog.operations, *named]})


def _write(out: Path, drafted: Drafted, known: _Known) -> list[Path]:
    """Writes a definition, and beside it its catalog if `out` is a folder. The files that are written."""
    assert drafted.text is not None
    if out.suffix in (".yaml", ".yml"):
        write_new(out, drafted.text)
        return [out]
    definition, catalog = out / places.DEFINITION, out / places.CATALOG
    refuse_existing(definition)
    if any(catalog.exists() and file.exists() and catalog.samefile(file) for file in known.files):
        write_new(definition, drafted.text)
        return [definition]
    write_new(catalog, _catalog_text(parse_definition(drafted.text), known))
    write_new(definition, drafted.text)
    return [definition, catalog]


def _catalog_text(definition: Definition, known: _Known) -> str:
    """The file that has all that the definition takes from the catalog, as it is; else all of the catalog."""
    events = {name for name in event_names(definition) if known.catalog.event(name)}
    operations = {name for name in operation_names(definition) if known.catalog.operation(name)}
    for file in known.files:
        found = definition_files.read_catalog(file) if file.is_file() else Catalog()
        if all(map(found.event, events)) and all(map(found.operation, operations)):
            return file.read_text(encoding="utf-8")
    return yaml_of(known.catalog.model_dump(mode="json", by_alias=True, exclude_none=True, exclude_defaults=True))


def _say_next(out: Path | None, drafted: Drafted, written: list[Path]) -> None:
    if out is not None and not drafted.complete:
        output.warn("nothing is written until the blocking questions are answered")
    elif written:
        output.note(f"written: {', '.join(map(str, written))}")
    elif drafted.complete:
        output.note("not written, see --out")
    if len(written) > 1:
        output.note(f"next: streamflow draft samples {out} --out {out}/{definition_files.SCENARIOS}")
        output.note(f"      streamflow definitions simulate {out}")
