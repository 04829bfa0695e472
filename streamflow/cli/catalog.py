"""`streamflow catalog`: catalogs of events from schemas. See also `catalog_subjects`."""

from __future__ import annotations

import os
import re
import stat
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from streamflow.cli import catalog_subjects, output
from streamflow.cli.output import examples
from streamflow.cli.session import EXIT_AUTHOR, session_of
from streamflow.errors import Rejected
from streamflow.wire.codec import DecodeError
from streamflow.wire.json_text import read_json

if TYPE_CHECKING:
    from streamflow.importing.catalog import CatalogImport

_FILE_BYTES = 1_000_000
_FILES = 5_000
_ALL_BYTES = 50_000_000
_MOST_SKIPPED = 20  # skipped files that are listed one by one; `--json` lists all

app = typer.Typer(
    add_completion=False, no_args_is_help=True, rich_markup_mode=None, help="Make catalogs of events from schemas."
)


@app.callback()
def catalog() -> None:
    """Make catalogs of events from schemas."""


@app.command(
    "import",
    epilog=examples(
        "catalog import payload-schemas --topic github --events 'github.issues.*' --out catalog.yaml",
        "catalog import order-placed.schema.json --topic orders",
    ),
)
def import_(
    ctx: typer.Context,
    path: Annotated[
        Path, typer.Argument(metavar="FILE|FOLDER", help="a JSON Schema, or a folder with JSON Schemas at any depth")
    ],
    topic: Annotated[str, typer.Option("--topic", help="topic of the events")],
    out: Annotated[
        Path | None, typer.Option("--out", help="catalog file to write; by default nothing is written")
    ] = None,
    events: Annotated[
        list[str] | None,
        typer.Option(
            "--events", help="only events of this name, such as 'github.issues.*'; may be given several times"
        ),
    ] = None,
    source: Annotated[
        str | None, typer.Option("--source", help="source of events without one (`source` of the catalog)")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="overwrite the file")] = False,
) -> None:
    """Makes a catalog of the JSON Schemas in a file or folder: GitHub's webhooks, Google's CloudEvents, or plain
    schemas. Shows what it contains, what is skipped and why, and how many fields are typed. Does not access the
    network, and needs no broker."""
    from streamflow.importing.catalog import import_catalog
    from streamflow.kafka.topics import is_own

    session = session_of(ctx)
    if re.fullmatch(r"[A-Za-z0-9._-]{1,249}", topic) is None:
        _refuse("bad_topic", f"{topic!r} is not the name of a topic. Use letters, digits and . _ -, at most 249.")
    if is_own(session.settings, topic):
        _refuse("topic_reserved", f"{topic} is a topic of Streamflow's own. Name the topic of the events.")
    if out is not None and out.exists() and not force:
        _refuse("file_exists", f"{out} exists already. Choose another file, or overwrite it with --force.")
    files, unreadable = _read(path)
    found = import_catalog(files, topic=topic, wanted=events or (), source=source)
    facts = _facts(found, unreadable)
    written = False
    if out is not None and found.events:
        output.write_file(out, found.text())
        written = True
    session.show(facts | {"written": str(out) if written else None}, _report(found, unreadable, facts))
    if written and not session.json:
        output.note(f"written: {out}")
    if not found.events:
        raise typer.Exit(EXIT_AUTHOR)


catalog_subjects.add_to(app)


def _read(path: Path) -> tuple[dict[str, Any], list[tuple[str, str]]]:
    """What the JSON files at `path` hold, by their path in it; and which cannot be read, with the reason. Links are not
    followed. Raises Rejected when there is too much, or nothing."""
    if path.is_dir():
        found = [
            Path(folder, name) for folder, _, names in os.walk(path) for name in names if name.lower().endswith(".json")
        ]
        root = path
    else:
        found, root = [path], path.parent
    if not found:
        _refuse("no_schemas", f"There is no .json file in {path}. Name a JSON Schema, or a folder with some.")
    if len(found) > _FILES:
        _refuse(
            "too_many_files", f"There are {len(found)} files in {path}, more than {_FILES}. Name a folder within it."
        )
    files: dict[str, Any] = {}
    unreadable: list[tuple[str, str]] = []
    size = 0
    for each in sorted(found):
        name = each.relative_to(root).as_posix()
        try:
            about = each.lstat() if path.is_dir() else each.stat()
            if not stat.S_ISREG(about.st_mode):
                unreadable.append((name, "it is not a regular file"))
                continue
            if about.st_size > _FILE_BYTES:
                unreadable.append((name, f"it has {about.st_size} bytes, more than {_FILE_BYTES}"))
                continue
            size += about.st_size
            if size > _ALL_BYTES:
                _refuse("too_large", f"The files in {path} have more than {_ALL_BYTES} bytes. Name a folder within it.")
            files[name] = read_json(each.read_bytes())
        except OSError as error:
            if not path.is_dir():
                _refuse("file_unreadable", f"{path} cannot be read: {error.strerror}. Check the path and its rights.")
            unreadable.append((name, f"it cannot be read: {error.strerror}"))
        except DecodeError as error:
            unreadable.append((name, f"it is not readable JSON ({error.code})"))
    return files, unreadable


def _facts(found: CatalogImport, unreadable: list[tuple[str, str]]) -> dict[str, Any]:
    skipped = [*unreadable, *((one.file, one.reason) for one in found.skipped)]
    return {
        "events": [
            {"name": one.name, "file": one.file, "fields_typed": one.fields.typed, "fields_open": one.fields.open}
            for one in found.imported
        ],
        "shared_schemas": sorted(found.shared),
        "fields_typed": sum(one.fields.typed for one in found.imported),
        "fields_open": sum(one.fields.open for one in found.imported),
        "skipped": [{"file": file, "reason": reason} for file, reason in skipped],
    }


def _report(found: CatalogImport, unreadable: list[tuple[str, str]], facts: dict[str, Any]) -> str:
    rows = [[one.name, str(one.fields.typed), str(one.fields.open), one.file] for one in found.imported]
    lines = [output.table(("event", "typed>", "open>", "file"), rows, "no events")]
    skipped = [*unreadable, *((one.file, one.reason) for one in found.skipped)]
    reasons = Counter(reason for _, reason in skipped)
    if len(skipped) > _MOST_SKIPPED:
        lines += [f"skipped {count} files: {reason}" for reason, count in sorted(reasons.items())]
    else:
        lines += [f"skipped {file}: {reason}" for file, reason in skipped]
    fields = facts["fields_typed"] + facts["fields_open"]
    share = f", {100 * facts['fields_typed'] / fields:.1f} % of {fields} fields typed" if fields else ""
    lines.append(
        f"{len(found.imported)} events, {len(found.shared)} shared schemas{share}; {len(skipped)} files skipped"
    )
    return "\n".join(lines)


def _refuse(code: str, message: str) -> NoReturn:
    raise Rejected(code, message)
