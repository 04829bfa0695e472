"""Definitions and catalogs as files: their places, and their problems with line numbers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import NoReturn

from streamflow.cli.catalogs import read_catalogs
from streamflow.cli.places import CATALOG, DEFINITION, Placed, invalid, parsed, placed_in, read_file, text_of
from streamflow.definition.bindings import EnvironmentBindings
from streamflow.definition.catalog import Catalog
from streamflow.definition.check import check, never
from streamflow.definition.content import child_names
from streamflow.definition.model import Definition
from streamflow.definition.syntax import parse_as, parse_definition
from streamflow.errors import DefinitionError, Rejected

SCENARIOS = "scenarios.yaml"  # beside a definition


@dataclass(frozen=True, slots=True)
class Source:
    """A definition file and the catalog file it goes with (None: the published catalog)."""

    definition: Path
    catalog: Path | None


@dataclass(frozen=True, slots=True)
class Checked:
    """What was found in a source. `definition` and `catalog` are None when their file cannot be read."""

    source: Source
    definition: Definition | None
    catalog: Catalog | None
    problems: tuple[Placed, ...]

    @property
    def ok(self) -> bool:
        """Whether it can run; there may be warnings."""
        return (
            self.definition is not None
            and self.catalog is not None
            and all(placed.problem.severity != "error" for placed in self.problems)
        )


def find(path: Path, catalog: Path | None = None) -> list[Source]:
    """The definitions at `path`: a file, a folder with `definition.yaml`, or a folder of such folders. A `catalog.yaml`
    beside each belongs to it unless `catalog` is given.

    Raises Rejected when there is none."""
    if path.is_file():
        return [_source(path, catalog)]
    if not path.is_dir():
        raise Rejected(
            "no_such_file", f"expected a definition at {path} but there is no such file or folder. Check the path."
        )
    if (path / DEFINITION).is_file():
        return [_source(path / DEFINITION, catalog)]
    found = sorted(path.glob(f"*/{DEFINITION}"))
    if not found:
        raise Rejected(
            "no_definition",
            f"expected {DEFINITION} in {path} or in the folders below but there is none. Name the file itself.",
        )
    return [_source(each, catalog) for each in found]


def _source(definition: Path, catalog: Path | None) -> Source:
    beside = definition.parent / CATALOG
    return Source(definition, catalog or (beside if beside.is_file() else None))


def in_order(found: list[Source]) -> list[Source]:
    """`found` with every definition after those that it starts. In a circle, whose check fails anyway, as they were."""
    children: dict[int, set[int]] = {}
    named: dict[tuple[str, str], int] = {}
    started: dict[int, tuple[tuple[str, str], ...]] = {}
    for place, source in enumerate(found):
        try:
            definition = read_definition(source.definition)
        except DefinitionError:
            continue  # `load` tells of it
        named[definition.name, definition.version] = place
        started[place] = child_names(definition)
    for place in range(len(found)):
        children[place] = {named[child] for child in started.get(place, ()) if child in named}
    try:
        return [found[place] for place in TopologicalSorter(children).static_order()]
    except CycleError:
        return found


def load(
    source: Source,
    published: Callable[[], Catalog] | None = None,
    complete: Callable[[Definition, Catalog], Catalog] | None = None,
    *,
    is_own: Callable[[str], bool] = never,
) -> Checked:
    """Reads and checks `source`; without a catalog file the events come from `published`. `complete` adds to the
    catalog what the definition may name beside it. `is_own` says which topics no definition may use.

    Raises Rejected when there is no catalog at all, or a file cannot be opened."""
    problems: list[Placed] = []
    definition = parsed(source.definition, parse_definition, problems)
    if source.catalog is not None:
        catalog = read_catalogs(source.catalog, problems)
    elif published is not None:
        catalog = published()
    else:
        _no_catalog(source)
    if definition is not None and catalog is not None:
        catalog = complete(definition, catalog) if complete is not None else catalog
        problems += placed_in(source.definition, check(definition, catalog, is_own))
    return Checked(source, definition, catalog, tuple(problems))


def read_catalog(path: Path) -> Catalog:
    """The catalog in the file `path`, or in the files of the folder `path`. Raises DefinitionError
    (`catalog_invalid`), Rejected."""
    problems: list[Placed] = []
    catalog = read_catalogs(path, problems)
    if catalog is None or problems:
        raise invalid(problems, "catalog_invalid")
    return catalog


def read_definition(path: Path) -> Definition:
    """The definition in the file or folder `path`. Raises DefinitionError, Rejected."""
    return parse_definition(text_of(path / DEFINITION if path.is_dir() else path))


def read_bindings(path: Path) -> EnvironmentBindings:
    """The file of an environment. Raises DefinitionError (`bindings_invalid`), Rejected."""
    return read_file(path, partial(parse_as, EnvironmentBindings), "bindings_invalid")


def _no_catalog(source: Source) -> NoReturn:
    text = (
        f"expected the catalog of {source.definition} but there is no {CATALOG} beside it. Write one, or name "
        "one with --catalog."
    )
    raise Rejected("catalog_missing", text)
