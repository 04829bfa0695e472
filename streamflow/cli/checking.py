"""All definitions of a command line, checked together."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from streamflow.cli import definition_files
from streamflow.cli.contradictions import contradicting
from streamflow.cli.definition_files import Checked
from streamflow.cli.session import Session
from streamflow.definition.catalog import Catalog
from streamflow.definition.content import canonical, sha256_of
from streamflow.kafka.topics import is_own
from streamflow.ops.catalog import CatalogResolver, child_of
from streamflow.settings import Settings

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
        help="catalog for all of them, a file or a folder of files; default: catalog.yaml beside each",
    ),
]


def tell(session: Session, found: list[Checked]) -> None:
    """Answers with what was found."""
    facts, lines = [], []
    for checked in found:
        problems = [placed.problem for placed in checked.problems]
        errors = sum(problem.severity == "error" for problem in problems)
        facts.append(
            {
                "file": str(checked.source.definition),
                "ok": checked.ok,
                "problems": [placed.facts() for placed in checked.problems],
            }
        )
        lines += [str(placed) for placed in checked.problems]
        if checked.ok and checked.definition is not None:
            named = f"{checked.definition.name}@{checked.definition.version}"
            warnings = f", {len(problems)} warning(s)" if problems else ""
            lines.append(
                f"{checked.source.definition}: {named} can run ({len(checked.definition.steps)} steps{warnings})"
            )
        else:
            lines.append(f"{checked.source.definition}: {errors} error(s), so it cannot run")
    session.show(facts, "\n".join(lines))


def checked_all(
    settings: Settings,
    paths: list[Path],
    catalog: Path | None,
    around: CatalogResolver,
    published: Callable[[], Catalog] | None = None,
) -> list[Checked]:
    """Every definition at `paths`, read and checked, those first that others of them start."""
    found = []
    for source in definition_files.in_order(
        [source for path in paths for source in definition_files.find(path, catalog)]
    ):
        checked = definition_files.load(source, published, around.complete, is_own=partial(is_own, settings))
        found.append(checked)
        if checked.ok and checked.definition is not None and checked.catalog is not None:
            content = canonical(checked.definition, checked.catalog)
            around.add(child_of(content, sha256_of(content), checked.catalog))
    return contradicting(found)
