"""What definitions that are checked or published together say otherwise than each other, and than what is published."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from streamflow.cli.catalogs import CatalogText, against
from streamflow.cli.definition_files import Checked
from streamflow.cli.places import Placed, parsed, text_of
from streamflow.definition.lines import Lines
from streamflow.definition.syntax import parse_catalog
from streamflow.errors import Problem
from streamflow.kafka.definitions import Snapshot
from streamflow.ops.contradictions import against_published


def contradicting(found: list[Checked]) -> list[Checked]:
    """`found`, each with the contradictions of its catalog to the catalogs of those before it as problems."""
    texts: dict[Path, CatalogText] = {}
    answer = []
    for each in found:
        file, problems = each.source.catalog, list(each.problems)
        if file is not None and file.is_file() and file not in texts and each.catalog is not None:
            read = parsed(file, parse_catalog, [])
            if read is not None:
                text = CatalogText(file, read, Lines(text_of(file)))
                problems += against(text, texts.values())
                texts[file] = text
        answer.append(replace(each, problems=tuple(problems)))
    return answer


def contradicting_published(found: list[Checked], log: Snapshot, *, change: bool) -> list[Checked]:
    """`found`, each with what its events say otherwise than the newest versions of other definitions that are
    published: an error when they tell, identify or place an event in another way, unless that is asked for (`change`);
    else a warning."""
    together = {each.definition.name for each in found if each.definition is not None}
    answer = []
    for each in found:
        problems = list(each.problems)
        if each.definition is not None and each.catalog is not None:
            contradictions = against_published(each.definition, each.catalog, log, together=together, change=change)
            problems += [_placed(each, problem) for problem in contradictions]
        answer.append(replace(each, problems=tuple(problems)))
    return answer


def _placed(each: Checked, problem: Problem) -> Placed:
    file = each.source.catalog if each.source.catalog is not None else each.source.definition
    line, column = (0, 0) if file.is_dir() else Lines(text_of(file)).of(problem.pointer)
    return Placed(file, line, column, problem)
