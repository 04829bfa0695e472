"""`streamflow draft`: definitions while they are written. Drafting and editing one by sentences, sample events for it,
what operations do to it, what changed, what is understood, and what is missing."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from streamflow.authoring.difference import diagrams, difference
from streamflow.authoring.draft import Draft
from streamflow.authoring.gaps import gaps as gaps_of
from streamflow.authoring.operations import Refusal, Revision, apply_tool, read_operations, tools
from streamflow.authoring.operations import apply as applied
from streamflow.authoring.questions import questions
from streamflow.authoring.statements import facts, statements
from streamflow.cli import definition_files, draft_samples, draft_write, output
from streamflow.cli.draft_edit import edit_facts, edit_text
from streamflow.cli.draft_text import CatalogFile, DraftFile, question_lines, statement_lines
from streamflow.cli.output import examples
from streamflow.cli.places import DEFINITION, Placed, read_file
from streamflow.cli.session import EXIT_AUTHOR, Session, session_of
from streamflow.definition.catalog import Catalog
from streamflow.definition.lines import Lines
from streamflow.definition.model import Definition
from streamflow.definition.syntax import load_text
from streamflow.errors import Rejected

app = typer.Typer(
    add_completion=False, no_args_is_help=True, rich_markup_mode=None, help="Write, edit and understand definitions."
)

draft_write.add_to(app)
draft_samples.add_to(app)

Settled = Annotated[
    list[str] | None,
    typer.Option("--settled", metavar="KIND:ADDRESS", help="a gap to ignore; may be given several times"),
]


@app.command(
    "apply",
    epilog=examples(
        "draft apply my-process edit.json",
        "draft apply my-process edit.json --write",
        "draft apply my-process edit.json --text > edited.yaml",
    ),
)
def apply_(
    ctx: typer.Context,
    file: DraftFile,
    operations: Annotated[
        Path, typer.Argument(metavar="OPERATIONS", help="JSON or YAML file: a list of operations ({op: rename, ...})")
    ],
    catalog: CatalogFile = None,
    base: Annotated[
        str | None, typer.Option("--base", metavar="SHA", help="refuse unless the draft has this hash")
    ] = None,
    write: Annotated[bool, typer.Option("--write", help="write the result into FILE")] = False,
    as_text: Annotated[bool, typer.Option("--text", help="show the new text instead of the changes")] = False,
) -> None:
    """Applies operations to a definition, all or none, and shows what changed and the new problems."""
    session = session_of(ctx)
    path, draft = _read(file)
    given = read_file(operations, lambda text: read_operations(load_text(text)), "edit_malformed")
    revision = _applied(session, draft, given, _catalog_file(path, catalog), base)
    if write:
        path.write_text(revision.draft.text, encoding="utf-8")
    answer = revision.facts() | {"text": revision.draft.text, "written": str(path) if write else None}
    session.show(answer, revision.draft.text.rstrip("\n") if as_text else _told(revision, path, write=write))


@app.command(
    epilog=examples(
        'draft edit my-process "change the time limit to 2 hours"',
        'draft edit my-process "after block also notify the customer" --write',
    ),
)
def edit(
    ctx: typer.Context,
    file: DraftFile,
    sentence: Annotated[str, typer.Argument(metavar="SENTENCE", help="what should change, in plain English")],
    catalog: CatalogFile = None,
    write: Annotated[bool, typer.Option("--write", help="write the result into FILE")] = False,
) -> None:
    """Edits a definition by a sentence: time limits, conditions, names, new, removed and replaced steps.

    It works by rules, without a language model. If something is unclear, it asks and changes nothing."""
    from streamflow.authoring.editor.editor import edit as edited

    session = session_of(ctx)
    path, draft = _read(file)
    place = _catalog_file(path, catalog)
    own = draft_write.with_installed(definition_files.read_catalog(place) if place is not None else Catalog(), sentence)
    found = edited(sentence, draft, own, judged=_complete(session, place, draft.definition, own))
    if found.revision is not None and write:
        path.write_text(found.revision.draft.text, encoding="utf-8")
    session.show(edit_facts(found, path if write else None), edit_text(found, path, write=write))
    if not found.complete:
        raise typer.Exit(EXIT_AUTHOR)


@app.command(epilog=examples("draft diff before.yaml after.yaml", "draft diff before.yaml after.yaml --mermaid"))
def diff(
    ctx: typer.Context,
    before: Annotated[Path, typer.Argument(metavar="A", help="a definition, or a folder with definition.yaml")],
    after: Annotated[Path, typer.Argument(metavar="B", help="the same")],
    catalog: CatalogFile = None,
    as_mermaid: Annotated[
        bool, typer.Option("--mermaid", help="draw B, with added, moved and changed steps in colours")
    ] = False,
) -> None:
    """Shows the changes from one definition to another, step by step. Renamed steps are recognised."""
    (first, old), (second, new) = _read(before), _read(after)
    session = session_of(ctx)
    known = _complete(session, _catalog_file(second, catalog) or _catalog_file(first, None), new.definition)
    changed = difference(old, new, known)
    drawn = diagrams(old, new, known, changed)
    answer = {"same": not changed.changes, "changes": changed.facts(), "colours": changed.colours}
    text = "\n".join(changed.sentences) or "both mean the same"
    session.show(answer | {"diagrams": list(drawn)}, drawn[1].rstrip() if as_mermaid else text)


@app.command(epilog=examples("draft gaps my-process", "draft gaps my-process --settled no_time_limit:/steps/charge"))
def gaps(ctx: typer.Context, file: DraftFile, catalog: CatalogFile = None, settled: Settled = None) -> None:
    """Lists the gaps of a definition as at most three questions, each with what an answer would change."""
    session = session_of(ctx)
    path, draft = _read(file)
    known = _complete(session, _catalog_file(path, catalog), draft.definition)
    found = gaps_of(draft, known, settled=settled or ())
    asked = questions(draft, known, settled=settled or ())
    lines = [f"{gap.key}: {gap.text}" for gap in found]
    for number, question in enumerate(asked, 1):
        lines += ["", *question_lines(number, question)]
    answer = {
        "gaps": [{"key": gap.key, "kind": gap.kind, "address": gap.address, "text": gap.text} for gap in found],
        "questions": [question.facts() for question in asked],
    }
    session.show(answer, "\n".join(lines) or "there are no gaps")


@app.command(epilog=examples("draft explain my-process", "draft explain my-process --json"))
def explain(ctx: typer.Context, file: DraftFile, catalog: CatalogFile = None, settled: Settled = None) -> None:
    """Explains in English what a definition means: what it says, what is assumed, what is missing."""
    session = session_of(ctx)
    path, draft = _read(file)
    found = statements(draft, _complete(session, _catalog_file(path, catalog), draft.definition), settled=settled or ())
    session.show(facts(found), "\n".join(statement_lines(found)))


@app.command("tools", epilog=examples("draft tools", "draft tools --each"))
def tools_(
    ctx: typer.Context,
    each: Annotated[bool, typer.Option("--each", help="one tool for each operation instead of one for a list")] = False,
) -> None:
    """Shows the operations on drafts as tools of a language model, with JSON Schemas."""
    output.say_json(tools() if each else [apply_tool()])


def _read(file: Path) -> tuple[Path, Draft]:
    path = file / DEFINITION if file.is_dir() else file
    return path, read_file(path, Draft.parse, "definition_invalid")


def _catalog_file(path: Path, catalog: Path | None) -> Path | None:
    return definition_files.find(path, catalog)[0].catalog


def _complete(session: Session, file: Path | None, definition: Definition, known: Catalog | None = None) -> Catalog:
    """The catalog in `file` and what `definition` names beside it: installed operations, and, if a broker has to be
    asked for them, plugins and published definitions."""
    from streamflow.cli.definitions import log_if_there
    from streamflow.ops.catalog import CatalogResolver

    if known is None:
        known = definition_files.read_catalog(file) if file is not None else Catalog()
    return CatalogResolver(lambda: log_if_there(session)).complete(definition, known)


def _applied(session: Session, draft: Draft, given: Any, file: Path | None, base: str | None) -> Revision:
    """The revision. Raises Rejected if it is refused."""
    catalog = _complete(session, file, draft.definition)
    found = applied(draft, given, catalog, base=base)
    if isinstance(found, Revision):
        larger = _complete(session, file, found.draft.definition, catalog)
        found = applied(draft, given, larger, base=base) if larger != catalog else found
    if isinstance(found, Refusal):
        raise Rejected(found.code, found.message)
    return found


def _told(revision: Revision, path: Path, *, write: bool) -> str:
    places = Lines(revision.draft.text)
    placed = [str(Placed(path, *places.of(one.pointer), one)) for one in revision.new_problems]
    left = len(revision.problems) - len(placed)
    return "\n".join(
        [
            *(revision.difference.sentences or ["nothing changed"]),
            *placed,
            f"{path}: {len(placed)} new problem(s), {left} known ones",
            f"{path}: {'written' if write else 'not written, see --write'}",
        ]
    )
