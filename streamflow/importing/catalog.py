"""Events of a catalog from other people's JSON Schemas: GitHub's webhooks, CloudEvents as Google describes them, and
plain schema files.

What identifies an event, its id and its key is derived where the schemas say it; a topic they never say.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from pydantic import ValidationError

from streamflow.definition.catalog import CatalogFile
from streamflow.definition.schema_fields import Fields, declared_fields
from streamflow.definition.schema_shape import Shape, shape_of, types_of
from streamflow.definition.validation import schema_fault
from streamflow.importing.schema_files import File, SchemaFiles, Unusable, plain_name

_DIALECT = re.compile(r"https?://json-schema\.org/draft.*/schema#?")
_TYPES = frozenset({"object", "array", "string", "number", "integer", "boolean", "null"})
_SCHEMA_KEYWORDS = (
    "properties",
    "items",
    "allOf",
    "anyOf",
    "oneOf",
    "$ref",
    "enum",
    "additionalProperties",
    "definitions",
    "$defs",
)
_GITHUB = re.compile(r"([a-z0-9_]+)\$([a-z0-9_]+)")  # the `$id` of a webhook: event$action
_KINDS = ("type", "event_type", "eventType", "event", "kind", "name")  # fields that may say which event it is
_IDS = ("event_id", "eventId", "message_id", "messageId")
_TIMES = ("event_time", "eventTime", "occurred_at", "occurredAt", "timestamp", "time")
_SCALAR = frozenset({"string", "integer"})


@dataclass(frozen=True, slots=True)
class ImportedEvent:
    """An event of the new catalog, and how many of its declared fields are typed for expressions."""

    name: str
    file: str
    fields: Fields


@dataclass(frozen=True, slots=True)
class Skipped:
    """A file, or one of its events, that is not in the new catalog, and why."""

    file: str
    reason: str


@dataclass(frozen=True, slots=True)
class CatalogImport:
    """The outcome of an import.

    `events` and `shared`: what the catalog holds, as its file has it. `imported`: the events with what is known of
    them. `skipped`: every file that gave no event, and every event that cannot be one."""

    events: list[dict[str, Any]] = field(default_factory=list)
    shared: dict[str, Any] = field(default_factory=dict)
    imported: list[ImportedEvent] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)

    def text(self) -> str:
        """The catalog file: JSON, which is YAML too, with an event or a shared schema on each line."""
        shared = ",\n".join(f"{json.dumps(name)}: {_line(part)}" for name, part in self.shared.items())
        events = ",\n".join(map(_line, self.events))
        return f'{{"events": [\n{events}\n],\n"schemas": {{\n{shared}\n}}}}\n'


def import_catalog(
    files: Mapping[str, Any], *, topic: str, wanted: Sequence[str] = (), source: str | None = None
) -> CatalogImport:
    """The events that `files` (path -> what JSON it holds) describe, in `topic`. `wanted`: patterns such as
    `github.issues.*` of the names to take; all without any. `source`: that of events that carry none."""
    done = CatalogImport()
    schemas: dict[str, Mapping[str, Any]] = {}
    for path in sorted(files):
        if is_schema(files[path]):
            schemas[path] = files[path]
        else:
            done.skipped.append(Skipped(path, "it is no JSON Schema"))
    known = SchemaFiles(schemas)
    github = any(_GITHUB.fullmatch(file.id) for file in known)
    parts = set() if github else {one.path for file in known for one in _referred(known, file)}
    shared: dict[str, File] = {}
    for file in known:
        found = _of_github(file) if github else _of_file(file, is_part=file.path in parts)
        if not found:
            done.skipped.append(Skipped(file.path, "it is part of other schemas"))
            continue
        taken = [one for one in found if not wanted or any(fnmatchcase(one["name"], each) for each in wanted)]
        if not taken:
            done.skipped.append(Skipped(file.path, "no event of it was asked for"))
            continue
        _add(done, known, file, taken, shared, topic=topic, source="github" if github and source is None else source)
    for path in sorted(shared):
        done.shared[known.shared_name(shared[path])] = known.as_shared(shared[path])
    return done


def is_schema(value: Any) -> bool:
    """Whether `value` is a JSON Schema and no other JSON: it names a draft, or has the keywords of one."""
    if not isinstance(value, Mapping):
        return False
    draft = value.get("$schema")
    if draft is not None:
        return isinstance(draft, str) and _DIALECT.fullmatch(draft) is not None
    types = value.get("type")
    named = types if isinstance(types, list) else [types]
    return all(isinstance(one, str) and one in _TYPES for one in named) and any(
        isinstance(value.get(keyword), Mapping | list) for keyword in _SCHEMA_KEYWORDS
    )


def _add(
    done: CatalogImport,
    known: SchemaFiles,
    file: File,
    found: Iterable[dict[str, Any]],
    shared: dict[str, File],
    *,
    topic: str,
    source: str | None,
) -> None:
    """Adds the events `found` of `file`, or says why they cannot be there."""
    try:
        found = list(found)
        needed = known.needed(file)
        if len(found) > 1:
            schema, needed = known.as_events(file), [*needed, file]
        else:
            schema = known.as_event(file)
        parts = {known.shared_name(one): known.as_shared(one) for one in needed}
    except (Unusable, RecursionError) as error:
        done.skipped.append(Skipped(file.path, str(error) if isinstance(error, Unusable) else "it is nested too deep"))
        return
    there = {event["name"] for event in done.events}
    for event in found:
        if event["name"] in there:
            done.skipped.append(Skipped(file.path, f"an event {event['name']} is there already"))
            continue
        entry = {"name": event["name"], "topics": [topic], **event}
        if source is not None:
            entry["source"] = source
        try:
            complete = CatalogFile.model_validate(
                {"events": [{**entry, "schema": schema}], "schemas": parts}
            ).complete()
        except ValidationError as error:
            done.skipped.append(Skipped(file.path, f"it is no event: {error.errors()[0]['msg']}"))
            continue
        alone = complete.events[0].schema_
        fault = schema_fault(alone)
        if fault is not None:
            done.skipped.append(Skipped(file.path, f"its schema cannot be used: {fault}"))
            continue
        shape = shape_of(alone)
        done.events.append(
            entry | _derived(event, shape, github="header" in event.get("match", {})) | {"schema": schema}
        )
        done.imported.append(ImportedEvent(event["name"], file.path, declared_fields(shape)))
        shared.update((one.path, one) for one in needed)


def _of_github(file: File) -> list[dict[str, Any]]:
    """A webhook: identified by the header that GitHub sends with it, and by `action` where there are several."""
    match = _GITHUB.fullmatch(file.id)
    if match is None:
        return []
    event, action = match[1], match[2]
    match_by: dict[str, Any] = {"header": "X-GitHub-Event", "equals": event}
    properties = file.schema.get("properties")
    says = properties.get("action") if isinstance(properties, Mapping) else None
    if isinstance(says, Mapping) and action in (says.get("enum") or [says.get("const")]):
        match_by["expr"] = f"event.action == '{action}'"
    name = f"github.{event}" if action == "event" else f"github.{event}.{action}"
    found = {"name": name, "match": match_by, "id": {"header": "X-GitHub-Delivery"}}
    title = file.schema.get("title")
    return [{**found, "title": title[:200]} if isinstance(title, str) else found]


def _of_file(file: File, *, is_part: bool) -> list[dict[str, Any]]:
    """The CloudEvents types that a schema names, or the one event that it is."""
    if file.of_protobuf:
        return [{"name": one} for one in file.schema["cloudeventTypes"] if isinstance(one, str)]
    name = plain_name(file.stem)
    if is_part or not name:
        return []
    return [{"name": name}]


def _derived(event: Mapping[str, Any], shape: Shape, *, github: bool) -> dict[str, Any]:
    """Where the event's key, id and time are, and what identifies it, as far as the schema says so beyond doubt."""
    found: dict[str, Any] = {}
    properties: Mapping[str, Shape] = shape.get("properties", {})
    always = [name for name in properties if name in shape.get("required", ())]
    if github:
        subject = _subject(event["match"]["equals"], always, properties)
        return {"key": {"path": f"{subject}.id"}} if subject else {}
    for name in _KINDS:
        values: list[Any] = properties.get(name, Shape()).get("enum", []) if name in always else []
        if len(values) == 1 and isinstance(values[0], str) and "." not in name:
            found["match"] = {"path": name, "equals": values[0]}
            break
    for field_, names in (("id", _IDS), ("time", _TIMES)):
        place = next((name for name in names if name in always and _is_scalar(properties[name])), None)
        if place is not None:
            found[field_] = {"path": place}
    return found


def _subject(event: str, always: Sequence[str], properties: Mapping[str, Shape]) -> str | None:
    """The property that a webhook is about: called as the event or its first words, and always there with an id."""
    words = event.split("_")
    for count in range(len(words), 0, -1):
        name = "_".join(words[:count])
        for one in (name, name.removesuffix("s")):
            part = properties.get(one, Shape()) if one in always else Shape()
            if "id" in part.get("required", ()) and _is_scalar(part.get("properties", {}).get("id", {})):
                return one
    return None


def _is_scalar(shape: Mapping[str, Any]) -> bool:
    types = types_of(shape)
    return bool(types) and types <= _SCALAR


def _referred(known: SchemaFiles, file: File) -> tuple[File, ...]:
    try:
        return known.referred(file)
    except Unusable:  # reported when its events are added
        return ()


def _line(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
