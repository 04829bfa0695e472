"""What the events of a definition say otherwise than those of other definitions that are published."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from streamflow.definition.catalog import Catalog
from streamflow.definition.catalog_conflicts import IDENTITY, differing
from streamflow.definition.content import event_names
from streamflow.definition.model import Definition
from streamflow.errors import Problem
from streamflow.kafka.definitions import Snapshot


def against_published(
    definition: Definition, catalog: Catalog, log: Snapshot, *, together: Collection[str] = (), change: bool = False
) -> list[Problem]:
    """A problem for each event of `definition` that means something else in the newest versions of other definitions
    (but those called as in `together`, which are published with it): an error when they match, identify or place an
    event in another way, unless that is asked for (`change`); else a warning. Pointers are into the catalog."""
    return [
        _problem(catalog, name, fields, references, change=change)
        for name, fields, references in _differences(definition, catalog, log, {definition.name, *together})
    ]


def definitions_contradicted(definition: Definition, catalog: Catalog, log: Snapshot) -> dict[str, tuple[str, ...]]:
    """The events of `definition` that it matches, identifies or places in another way than the newest versions of other
    definitions, each with the names of these, sorted."""
    found: dict[str, set[str]] = {}
    for event, fields, references in _differences(definition, catalog, log, {definition.name}):
        if IDENTITY & set(fields):
            found.setdefault(event, set()).update(reference.partition("@")[0] for reference in references)
    return {event: tuple(sorted(names)) for event, names in found.items()}


def _differences(
    definition: Definition, catalog: Catalog, log: Snapshot, left_out: Collection[str]
) -> Iterator[tuple[str, tuple[str, ...], list[str]]]:
    """Events, the fields in which they differ, and in which newest versions of other definitions."""
    newest = [
        one
        for one in log.served()
        if one.name not in left_out and one.name in log.names and log.names[one.name].version == one.version
    ]
    for name in event_names(definition):
        spec = catalog.event(name)
        others: dict[tuple[str, ...], list[str]] = {}
        for one in newest:
            known = one.catalog.event(name)
            if spec is not None and known is not None and name in event_names(one.definition):
                fields = differing(known.bound(None), spec.bound(None))
                if fields:
                    others.setdefault(fields, []).append(f"{one.name}@{one.version}")
        for fields, references in others.items():
            yield name, fields, references


def _problem(catalog: Catalog, name: str, fields: tuple[str, ...], references: list[str], *, change: bool) -> Problem:
    number = next((place for place, spec in enumerate(catalog.events) if spec.name == name), 0)
    serious = bool(IDENTITY & set(fields)) and not change
    fix = f"Publish {', '.join(references)} with the same catalog too, or give this event another name."
    return Problem(
        "SF291",
        f"/events/{number}",
        f"the event `{name}` means something else in {', '.join(references)}, which is published: "
        f"{', '.join(fields)} differ{'s' if len(fields) == 1 else ''}.",
        fix + (" --change-events publishes it nevertheless." if serious else ""),
        "error" if serious else "warning",
    )
