"""Inputs and outputs of an imported process: the `input` of a definition, and a step that computes its output."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from streamflow.definition.json_pointer import pointer
from streamflow.importing.names import field_name as legal
from streamflow.importing.names import step_id
from streamflow.importing.report import Refused, Report
from streamflow.importing.templates import Names

INPUTS = ("inputs", "input", "parameters")
OUTPUTS = ("outputs", "output")


def outputs_of(source: Mapping[str, Any], names: Names, kept: set[str], report: Report) -> dict[str, Any] | None:
    """A step that computes what the process gives back."""
    name = next((name for name in OUTPUTS if name in source), None)
    if name is None:
        return None
    value = source[name]
    fields = value if isinstance(value, Mapping) else {"value": value}
    found = []
    for field_name, item in fields.items():
        at = pointer((name, field_name)) if isinstance(value, Mapping) else pointer((name,))
        names.notes = []
        try:
            found.append({"name": legal(field_name), "expr": names.value(item)})
        except Refused as refusal:
            report.refused(at, refusal.reason, refusal.fix)
            continue
        report.approximated(
            at,
            " ".join(["when a step that it reads is skipped, there is no output.", *names.notes]),
            f"output/{field_name}",
        )
    if not found:
        if not fields:
            report.mapped(pointer((name,)), "no output.")
        return None
    return {"id": step_id("output", kept), "needs": list(names.reads), "set": found}


def inputs_of(source: Mapping[str, Any], names: Names, report: Report) -> dict[str, Any]:
    """The JSON Schema of what the process is started with: as declared, or of the names that templates read."""
    schema: dict[str, Any] = {"type": "object", "properties": {}}
    name = next((name for name in INPUTS if name in source), None)
    declared = source.get(name) if name is not None else None
    if isinstance(declared, Mapping) and isinstance(declared.get("properties"), Mapping):
        report.mapped(pointer((str(name),)), "the schema of what a run is started with.", "input")
        schema = {"type": "object", **declared}
    elif isinstance(declared, list) and all(isinstance(item, str) for item in declared):
        report.mapped(pointer((str(name),)), "what a run is started with.", "input")
        schema["properties"] = {item: {} for item in declared}
    elif isinstance(declared, Mapping):
        if not declared:
            report.mapped(pointer((str(name),)), "no inputs.", "input")
        for field_name, item in declared.items():
            schema["properties"][field_name] = _property(item, pointer((str(name), field_name)), report)
        required = [n for n, item in declared.items() if isinstance(item, Mapping) and item.get("required") is True]
        schema |= {"required": required} if required else {}
    elif name is not None:
        report.refused(
            pointer((name,)),
            "the inputs are neither names nor a JSON Schema.",
            "Write an object with a name for each input.",
        )
    missing = [item for item in names.inputs if item not in schema["properties"]]
    if missing and schema["properties"]:
        schema = {**schema, "properties": {**schema["properties"], **{item: {} for item in missing}}}
        report.approximated(
            pointer((str(name),)),
            f"templates read {', '.join(missing)}, which it does not declare; they are added.",
            "input",
        )
    elif missing:
        schema["properties"] = {item: {} for item in missing}
        report.approximated("", f"templates read the inputs {', '.join(missing)}; they may be anything.", "input")
    return schema


def _property(item: Any, at: str, report: Report) -> dict[str, Any]:
    types = {"string", "number", "integer", "boolean", "object", "array"}
    kind = item if isinstance(item, str) else item.get("type") if isinstance(item, Mapping) else None
    if isinstance(item, Mapping) and "default" in item:
        report.approximated(at, "its default is not filled in: a start has to provide it.", "input")
    elif kind in types:
        report.mapped(at, "an input.", "input")
    else:
        report.approximated(at, "its type is not known here: it may be anything.", "input")
    return {"type": kind} if kind in types else {}
