"""What definitions that are checked or published together say otherwise than each other, and than what is published."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from streamflow.cli.catalogs import CatalogText, against
from streamflow.cli.places import Lines, Placed, parsed, text_of
from streamflow.cli.sources import Checked
from streamflow.definition.catalog_conflicts import IDENTITY, differing
from streamflow.definition.content import event_names
from streamflow.definition.syntax import parse_catalog
from streamflow.errors import Problem
from streamflow.kafka.definitions import Snapshot


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
    served = [one for one in log.served() if one.name not in together and log.names.get(one.name) is not None]
    served = [one for one in served if log.names[one.name].version == one.version]
    answer = []
    for each in found:
        problems = list(each.problems)
        if each.definition is not None and each.catalog is not None:
            for name in event_names(each.definition):
                spec = each.catalog.event(name)
                others: dict[tuple[str, ...], list[str]] = {}
                for one in served:
                    known = one.catalog.event(name)
                    if spec is not None and known is not None and name in event_names(one.definition):
                        fields = differing(known.bound(None), spec.bound(None))
                        if fields:
                            others.setdefault(fields, []).append(f"{one.name}@{one.version}")
                for fields, references in others.items():
                    problems.append(_published(each, name, fields, references, change=change))
        answer.append(replace(each, problems=tuple(problems)))
    return answer


def _published(each: Checked, name: str, fields: tuple[str, ...], references: list[str], *, change: bool) -> Placed:
    file = each.source.catalog if each.source.catalog is not None else each.source.definition
    number = next(
        (place for place, spec in enumerate(each.catalog.events if each.catalog else ()) if spec.name == name), 0
    )
    line, column = (0, 0) if file.is_dir() else Lines(text_of(file)).of(f"/events/{number}")
    serious = bool(IDENTITY & set(fields)) and not change
    fix = f"Publish {', '.join(references)} with the same catalog too, or give this event another name."
    return Placed(
        file,
        line,
        column,
        Problem(
            "SF291",
            f"/events/{number}",
            f"the event `{name}` means something else in {', '.join(references)}, which is published: "
            f"{', '.join(fields)} differ{'s' if len(fields) == 1 else ''}.",
            fix + (" --change-events publishes it nevertheless." if serious else ""),
            "error" if serious else "warning",
        ),
    )
