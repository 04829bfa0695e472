"""Content: a definition with the catalog entries that it names, as canonical bytes and their sha256. What is published
and approved (law pinned-content).

Content holds logical names only. Where events are found (their topics), what connections reach and which environment it
is are bindings of the installation, kept beside it: the same content has the same sha256 in test and in production."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import msgspec

from streamflow.definition.catalog import CHECKED_FIELDS, Catalog
from streamflow.definition.model import Definition, Part


def received_events(definition: Definition) -> set[str]:
    """The names of the events that the definition starts by or waits for."""
    waited = {clause.event for step in definition.steps if step.wait is not None for clause in step.wait.events}
    return waited | {trigger.event for trigger in definition.on}


def event_names(definition: Definition) -> tuple[str, ...]:
    """The names of all events that `definition` starts by, waits for or emits: sorted, each once."""
    return tuple(sorted(received_events(definition).union(emitted_names(definition))))


def emitted_names(definition: Definition) -> tuple[str, ...]:
    """The names of all events that `definition` emits itself: sorted, each once."""
    return tuple(sorted({step.emit.event for step in definition.steps if step.emit is not None}))


def operation_names(definition: Definition) -> tuple[str, ...]:
    """The names of all operations that `definition` calls, also to undo something: sorted, each once."""
    calls = (call for step in definition.steps for call in (step.call, step.undo))
    return tuple(sorted({call.operation for call in calls if call is not None}))


def child_names(definition: Definition) -> tuple[tuple[str, str], ...]:
    """Name and version of all definitions that `definition` starts: sorted, each once."""
    return tuple(sorted({(step.run.definition, step.run.version) for step in definition.steps if step.run is not None}))


def covers(catalog: Catalog, definition: Definition) -> bool:
    """Whether `catalog` has all that `definition` names, so that the content is what would be published."""
    return (
        all(catalog.event(name) is not None for name in event_names(definition))
        and all(catalog.operation(name) is not None for name in operation_names(definition))
        and all(catalog.definition(*child) is not None for child in child_names(definition))
    )


def canonical(definition: Definition, catalog: Catalog) -> bytes:
    """The content as compact JSON with sorted keys. Of `catalog` only what `definition` names, sorted by name, and of
    each event its entry without the topics.

    The same meaning gives the same bytes, in every process and whatever the order of keys in the author's text. Without
    operations or child runs there is no list of them, so that the content is what it was before there were any."""
    events, operations, children = event_names(definition), operation_names(definition), child_names(definition)
    entries: dict[str, list[dict[str, Any]]] = {
        "events": [
            spec.logical() for spec in sorted(catalog.events, key=lambda spec: spec.name) if spec.name in events
        ],
        "operations": [
            _dump(spec) for spec in sorted(catalog.operations, key=lambda spec: spec.name) if spec.name in operations
        ],
        "definitions": [
            _dump(spec, without=CHECKED_FIELDS)
            for spec in sorted(catalog.definitions, key=lambda spec: (spec.name, spec.version))
            if (spec.name, spec.version) in children
        ],
    }
    value = {
        "catalog": {kind: specs for kind, specs in entries.items() if specs or kind == "events"},
        "definition": _dump(definition),
    }
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def _dump(part: Part, without: set[str] | None = None) -> dict[str, Any]:
    return part.model_dump(mode="json", by_alias=True, exclude_none=True, exclude=without)


def sha256_of(content: bytes) -> str:
    """What identifies `content`, in hex."""
    return hashlib.sha256(content).hexdigest()


def read_content(content: bytes) -> tuple[Definition, Catalog]:
    """The definition and the catalog entries in canonical `content`; its events have no topics (see
    `Catalog.bound`).

    Raises pydantic.ValidationError or msgspec.DecodeError if the bytes were not made by `canonical`."""
    value = msgspec.json.decode(content)
    return Definition.model_validate(value["definition"]), Catalog.model_validate(value["catalog"])
