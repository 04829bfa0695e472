"""Definitions and catalogs as files: where they are, what is wrong in them, and on which line."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedSeq
from ruamel.yaml.error import YAMLError

from streamflow.definition.catalog import Catalog
from streamflow.definition.check import check, never
from streamflow.definition.content import child_names
from streamflow.definition.model import Definition
from streamflow.definition.syntax import parse_catalog, parse_definition
from streamflow.errors import DefinitionError, Problem, Rejected

DEFINITION, CATALOG = "definition.yaml", "catalog.yaml"

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Placed:
    """A problem in a file, on a line (counted from 1; 0 if it cannot be told)."""

    file: Path
    line: int
    problem: Problem

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else str(self.file)
        fix = f" {self.problem.fix}" if self.problem.fix else ""
        at = f" at {self.problem.pointer}" if self.problem.pointer else ""
        return f"{place}: {self.problem.severity} {self.problem.code}{at}: {self.problem.message}{fix}"

    def facts(self) -> dict[str, Any]:
        """The problem as JSON would have it."""
        problem = self.problem
        return {
            "file": str(self.file),
            "line": self.line or None,
            "code": problem.code,
            "pointer": problem.pointer,
            "severity": problem.severity,
            "message": problem.message,
            "fix": problem.fix,
        }


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
            "no_such_file", f"expected a definition at {path} but there is no such file or folder; do check the path"
        )
    if (path / DEFINITION).is_file():
        return [_source(path / DEFINITION, catalog)]
    found = sorted(path.glob(f"*/{DEFINITION}"))
    if not found:
        raise Rejected(
            "no_definition",
            f"expected {DEFINITION} in {path} or in the folders below but there is none; do name the file itself",
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
    definition = _parsed(source.definition, parse_definition, problems)
    if source.catalog is not None:
        catalog = _parsed(source.catalog, parse_catalog, problems)
    elif published is not None:
        catalog = published()
    else:
        _no_catalog(source)
    if definition is not None and catalog is not None:
        catalog = complete(definition, catalog) if complete is not None else catalog
        problems += _placed(source.definition, check(definition, catalog, is_own))
    return Checked(source, definition, catalog, tuple(problems))


def read_catalog(path: Path) -> Catalog:
    """The catalog in the file or folder `path`. Raises DefinitionError, Rejected."""
    return parse_catalog(_text(path / CATALOG if path.is_dir() else path))


def read_definition(path: Path) -> Definition:
    """The definition in the file or folder `path`. Raises DefinitionError, Rejected."""
    return parse_definition(_text(path / DEFINITION if path.is_dir() else path))


def _parsed(file: Path, parse: Callable[[str], _T], problems: list[Placed]) -> _T | None:
    text = _text(file)
    try:
        return parse(text)
    except DefinitionError as error:
        problems += _placed(file, error.problems)
        return None


def _text(file: Path) -> str:
    try:
        return file.read_text()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no UTF-8 text"
        raise Rejected(
            "file_unreadable", f"expected to read {file} but {reason}; do check the path and its encoding"
        ) from error


def _placed(file: Path, problems: Iterable[Problem]) -> list[Placed]:
    lines = _Lines(file.read_text())
    return [Placed(file, lines.of(problem.pointer), problem) for problem in problems]


class _Lines:
    """The line of every place in a YAML or JSON text."""

    def __init__(self, text: str) -> None:
        try:
            self._root: Any = YAML(typ="rt", pure=True).load(text)
        except (YAMLError, ValueError, RecursionError):
            self._root = None  # the problem says the line itself

    def of(self, pointer: str) -> int:
        node: Any = self._root
        line = 1 if self._root is not None else 0
        for part in pointer.split("/")[1:]:
            name: Any = part.replace("~1", "/").replace("~0", "~")
            try:
                if isinstance(node, CommentedSeq):
                    name = int(name)
                    line = node.lc.item(name)[0] + 1
                else:
                    line = node.lc.key(name)[0] + 1
                node = node[name]
            except (AttributeError, KeyError, IndexError, TypeError, ValueError):
                return int(line)  # what is missing has no line: the line of what it is missing in
        return int(line)


def _no_catalog(source: Source) -> NoReturn:
    text = (
        f"expected the catalog of {source.definition} but there is no {CATALOG} beside it; do write one, or name "
        "one with --catalog"
    )
    raise Rejected("catalog_missing", text)
