"""The head of an imported process: its name, version and description, and the fields that mean nothing here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from streamflow.definition.json_pointer import pointer
from streamflow.definition.syntax import nearest
from streamflow.importing.inputs_outputs import INPUTS, OUTPUTS
from streamflow.importing.names import definition_name
from streamflow.importing.report import Report

_HEAD = frozenset({"name", "id", "title", "version", "description", "steps"})
_SILENT = frozenset(
    {"$schema", "$id", "author", "license", "metadata", "meta", "tags", "ui", "comment", "createdAt", "updatedAt"}
)
_STARTED = frozenset({"on", "trigger", "triggers", "schedule", "cron"})


def head_of(source: Mapping[str, Any], report: Report, fallback: str) -> dict[str, Any]:
    """The fields of the definition that say what it is called; `fallback` is the name of a process without one. The
    result of each field of `source`, but for its steps, inputs and outputs, goes into `report`."""
    field_of_name = next(
        (name for name in ("name", "id", "title") if isinstance(source.get(name), str) and source[name].strip()), ""
    )
    written = source.get(field_of_name)
    name = definition_name(written or fallback)
    if written is None:
        report.approximated("", "the process has no name, so it is called after its file.", name)
    elif written == name:
        report.mapped(pointer((field_of_name,)), "the name of the definition.", name)
    else:
        report.approximated(pointer((field_of_name,)), f"`{written[:60]}` is no legal name.", name)
    head: dict[str, Any] = {"name": name, "version": _version(source.get("version"), report)}
    if written is not None and written != name:
        head["title"] = " ".join(written.split())[:200]
    for field_name in ("name", "id", "title", "description"):
        if field_name not in source or field_name == field_of_name:
            continue
        if (
            field_name in ("title", "description")
            and isinstance(source[field_name], str)
            and source[field_name].strip()
        ):
            head[field_name] = source[field_name][: 200 if field_name == "title" else 4000]
            report.mapped(pointer((field_name,)), "for people.", field_name)
        else:
            report.approximated(pointer((field_name,)), "left out: it changes nothing in a run.")
    for field_name in source:
        at = pointer((field_name,))
        if field_name in _HEAD or field_name in INPUTS or field_name in OUTPUTS:
            continue
        if field_name in _STARTED:
            fix = (
                "It is started by request (`streamflow runs start`); for events add `on` with an event of the "
                "catalog after the import."
            )
            report.refused(at, "what starts a process is an event of a catalog, which the file does not have.", fix)
        elif field_name in _SILENT:
            report.approximated(at, "left out: it changes nothing in a run.")
        else:
            near = nearest(field_name, (*_HEAD, *INPUTS, *OUTPUTS))
            fix = f"Did you mean `{near}`?" if near else "Remove it, or write its meaning by hand."
            report.refused(at, f"`{field_name[:60]}` is no field of a process that is known here.", fix)
    return head


def _version(value: Any, report: Report) -> str:
    text = str(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else ""
    legal = "".join(
        letter if letter.isascii() and (letter.isalnum() or letter in ".-") else "-" for letter in text
    ).lstrip(".-")[:40]
    if value is None:
        report.approximated("", "it has no version.", 'version: "1"')
    elif legal and legal == text:
        report.mapped("/version", "the version.", f'version: "{legal}"')
    else:
        report.approximated("/version", "it is no legal version.", f'version: "{legal or "1"}"')
    return legal or "1"
