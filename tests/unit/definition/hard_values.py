"""Small and large values for which collecting all errors of a schema takes time or memory without bound. As a process:
what is told of each, as JSON."""

from __future__ import annotations

import json
import resource
import sys
from typing import Any

from streamflow.definition.schema_faults import schema_faults
from streamflow.definition.validation import Validator, compiled

LEVELS = 64
MEMORY = 1 << 30  # bytes of address space; the process begins with some 100 MB
R = {"$ref": "#/$defs/n"}
A: dict[str, Any] = {"properties": {"a": R}}
RULE = {
    "oneOf": [
        *(
            {"type": "object", "required": ["op", "of"], "properties": {"op": {"const": op}, "of": R}}
            for op in ("and", "or", "not")
        ),
        {"required": ["op", "of"], "properties": {"op": {"const": "all"}, "of": {"type": "array", "items": R}}},
        {"type": "object", "required": ["field"], "properties": {"field": {"type": "string"}}},
    ]
}
RECURSIVE: dict[str, dict[str, Any]] = {
    "oneOf": {"type": "object", "oneOf": [A | {"required": ["p"]}, A, {"required": ["q"]}]},
    "anyOf": {"anyOf": [A | {"required": ["p"]}, A | {"required": ["q"]}]},
    "allOf": {"allOf": [A | {"type": "object"}, A | {"type": "object"}]},
    "if": {"type": "object", "if": A, "then": A | {"required": ["p"]}, "else": A},
    "dependentSchemas": A | {"type": "object", "dependentSchemas": {"a": A}},
    "dependencies": {"$schema": "http://json-schema.org/draft-07/schema#", "dependencies": {"a": A}, "type": "object"},
    "not": A | {"type": "object", "not": A | {"required": ["zz"]}},
    "not not": A | {"type": "object", "not": {"not": A}},
    "patterns": {"type": "object", "patternProperties": {"^a": R, "a$": R}},
    "unevaluated": {"type": "object", "anyOf": [A, A | {"required": ["q"]}], "unevaluatedProperties": False},
    "unevaluated schema": {"type": "object", "unevaluatedProperties": R},
    "contains": A | {"type": ["array", "object"], "contains": R, "items": R},
    "beside": A | {"type": "object", "allOf": [A], "anyOf": [A, {"required": ["q"]}]},
}
LISTED = json.loads('{"a":' * (LEVELS - 2) + json.dumps([1] * 300_000 + ["x"]) + "}" * (LEVELS - 2))
NUMBERED = {str(number): 1 for number in range(100_000)}


def nested(leaf: Any, levels: int = LEVELS, step: str = "a", **beside: Any) -> Any:
    for _ in range(levels):
        leaf = {**beside, step: leaf}
    return leaf


def cases() -> dict[str, tuple[dict[str, Any], Any]]:
    """Schemas and values, by a name."""
    found = {
        f"{name} {leaf}": ({"$defs": {"n": schema}, **_dialect(schema), "allOf": [R]}, nested(leaf))
        for name, schema in RECURSIVE.items()
        for leaf in (5, [5])
    }
    rules = {"$defs": {"n": RULE}, "properties": {"rule": R}}
    tree = {"$defs": {"n": {"properties": {"a": R, "b": R, "c": {"type": "string"}}}}, **R}
    twice = {f"a{level}": {"allOf": [{"$ref": f"#/$defs/a{level + 1}"}] * 2} for level in range(LEVELS)}
    deep = {"$defs": {"n": A | {"items": {"type": "integer"}, "anyOf": [A, A], "allOf": [A, A]}}, **R}
    return found | {
        "rules": (rules, {"rule": nested({"field": 5}, step="of", op="not")}),
        "many rules": (rules, {"rule": {"op": "all", "of": [{"field": "a"}] * 20_000 + [{"field": 5}]}}),
        "twice": ({"$defs": twice | {f"a{LEVELS}": {"type": "string"}}, "$ref": "#/$defs/a0"}, 5),
        "binary tree": (tree, _tree(15)),
        "deep and long": (deep, LISTED),
        "items": ({"items": {"type": "string"}}, [1] * 300_000),
        "last item": ({"items": {"type": "string"}}, [""] * 300_000 + [1]),
        "no items": ({"prefixItems": [{}], "items": False}, [1] * 300_000),
        "names": ({"propertyNames": {"pattern": "^a"}}, NUMBERED),
        "fields": ({"additionalProperties": {"type": "string"}}, NUMBERED),
        "closed": ({"properties": {"a": {}}, "additionalProperties": False}, NUMBERED),
        "required": ({"required": [f"x{number}" for number in range(500)]}, NUMBERED),
        "patterns of 1": ({"patternProperties": {f"^{n}": {"type": "string"} for n in range(50)}}, NUMBERED),
        "unevaluated items": ({"unevaluatedItems": {"type": "string"}}, [1] * 300_000),
        "unevaluated names": ({"unevaluatedProperties": False}, NUMBERED),
    }


def _dialect(schema: dict[str, Any]) -> dict[str, Any]:
    return {"$schema": schema["$schema"]} if "$schema" in schema else {}


def _tree(levels: int) -> Any:
    return {"a": _tree(levels - 1), "b": _tree(levels - 1)} if levels else {"c": 1}


def main() -> None:
    """Prints what is told of each, and where."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    told = {}
    for name, (schema, value) in cases().items():
        told[name] = (Validator(schema).fault(value), schema_faults(compiled(schema, masked=True), value))
    json.dump(told, sys.stdout)


if __name__ == "__main__":
    main()
