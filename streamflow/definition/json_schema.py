"""JSON Schemas, as far as expressions and their checks read them: references, types, what several have in common."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jsonschema_rs

from streamflow.definition.validation import no_retrieval

Schema = Mapping[str, Any]

_DEPTH = 12  # references that are followed, one from another

_MERGED = frozenset({"properties", "required", "type", "items", "enum", "const", "additionalProperties"})

ANYTHING: Schema = {}
TEXT: Schema = {"type": "string"}
WHOLE: Schema = {"type": "integer"}


def schema_fault(schema: Schema) -> str | None:
    """Why `schema` is no JSON Schema, or refers to what is not in it; None when it can be used."""
    try:
        jsonschema_rs.meta.validate(dict(schema))
        jsonschema_rs.validator_for(dict(schema), retriever=no_retrieval)
    except (jsonschema_rs.ValidationError, ValueError) as error:
        return str(error).splitlines()[0]
    return None


def resolve(schema: Any, root: Schema) -> Schema:
    """`schema` with local references followed and `allOf` merged; the empty schema (anything) where that is not
    possible."""
    return _resolved(schema, root, _DEPTH)


def _resolved(schema: Any, root: Schema, depth: int) -> Schema:
    if not isinstance(schema, Mapping) or depth == 0:
        return ANYTHING
    found: Schema = schema
    beside = {key: value for key, value in schema.items() if key not in ("$ref", "allOf", "$defs", "definitions")}
    parts: list[Any] = list(schema["allOf"]) if isinstance(schema.get("allOf"), list) else []
    if "$ref" in schema:
        target = _pointed(schema["$ref"], root)
        if not parts and not beside.keys() & _MERGED:
            return _resolved(target, root, depth - 1)
        parts.insert(0, target)
    if parts:
        found = beside
        for part in parts:
            found = _merged(found, _resolved(part, root, depth - 1))
    for part in _conditional(found):  # what is there in some cases is declared, and never required
        declared = _resolved(part, root, depth - 1).get("properties")
        properties = found.get("properties")
        if isinstance(declared, Mapping) and isinstance(properties, Mapping):
            found = {**found, "properties": {**dict.fromkeys(declared, ANYTHING), **properties}}
    return found


def _merged(one: Schema, two: Schema) -> dict[str, Any]:
    """What holds where both schemas hold, as far as it is read here."""
    merged = {**two, **one}
    properties = {**(two.get("properties") or {}), **(one.get("properties") or {})}
    if properties:
        merged["properties"] = properties
    required = {*two.get("required", ()), *one.get("required", ())}
    if required:
        merged["required"] = sorted(required)
    return merged


def _conditional(schema: Schema) -> list[Any]:
    """The schemas that hold in some cases only."""
    dependent = schema.get("dependentSchemas")
    cases = list(dependent.values()) if isinstance(dependent, Mapping) else []
    return [*cases, *(schema[key] for key in ("if", "then", "else") if key in schema)]


def _pointed(reference: Any, root: Schema) -> Any:
    if not isinstance(reference, str) or not reference.startswith("#"):
        return ANYTHING
    target: Any = root
    for part in filter(None, reference[1:].split("/")):
        target = (
            target.get(part.replace("~1", "/").replace("~0", "~"), ANYTHING)
            if isinstance(target, Mapping)
            else ANYTHING
        )
    return target


def json_types(schema: Schema) -> frozenset[str]:
    """The JSON types that `schema` allows by `type`, `const` or `enum`; empty when it does not say."""
    declared = schema.get("type")
    if isinstance(declared, str):
        return frozenset({declared})
    if isinstance(declared, list):
        return frozenset(str(item) for item in declared)
    if any(key in schema for key in ("oneOf", "anyOf", "not")):
        return frozenset()
    values = [schema["const"]] if "const" in schema else schema.get("enum")
    if isinstance(values, list) and values:
        return frozenset(_type_of(value) for value in values)
    return frozenset({"object"}) if "properties" in schema else frozenset()


def may_be_null(schema: Schema) -> bool:
    """Whether `schema` says that a value may be null: by its types, or by one of `anyOf` or `oneOf`."""
    if "null" in json_types(schema):
        return True
    parts = [part for key in ("anyOf", "oneOf") for part in schema.get(key, ()) if isinstance(part, Mapping)]
    return any(json_types(part) == {"null"} for part in parts)


def _type_of(value: Any) -> str:
    names: dict[type, str] = {
        bool: "boolean",
        int: "integer",
        float: "number",
        str: "string",
        type(None): "null",
        list: "array",
        dict: "object",
    }
    return names.get(type(value), "")


def common(schemas: list[Schema]) -> Schema:
    """What can be said of a value that follows one of `schemas`: their properties, typed where all declare the same."""
    resolved = [resolve(schema, schema) for schema in schemas]
    if len(resolved) == 1:
        return schemas[0]
    if not all(json_types(schema) == {"object"} and schema.get("properties") for schema in resolved):
        return ANYTHING
    names = dict.fromkeys(name for schema in resolved for name in schema["properties"])
    declared = {name: [_inlined(s["properties"].get(name), s) for s in resolved] for name in names}
    return {
        "type": "object",
        "properties": {
            name: found[0] if all(item == found[0] for item in found) else ANYTHING for name, found in declared.items()
        },
    }


def _inlined(schema: Any, root: Schema) -> Any:
    return resolve(schema, root) if schema is not None else None
