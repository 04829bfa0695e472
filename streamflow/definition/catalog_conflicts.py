"""Two meanings of one name: catalogs that describe the same event or operation in different ways."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from streamflow.definition.catalog import Catalog, EventSpec, OperationSpec

_WORDS = {"title", "description"}  # for people: they change nothing
# of an event: which record it is, and which of two records are the same event
IDENTITY = frozenset({"match", "id", "source", "key", "time"})

Kind = Literal["events", "operations"]


@dataclass(frozen=True, slots=True)
class Conflict:
    """A name with two meanings: the `kind` of its entries, the `fields` in which they differ, sorted, and the places of
    both in their catalogs."""

    kind: Kind
    name: str
    fields: tuple[str, ...]
    first: int  # in the list `kind` of the first catalog
    second: int


def conflicts(first: Catalog, second: Catalog) -> Iterator[Conflict]:
    """Every name that both catalogs have with different meanings: events, then operations, in the order of the second
    one. Titles and descriptions do not count."""
    for kind in ("events", "operations"):
        known = _places(first, kind)
        for name, (place, entry) in _places(second, kind).items():
            if name in known and (fields := differing(known[name][1], entry)):
                yield Conflict(kind, name, fields, known[name][0], place)


def differing(first: EventSpec | OperationSpec, second: EventSpec | OperationSpec) -> tuple[str, ...]:
    """The names of the fields in which two entries differ, sorted; those for people do not count."""
    one, other = _plain(first), _plain(second)
    return tuple(sorted(name for name in one.keys() | other.keys() if one.get(name) != other.get(name)))


def _places(catalog: Catalog, kind: Kind) -> dict[str, tuple[int, EventSpec | OperationSpec]]:
    entries: list[EventSpec | OperationSpec] = list(catalog.events if kind == "events" else catalog.operations)
    found: dict[str, tuple[int, EventSpec | OperationSpec]] = {}
    for place, entry in enumerate(entries):
        found.setdefault(entry.name, (place, entry))  # a name that one catalog has twice is a separate fault
    return found


def _plain(entry: EventSpec | OperationSpec) -> dict[str, Any]:
    return entry.model_dump(mode="json", by_alias=True, exclude=_WORDS)
