"""Catalogs of several definitions: a folder of them as one, and what contradicts what."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from streamflow.cli.places import CATALOG, DEFINITION, Placed, parsed, text_of
from streamflow.definition.catalog import Catalog
from streamflow.definition.catalog_conflicts import conflicts
from streamflow.definition.lines import Lines
from streamflow.definition.syntax import parse_catalog
from streamflow.errors import Problem, Rejected

_SUFFIXES = (".yaml", ".yml", ".json")


@dataclass(frozen=True, slots=True)
class CatalogText:
    """A catalog file, and where its entries are in it."""

    file: Path
    catalog: Catalog
    lines: Lines

    def place(self, kind: str, number: int) -> str:
        line, column = self.lines.of(f"/{kind}/{number}")
        return f"{self.file}:{line}:{column}"


def read_catalogs(path: Path, problems: list[Placed]) -> Catalog | None:
    """The catalog in the file `path`, or in all files of the folder `path` together (in the folder of a definition its
    `catalog.yaml`); what is wrong is added to `problems`, contradictions between the files too. None when a file cannot
    be read.

    Raises Rejected (`catalog_missing`, `file_unreadable`)."""
    if (path / DEFINITION).is_file():
        path = path / CATALOG
    if not path.is_dir():
        return parsed(path, parse_catalog, problems)
    files = sorted(file for file in path.iterdir() if file.suffix in _SUFFIXES and file.is_file())
    if not files:
        raise Rejected("catalog_missing", f"There is no catalog in the folder {path}. Name a file, or write one there.")
    texts = []
    for file in files:
        catalog = parsed(file, parse_catalog, problems)
        if catalog is not None:
            texts.append(CatalogText(file, catalog, Lines(text_of(file))))
    problems += [placed for number, text in enumerate(texts) for placed in against(text, texts[:number])]
    return _joined(text.catalog for text in texts) if len(texts) == len(files) else None


def against(text: CatalogText, others: Iterable[CatalogText]) -> list[Placed]:
    """What `text` says otherwise than `others` (`SF290`)."""
    found = []
    for other in others:
        for one in conflicts(other.catalog, text.catalog):
            line, column = text.lines.of(f"/{one.kind}/{one.second}")
            what = one.kind.removesuffix("s")
            found.append(
                Placed(
                    text.file,
                    line,
                    column,
                    Problem(
                        "SF290",
                        f"/{one.kind}/{one.second}",
                        f"the {what} `{one.name}` means something else in {other.place(one.kind, one.first)}: "
                        f"{', '.join(one.fields)} differ{'s' if len(one.fields) == 1 else ''}.",
                        f"Use one catalog for both (--catalog), or give one {what} another name.",
                    ),
                )
            )
    return found


def _joined(catalogs: Iterable[Catalog]) -> Catalog:
    """All entries, each name once."""
    joined = Catalog()
    for catalog in catalogs:
        joined = joined.model_copy(
            update={
                "events": [*joined.events, *(one for one in catalog.events if joined.event(one.name) is None)],
                "operations": [
                    *joined.operations,
                    *(one for one in catalog.operations if joined.operation(one.name) is None),
                ],
                "definitions": [*joined.definitions, *catalog.definitions],
            }
        )
    return joined
