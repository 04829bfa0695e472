"""`streamflow examples`: the definitions that come with Streamflow, listed, and copied into a folder."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Annotated

import typer

from streamflow.cli import definition_files, output
from streamflow.cli.output import examples
from streamflow.cli.places import CATALOG
from streamflow.cli.session import session_of
from streamflow.definition.catalog import Catalog
from streamflow.errors import OperationError, Rejected
from streamflow.examples_folder import examples_folder

app = typer.Typer(
    add_completion=False,
    help="The definitions that come with Streamflow: list them, copy one to change it.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


def example_folder(name: str) -> Path:
    """The folder of one example: definition, catalog, scenarios, samples. Raises Rejected `example_unknown`."""
    if name not in _names():
        raise Rejected("example_unknown", f"There is no example {name!r}. The examples are {', '.join(_names())}.")
    return examples_folder() / name


def example_catalogs() -> Catalog:
    """All events and operations of the examples, in one catalog."""
    found = [definition_files.read_catalog(file) for file in example_catalog_files()]
    events = {spec.name: spec for catalog in found for spec in catalog.events}
    operations = {spec.name: spec for catalog in found for spec in catalog.operations}
    return Catalog(events=list(events.values()), operations=list(operations.values()))


def example_catalog_files() -> tuple[Path, ...]:
    """The catalogs of the examples."""
    return tuple(example_folder(name) / CATALOG for name in _names())


@app.command("list", epilog=examples("examples list"))
def list_examples(ctx: typer.Context) -> None:
    """Lists the examples with a description of each."""
    found = [
        {"name": name, "title": definition.title or "", "description": definition.description or ""}
        for name in _names()
        for definition in (definition_files.read_definition(example_folder(name)),)
    ]
    if session_of(ctx).json:
        output.say_json(found)
        return
    rows = [(entry["name"], entry["title"]) for entry in found]
    output.say(output.table(("EXAMPLE", "WHAT IT SHOWS"), rows, "No examples."))


@app.command(epilog=examples("examples copy order-fulfilment", "examples copy order-fulfilment my-definitions"))
def copy(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help="one of `streamflow examples list`")],
    folder: Annotated[Path, typer.Argument(help="folder in which the example's folder is created")] = Path(
        "definitions"
    ),
) -> None:
    """Copies an example into FOLDER/NAME. An existing folder is not changed."""
    place, target = example_folder(name), folder / name
    if target.exists():
        raise Rejected("example_exists", f"{target} exists already. Remove it, or name another folder.")
    try:
        shutil.copytree(place, target, ignore=shutil.ignore_patterns("__pycache__"))
    except OSError as error:
        raise OperationError("example_not_copied", f"{target} cannot be written: {error}.", retryable=False) from error
    if session_of(ctx).json:
        output.say_json({"example": name, "folder": str(target)})
        return
    output.say(f"{target} written. Next: streamflow definitions check {target}")


def _names() -> list[str]:
    return sorted(path.parent.name for path in examples_folder().glob("*/definition.yaml"))
