"""Named values against a JSON Schema: the data of an emitted event, and what a call or a child run is given."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cel_expr_python import cel

from streamflow.definition import model
from streamflow.definition.expression_tree import Tree, constant_text
from streamflow.definition.schema_shape import shape_of
from streamflow.definition.schema_types import Schema, Types, json_types
from streamflow.definition.scope import Scope, type_read
from streamflow.definition.syntax import nearest
from streamflow.errors import Problem

_JSON_OF = {
    "STRING": "string",
    "TIMESTAMP": "string",
    "DURATION": "string",
    "BYTES": "string",
    "INT": "integer",
    "UINT": "integer",
}
_JSON_OF |= {"DOUBLE": "number", "BOOL": "boolean", "NULL": "null"}

Found = tuple[cel.Type, Tree]  # what an expression gives, and its tree


@dataclass(frozen=True, slots=True)
class Receiver:
    """Who is given the values: in words, its schema, where the values stand, and the codes for a field that is missing,
    unknown or of a wrong type.

    `strict`: an unknown field is an error unless the schema says that there may be more."""

    name: str
    schema: Schema
    at: str
    codes: tuple[str, str, str]
    strict: bool


def json_type(name: str, types: Types) -> str:
    """The JSON type for the CEL type `name`, or empty."""
    if name.startswith("LIST<"):
        return "array"
    return "object" if name.startswith("MAP<") or name in types.properties else _JSON_OF.get(name, "")


def field_problems(
    receiver: Receiver, values: Sequence[model.Mapping], found: Sequence[Found | None], scope: Scope, types: Types
) -> Iterator[Problem]:
    """What is wrong with `values`, whose expressions gave `found` (None: that is reported already)."""
    schema = shape_of(receiver.schema)
    properties: Mapping[str, Any] = schema.get("properties", {})
    closed = schema.get("additionalProperties") is False and not schema.get("open")
    open_ = not closed and ("additionalProperties" in schema or bool(schema.get("open")) or not receiver.strict)
    missing, unknown, _ = receiver.codes
    for index, value in enumerate(values):
        result = found[index]
        if value.name in properties:
            if result is not None:
                yield from _misfits(
                    receiver,
                    value.name,
                    f"{receiver.at}/{index}/expr",
                    properties[value.name],
                    result,
                    scope,
                    types,
                )
        elif properties or closed:
            near = nearest(value.name, properties)
            if near or not open_:
                fix = f"Did you mean `{near}`?" if near else f"Its fields are {', '.join(properties) or 'none'}."
                severity = "warning" if open_ else "error"
                yield Problem(
                    unknown,
                    f"{receiver.at}/{index}/name",
                    f"{receiver.name} has no field `{value.name}`.",
                    fix,
                    severity,
                )
    given = {value.name for value in values}
    for name in schema.get("required", ()):
        if name not in given:
            fix = f"Add {{name: {name}, expr: ...}} to `{receiver.at.rpartition('/')[2]}`."
            yield Problem(missing, receiver.at, f"{receiver.name} must have the field `{name}`.", fix)


def _misfits(
    receiver: Receiver, name: str, at: str, schema: Schema, found: Found, scope: Scope, types: Types
) -> Iterator[Problem]:
    code, what = receiver.codes[2], receiver.name
    allowed = json_types(schema)
    text = constant_text(found[1].expr)
    values = schema.get("enum")
    if text is not None and isinstance(values, list) and text not in values:
        near = nearest(text, [item for item in values if isinstance(item, str)])
        fix = f'Did you mean "{near}"?' if near else f"It may be {', '.join(map(str, values))}."
        yield Problem(code, at, f'`{name}` of {what} cannot be "{text}".', fix)
        return
    given = json_type(found[0].name(), types) or type_read(found[1].expr, scope)
    fits = (
        given in allowed
        or (given == "integer" and "number" in allowed)
        or (given == "number" and "integer" in allowed and found[0].name() == "DYN")
    )
    if given and allowed and not fits:
        message = f"`{name}` of {what} must be of type {' or '.join(sorted(allowed))} but this is of type {given}."
        yield Problem(code, at, message, "Convert it, for example with string(...), int(...) or double(...).")
