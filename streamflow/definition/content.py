"""Content: a definition with the catalog entries that it names, as canonical bytes and their sha256. What is published and approved."""

from __future__ import annotations

import hashlib
import json

import msgspec

from streamflow.definition.catalog import Catalog
from streamflow.definition.model import Definition


def event_names(definition: Definition) -> tuple[str, ...]:
    """The names of all events that `definition` starts by, waits for or emits: sorted, each once."""
    names = {trigger.event for trigger in definition.on}
    for step in definition.steps:
        if step.wait is not None:
            names.update(clause.event for clause in step.wait.events)
        if step.emit is not None:
            names.add(step.emit.event)
    return tuple(sorted(names))


def canonical(definition: Definition, catalog: Catalog) -> bytes:
    """The content as compact JSON with sorted keys. Of `catalog` only the events that `definition` names, sorted by name.

    The same meaning gives the same bytes, in every process and whatever the order of keys in the author's text."""
    named = event_names(definition)
    events = sorted((spec for spec in catalog.events if spec.name in named), key=lambda spec: spec.name)
    value = {
        "catalog": {"events": [spec.model_dump(mode="json", by_alias=True, exclude_none=True) for spec in events]},
        "definition": definition.model_dump(mode="json", by_alias=True, exclude_none=True),
    }
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def sha256_of(content: bytes) -> str:
    """What identifies `content`, in hex."""
    return hashlib.sha256(content).hexdigest()


def read_content(content: bytes) -> tuple[Definition, Catalog]:
    """The definition and the catalog entries in canonical `content`.

    Raises pydantic.ValidationError or msgspec.DecodeError if the bytes were not made by `canonical`."""
    value = msgspec.json.decode(content)
    return Definition.model_validate(value["definition"]), Catalog.model_validate(value["catalog"])
