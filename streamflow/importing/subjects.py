"""Draft entries of a catalog from the subjects of a schema registry."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from streamflow.errors import OperationError
from streamflow.importing.catalog import CatalogImport, Skipped, import_catalog
from streamflow.registry.json_schemas import described
from streamflow.registry.registered import RegisteredSchema
from streamflow.wire.frame import SCHEMA_NAME

_OF_VALUES, _OF_KEYS = "-value", "-key"


def topic_of(subject: str) -> str | None:
    """The topic of a subject that is named by Confluent's default rule (TopicNameStrategy); None for any other."""
    return subject.removesuffix(_OF_VALUES) if subject.endswith(_OF_VALUES) else None


def subject_catalog(schemas: Iterable[RegisteredSchema], *, topic: str | None = None, emits: bool) -> CatalogImport:
    """An event for each of `schemas`, in `topic`, or else in the one that its subject is named after. With `emits` each
    is bound to its subject, so that an `emit` step writes it with its schema.

    Each is identified by the name that its schema has, and one without a name by the first field that it always has:
    several of those in one topic have to be distinguished by hand."""
    done = CatalogImport()
    for schema in schemas:
        where = topic or topic_of(schema.subject)
        if where is None:
            why = "it is of keys" if schema.subject.endswith(_OF_KEYS) else "its name says no topic: give one"
            done.skipped.append(Skipped(schema.subject, why))
            continue
        try:
            name, data = described(schema)
        except OperationError as error:
            done.skipped.append(Skipped(schema.subject, error.message))
            continue
        found = import_catalog({f"{name or where}.json": data}, topic=where)
        done.skipped.extend(Skipped(schema.subject, one.reason) for one in found.skipped)
        there = {event["name"] for event in done.events}
        for event, imported in zip(found.events, found.imported, strict=True):
            if event["name"] in there:
                done.skipped.append(Skipped(schema.subject, f"an event {event['name']} is there already"))
                continue
            always = data.get("required") or ()
            matching: dict[str, Any] = {"match": {"header": SCHEMA_NAME, "equals": name}}
            if not name and "match" in event:
                matching = {}
            elif not name:
                matching = {"match": {"path": always[0]} if always else {"expr": "true"}}
            bound = {"registry": {"subject": schema.subject}} if emits else {}
            done.events.append(event | matching | bound)
            done.imported.append(imported)
    return done
